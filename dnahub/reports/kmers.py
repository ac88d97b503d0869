"""DNA sequences -> 3-mer counts, the features that an embedding should beat."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

K = 3
LETTERS = "ACGT"
NUM_KMERS = len(LETTERS) ** K

# Counting takes 66 bytes of memory for each nt: 66 MB for a block. A longer sequence is a block of its own.
BLOCK_NT = 1_000_000

_NOT_A_LETTER = 255
_CODE = np.full(256, _NOT_A_LETTER, dtype=np.uint8)  # byte -> 0-3; both cases, U as T
for _letters in (LETTERS, LETTERS.lower(), "ACGU", "acgu"):
    _CODE[np.frombuffer(_letters.encode(), dtype=np.uint8)] = range(len(LETTERS))


def count_3mers_by_frame(sequences: Iterable[str]) -> np.ndarray:
    """
    Overlapping 3-mers of each sequence, counted apart for the three frames; both cases, U as T.

    A 3-mer that holds any other letter, N too, is not counted. Sequences are counted in blocks of `BLOCK_NT`.

    Args:
        sequences: DNA, of any lengths; read once.

    Returns:
        Counts, float32, (sequences, 3 frames, 64 3-mers). A 3-mer that begins `start` nt (0-based) into its sequence
        is in frame `start % 3`; 3-mers are in the order AAA, AAC, AAG, AAT, ACA, ...
    """
    counts = [_count_block(block) for block in _blocks(sequences)]
    return np.concatenate(counts) if counts else np.zeros((0, K, NUM_KMERS), dtype=np.float32)


def _blocks(sequences: Iterable[str]) -> Iterator[list[str]]:
    block, nt = [], 0
    for sequence in sequences:
        if block and nt + len(sequence) + K > BLOCK_NT:
            yield block
            block, nt = [], 0
        block.append(sequence)
        nt += len(sequence) + K  # with the separator
    if block:
        yield block


def _count_block(sequences: Sequence[str]) -> np.ndarray:
    # All sequences in one array, each followed by K letters that no 3-mer may hold.
    separator = "\n" * K
    text = separator.join(sequences) + separator
    letters = np.frombuffer(text.encode("ascii", errors="replace"), dtype=np.uint8)
    codes = _CODE[letters].astype(np.int64)
    span_nt = np.array([len(sequence) + K for sequence in sequences])
    row = np.repeat(np.arange(len(sequences)), span_nt)
    start = np.arange(len(codes)) - np.repeat(np.cumsum(span_nt) - span_nt, span_nt)

    windows = np.lib.stride_tricks.sliding_window_view(codes, K)  # (starts, K)
    counted = np.flatnonzero((windows != _NOT_A_LETTER).all(axis=1))
    kmer = windows[counted] @ (len(LETTERS) ** np.arange(K)[::-1])
    cell = (row[counted] * K + start[counted] % K) * NUM_KMERS + kmer
    counts = np.bincount(cell, minlength=len(sequences) * K * NUM_KMERS)
    return counts.reshape(len(sequences), K, NUM_KMERS).astype(np.float32)


def baseline_features(sequences: Iterable[str]) -> dict[str, np.ndarray]:
    """
    The features of each baseline, weakest first.

    They differ in what they know of the reading frame: nothing, the one frame that is translated, or all three frames
    apart. The last two take sequences to begin with the first letter of a codon.

    Returns:
        Name -> (sequences, 64 or 192).
    """
    counts = count_3mers_by_frame(sequences)  # (sequences, 3 frames, 64)
    return {
        "3-mer counts": counts.sum(axis=1),
        "in-frame codons": counts[:, 0],
        "frame-wise 3-mers": counts.reshape(len(counts), -1),
    }
