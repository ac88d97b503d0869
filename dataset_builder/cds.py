"""FASTA file -> one coding sequence (CDS) per gene."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasets.utils import tqdm

from dataset_builder.species import STOPS
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.sources import open_sequences

NOT_MULTIPLE_OF_THREE = "length is not a multiple of three"
NO_START = "no start codon"
NO_STOP = "no stop codon"
IN_FRAME_STOP = "stop codon inside"
TOO_SHORT = "shorter than a window"
SKIP_REASONS = (NOT_MULTIPLE_OF_THREE, NO_START, NO_STOP, IN_FRAME_STOP, TOO_SHORT)


class CDS(NamedTuple):
    """A coding sequence from start to stop codon, upper case, U written as T."""

    gene: str
    transcript: str
    sequence: str


def read_genes(
    path: str | Path, starts: frozenset[str], min_length_nt: int
) -> tuple[list[CDS], dict[str, int | dict[str, int]]]:
    """
    The longest valid CDS of each gene in a FASTA file.

    A CDS is valid if its length is a multiple of three and at least `min_length_nt`, it starts with a start codon,
    ends with a stop codon, and has no stop codon in between. Ties go to the smallest transcript id, then sequence, so
    the result does not depend on the order of the file.

    Returns:
        One CDS per gene, sorted by gene id; and counts: `records`, and `skipped` ones by the first reason.
    """
    best: dict[str, CDS] = {}
    skipped = Counter()
    number = 0
    with tqdm(desc="Reading coding sequences", unit=" records", delay=1) as progress:
        for batch in open_sequences(InputArguments(input=[str(path)], format="fasta")):
            for record in batch.table.to_pylist():
                gene, transcript = gene_and_transcript(record["id"], record["description"])
                sequence = record["sequence"].upper().replace("U", "T")
                reason = skip_reason(sequence, starts, min_length_nt)
                if reason:
                    skipped[reason] += 1
                    continue
                known = best.get(gene)
                if known is None or (-len(sequence), transcript, sequence) < (-len(known[2]), known[1], known[2]):
                    best[gene] = CDS(gene, transcript, sequence)
            number += batch.table.num_rows
            progress.update(batch.table.num_rows)
    counts = {"records": number, "skipped": {reason: skipped[reason] for reason in SKIP_REASONS}}
    if not best:
        raise SequenceFileError(
            f"{path}: no valid CDS ({counts}); give a FASTA file of complete coding sequences, from start to stop "
            "codon."
        )
    return [best[gene] for gene in sorted(best)], counts


def skip_reason(sequence: str, starts: frozenset[str], min_length_nt: int) -> str | None:
    """Why `sequence` (upper case, no U) is not a valid CDS, or None if it is one. See `read_genes`."""
    if len(sequence) % 3:
        return NOT_MULTIPLE_OF_THREE
    if sequence[:3] not in starts:
        return NO_START
    if sequence[-3:] not in STOPS:
        return NO_STOP
    codons = np.frombuffer(sequence.encode("ascii"), dtype="S3")[:-1]
    if any(np.count_nonzero(codons == stop.encode()) for stop in STOPS):
        return IN_FRAME_STOP
    return TOO_SHORT if len(sequence) < min_length_nt else None


def gene_and_transcript(record_id: str, description: str) -> tuple[str, str]:
    """Gene and transcript of a FASTA header, `>record_id description`.

    Ensembl, with a word `gene:ID`: `>TRANSCRIPT cds chromosome:… gene:GENE …`. Otherwise `>GENE TRANSCRIPT`. In a
    header without a second word, or with an attribute (`key=value`) there, the id stands for both: `>GENE`,
    `>GENE source=X`.
    """
    words = description.split()
    for word in words:
        if word.startswith("gene:") and len(word) > len("gene:"):
            return word.removeprefix("gene:"), record_id
    if words and "=" not in words[0]:
        return record_id, words[0]
    return record_id, record_id
