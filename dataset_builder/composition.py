"""Genes -> GC content and codon counts."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from dataset_builder.cds import CDS

CODONS = tuple("".join(letters) for letters in product("ACGT", repeat=3))


def codon_counts(genes: Sequence[CDS]) -> dict[str, int]:
    """Count of each of the 64 codons in the genes, without the start codon and with the stop codon.

    Codons with letters other than A, C, G and T are not counted.
    """
    codons = np.frombuffer("".join(cds.sequence[3:] for cds in genes).encode("ascii"), dtype="S3")
    found, counts = np.unique(codons, return_counts=True)
    count_of = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return {codon: count_of.get(codon.encode("ascii"), 0) for codon in CODONS}


def gc_content(genes: Sequence[CDS]) -> dict[str, float]:
    """Share of G and C among A, C, G and T: `gc` in whole genes, `gc3` at third codon positions."""
    letters = np.frombuffer("".join(cds.sequence for cds in genes).encode("ascii"), dtype=np.uint8)
    return {"gc": _gc_share(letters), "gc3": _gc_share(letters[2::3])}


def _gc_share(letters: np.ndarray) -> float:
    counts = np.bincount(letters, minlength=128)
    a, c, g, t = (int(counts[ord(letter)]) for letter in "ACGT")
    return (c + g) / (a + c + g + t)
