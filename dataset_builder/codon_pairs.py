"""Coding sequences of the six species -> codon_pairs.csv, the table that synthetic genes are drawn from.

    python -m dataset_builder.codon_pairs --source FOLDER

FOLDER contains one FASTA file for each of the six species. The table next to this module is replaced. The notes at its
top stay, except those on the files counted: correct by hand where the sequences are from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.cds import CDS
from dataset_builder.composition import CODONS
from dataset_builder.species import SPECIES
from dataset_builder.synthetic import CODON_PAIRS_FILE, IS_STOP, codon_pairs_notes
from dnahub.machine.arguments import parse
from dnahub.machine.files import write_text
from dnahub.machine.script import run


@dataclass
class Arguments:
    """What to count."""

    source: str = field(metadata={"help": "folder with one FASTA file for each of the six species"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Replace the table."""
    (settings,) = parse("python -m dataset_builder.codon_pairs", __doc__, (Arguments,), arguments)
    from dataset_builder.sources import genes_of_files, species_files  # here, because it imports heavy libraries

    codes = [species.genetic_code for species in SPECIES]
    genes, origins = genes_of_files(species_files(Path(settings.source)), codes, min_length_nt=3)
    write_text(CODON_PAIRS_FILE, table_of(genes, origins))
    print(f"{CODON_PAIRS_FILE}: {CODON_PAIRS_FILE.stat().st_size:,} bytes")


def table_of(genes: Sequence[Sequence[CDS]], origins: Sequence[dict[str, Any]]) -> str:
    """The text of codon_pairs.csv for the genes of each species and their files, with the notes that it has now."""
    counts = [count_pairs(each) for each in genes]
    prefixes = [species.prefix for species in SPECIES]
    notes = [note for note in codon_pairs_notes() if not note.startswith(tuple(f"{prefix}: " for prefix in prefixes))]
    for prefix, species_genes, pairs, origin in zip(prefixes, genes, counts, origins, strict=True):
        file = f"{origin['name']} (sha256 {origin['sha256']})"
        notes.append(f"{prefix}: {len(species_genes)} genes, {pairs.sum()} pairs, of {file}")
    lines = [f"# {note}" for note in notes] + [",".join(["first", "second", *prefixes])]
    for first in np.flatnonzero(~IS_STOP):
        for second, codon in enumerate(CODONS):
            lines.append(",".join([CODONS[first], codon, *(str(pairs[first, second]) for pairs in counts)]))
    return "\n".join(lines) + "\n"


def count_pairs(genes: Sequence[CDS]) -> np.ndarray:
    """Counts of a codon (row) followed by another in genes, after the start codon: int64 (64, 64), as CODONS."""
    text = "".join(cds.sequence[3:] for cds in genes).encode("ascii")
    letters, acgt = np.frombuffer(text, dtype=np.uint8).reshape(-1, 3), np.frombuffer(b"ACGT", dtype=np.uint8)
    size = len(CODONS) + 1  # the last is for codons with other letters
    known = np.isin(letters, acgt).all(axis=1)
    numbers = np.where(known, np.searchsorted(acgt, letters) @ [16, 4, 1], size - 1)
    pairs = np.bincount(numbers[:-1] * size + numbers[1:], minlength=size**2).reshape(size, size)[:-1, :-1]
    pairs[IS_STOP] = 0  # a stop codon ends its gene: the next codon is of another one
    return pairs


if __name__ == "__main__":
    run("codon_pairs", main)
