"""DNA sequences -> counts of k-mers, codons and pairs of codons, GC content and letters, as sparse rows."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

# Byte -> 0 to 3; both cases, U as T; any other letter is OTHER.
OTHER = 4
_CODE = np.full(256, OTHER, dtype=np.int32)
for _letters in (b"ACGT", b"acgt", b"ACGU", b"acgu"):
    _CODE[list(_letters)] = range(4)


def count_kmers(sequences: Sequence[str], k: int, frames: int = 3) -> csr_array:
    """
    Overlapping k-mers of A, C, G, T and U, upper or lower case, counted apart for the frames; others do not count.

    Args:
        frames: 3, or 1: only k-mers that begin with a codon, as codons (k = 3) and pairs of codons (k = 6) do.

    Returns:
        float32, (sequences, frames x 4^k). A k-mer that begins `start` nt (0-based) into the sequence is in frame
        `start % 3`; k-mers are in the order AA..A, AA..C, AA..G, AA..T, ...
    """
    codes, lengths = _codes(sequences)
    num_places = max(0, len(codes) - k + 1)
    row = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[:num_places]
    ends = np.cumsum(lengths, dtype=np.int32)[row]
    starts = np.arange(num_places, dtype=np.int32)
    frame = (starts - (ends - lengths[row])) % 3
    kmers, known = np.zeros(num_places, dtype=np.int32), (starts + k <= ends) & (frame < frames)
    for i in range(k):
        letters = codes[i : num_places + i]
        kmers = 4 * kmers + letters
        known &= letters != OTHER
    ones = np.ones(np.count_nonzero(known), dtype=np.float32)
    columns = (frame * 4**k + kmers)[known]
    return csr_array((ones, (row[known], columns)), shape=(len(lengths), frames * 4**k))  # those of one cell are added


def gc_content(sequences: Sequence[str]) -> csr_array:
    """The fraction of G and C among the known letters, (sequences, 1); 0 without any."""
    letters = np.asarray(count_kmers(sequences, 1).reshape(len(sequences) * 3, 4).todense())
    letters = letters.reshape(len(sequences), 3, 4).sum(axis=1)  # (sequences, 4)
    return csr_array((letters[:, 1:3].sum(axis=1) / np.maximum(letters.sum(axis=1), 1))[:, None])


def one_hot(sequences: Sequence[str]) -> csr_array:
    """Of each letter whether it is A, C, G or T, (sequences, 4 x nt); sequences have one length."""
    codes, lengths = _codes(sequences)
    letters = codes.reshape(len(lengths), -1)
    return csr_array((letters[..., None] == np.arange(4)).reshape(len(lengths), -1).astype(np.float32))


def _codes(sequences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The letters of all sequences, one after the other, and how many each has."""
    letters = "".join(sequences).encode("ascii", errors="replace")
    return _CODE[np.frombuffer(letters, dtype=np.uint8)], np.array([len(each) for each in sequences], dtype=np.int32)
