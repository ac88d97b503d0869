"""Genes, or records of any DNA -> GC content and codon counts."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from dataset_builder.cds import CDS

CODONS = tuple("".join(letters) for letters in product("ACGT", repeat=3))


def codon_counts(genes: Sequence[CDS]) -> dict[str, int]:
    """Count of each of the 64 codons of A, C, G and T, without the start codon and with the stop codon."""
    codons = np.frombuffer("".join(cds.sequence[3:] for cds in genes).encode("ascii"), dtype="S3")
    found, counts = np.unique(codons, return_counts=True)
    count_of = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return {codon: count_of.get(codon.encode("ascii"), 0) for codon in CODONS}


def composition(genes: Sequence[CDS], coding: bool) -> dict[str, Any]:
    """`gc`, the fraction of G and C among A, C, G and T; if coding, `gc3` at third codon positions, and `codons`."""
    text = "".join(cds.sequence for cds in genes)
    of_any_dna = {"gc": _gc_fraction(text)}
    return of_any_dna | ({"gc3": _gc_fraction(text[2::3]), "codons": codon_counts(genes)} if coding else {})


def _gc_fraction(text: str) -> float:
    gc = text.count("G") + text.count("C")
    return gc / max(1, gc + text.count("A") + text.count("T"))
