"""DNA sequences -> 3-mer counts, the features that an embedding should beat."""

from collections.abc import Iterable

import numpy as np

K = 3
NUM_KMERS = 4**K
# Byte -> 0 to 3; both cases, U as T. A 3-mer with any other letter is NUM_KMERS or more.
_CODE = np.full(256, NUM_KMERS)
for _letters in (b"ACGT", b"acgt", b"ACGU", b"acgu"):
    _CODE[list(_letters)] = range(4)


def count_3mers_by_frame(sequence: str) -> np.ndarray:
    """
    Overlapping 3-mers of A, C, G, T and U, upper or lower case, counted apart for the three frames.

    Returns:
        Counts, float32, (3 frames, 64 3-mers). A 3-mer that begins `start` nt (0-based) into the sequence is in frame
        `start % 3`; 3-mers are in the order AAA, AAC, AAG, AAT, ACA, ...
    """
    codes = _CODE[np.frombuffer(sequence.encode("ascii", errors="replace"), dtype=np.uint8)]
    kmers = codes[:-2] * 16 + codes[1:-1] * 4 + codes[2:]
    cells = np.arange(len(kmers)) % K * NUM_KMERS + kmers
    counts = np.bincount(cells[kmers < NUM_KMERS], minlength=K * NUM_KMERS)
    return counts.reshape(K, NUM_KMERS).astype(np.float32)


def baseline_features(sequences: Iterable[str]) -> dict[str, np.ndarray]:
    """
    Name of each baseline -> its features, (sequences, 64 or 192), weakest first.

    They differ in what they know of the reading frame: nothing, the one frame that is translated, or all three frames
    apart. The last two take sequences to begin with the first letter of a codon.
    """
    counts = np.stack([count_3mers_by_frame(sequence) for sequence in sequences])  # (sequences, 3 frames, 64)
    return {
        "3-mer counts": counts.sum(axis=1),
        "in-frame codons": counts[:, 0],
        "frame-wise 3-mers": counts.reshape(len(counts), -1),
    }
