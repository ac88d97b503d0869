"""FASTA file -> one coding sequence (CDS) per gene, or every record of any DNA."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets.utils import tqdm

from dataset_builder.headers import CODING_REGION, FORMS, GENCODE, GENE_TRANSCRIPT, Form, parse_header
from dataset_builder.species import GENETIC_CODES
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.sources import open_sequences

NOT_MULTIPLE_OF_THREE = "length is not a multiple of three"
NO_START = "no start codon"
NO_STOP = "no stop codon"
IN_FRAME_STOP = "stop codon inside"
TOO_SHORT = "shorter than a window"
NO_CODING_REGION = "transcript without a CDS"
SKIP_REASONS = (NOT_MULTIPLE_OF_THREE, NO_START, NO_STOP, IN_FRAME_STOP, TOO_SHORT, NO_CODING_REGION)
GENE_PATTERN = "--gene_pattern"


class CDS(NamedTuple):
    """
    A coding sequence from start to stop codon, or a record of any DNA; upper case, U written as T.

    `symbol` is "" if not known; in records of any DNA, it is the gene that the header names.
    """

    gene: str
    transcript: str
    sequence: str
    symbol: str = ""


def read_genes(
    path: str | Path, genetic_code: int | None, min_length_nt: int, gene_pattern: str | None = None
) -> tuple[list[CDS], dict[str, Any]]:
    """
    The longest valid CDS of each gene in a FASTA file; without a genetic code, all its records of any DNA.

    A CDS is valid if its length is a multiple of three and at least `min_length_nt`, it starts with a start codon,
    ends with a stop codon, and has no stop codon in between. Ties go to the smallest transcript id, then sequence, so
    the result does not depend on the order of the file. Records of any DNA need `min_length_nt` only. `gene_pattern`,
    a regular expression with one group, finds the gene in headers that it matches; see `headers`.

    Returns:
        One CDS per gene, or all records, sorted by gene id; and counts: `records`, `skipped` ones by the first reason,
        the `header_form` (None: the headers name no gene), records `without_gene` and `genes` named.

    Raises:
        SequenceFileError: No valid CDS or record, or headers of several forms.
    """
    forms = (Form(GENE_PATTERN, gene_pattern), *FORMS) if gene_pattern else FORMS
    best: dict[str | int, CDS] = {}  # by gene; records of any DNA by their number
    skipped = Counter()
    first_of: dict[str | None, str] = {}
    num_of = Counter()
    named: set[tuple[str, str]] = set()
    number = 0
    with tqdm(desc="Reading sequences", unit=" records", delay=1) as progress:
        for batch in open_sequences(InputArguments(input=[str(path)], format="fasta"), bad=BadRecords(None)):
            for record in batch.table.to_pylist():
                number += 1
                header = parse_header(record["id"], record["description"], forms)
                first_of.setdefault(header.form, f"record {number} ({record['id']})")
                num_of[header.form] += 1
                named.add((header.gene, header.transcript))
                sequence = record["sequence"].upper().replace("U", "T")
                if genetic_code is None:
                    reason = TOO_SHORT if len(sequence) < min_length_nt else None
                    key, symbol = number, header.gene if header.form else ""
                else:
                    if header.form == GENCODE or CODING_REGION.search(record["id"]):
                        sequence = coding_region(sequence, record["id"], f"{path}, record {number}")
                    reason = skip_reason(sequence, genetic_code, min_length_nt) if sequence else NO_CODING_REGION
                    key, symbol = header.gene, header.symbol
                if reason:
                    skipped[reason] += 1
                    continue
                cds = CDS(header.gene, header.transcript, sequence, symbol)
                known = best.get(key)
                if known is None or (-len(sequence), *cds[1:3]) < (-len(known.sequence), *known[1:3]):
                    best[key] = cds
            progress.update(batch.table.num_rows)
    if len(num_of) > 1 and (len(num_of) > 2 or None not in num_of or GENE_PATTERN in num_of):
        kinds = ", ".join(f"{num_of[form]} of {form or 'no gene'} (first: {first_of[form]})" for form in num_of)
        raise SequenceFileError(
            f"{path}: its headers are of several forms: {kinds}; give a file of one form, or a --gene_pattern that "
            "matches every header."
        )
    form = next((form for form in num_of if form), None)
    if form == GENE_TRANSCRIPT and len({transcript for _, transcript in named}) < len(named):
        form = None  # the second word is something else, for it stands after several ids
    kept = sorted(best.values())
    if genetic_code is None and form is None:
        kept = [cds._replace(symbol="") for cds in kept]
    reasons = SKIP_REASONS if genetic_code else (TOO_SHORT,)
    counts = {
        "records": number,
        "skipped": {reason: skipped[reason] for reason in reasons},
        "header_form": form,
        "without_gene": num_of[None] if form else number,
        "genes": len({gene for gene, _ in named}),
    }
    if not kept and genetic_code is None:
        raise SequenceFileError(
            f"{path}: none of {number} records has {min_length_nt} nt, the length of a window; give longer ones, or a "
            "shorter --window_nt."
        )
    if not kept:
        raise SequenceFileError(
            f"{path}: no valid CDS in {number} records ({counts['skipped']}); give a FASTA file of complete coding "
            "sequences, from start to stop codon, or, for any other DNA, --classes files."
        )
    return kept, counts


def coding_region(transcript: str, header: str, record: str) -> str:
    """The CDS of a GENCODE transcript, where its header says, or "" if it names none."""
    found = CODING_REGION.search(header)
    if not found:
        return ""
    start, end = int(found[1]) - 1, int(found[2])
    if len(transcript) < end and len(transcript) != end - start:  # as long as the CDS: it was cut out before
        raise SequenceFileError(
            f"{record}: its header places the CDS at {found[1]}-{found[2]}, but its sequence has {len(transcript)} "
            "nt; give the file of transcripts as GENCODE distributes it."
        )
    return transcript if len(transcript) < end else transcript[start:end]


def skip_reason(sequence: str, genetic_code: int, min_length_nt: int) -> str | None:
    """Why `sequence` (upper case, no U) is not a valid CDS, or None if it is one. See `read_genes`."""
    starts, stops = GENETIC_CODES[genetic_code]
    if len(sequence) % 3:
        return NOT_MULTIPLE_OF_THREE
    if sequence[:3] not in starts:
        return NO_START
    if sequence[-3:] not in stops:
        return NO_STOP
    codons = np.frombuffer(sequence.encode("ascii"), dtype="S3")[:-1]
    if any(np.count_nonzero(codons == stop.encode()) for stop in stops):
        return IN_FRAME_STOP
    return TOO_SHORT if len(sequence) < min_length_nt else None
