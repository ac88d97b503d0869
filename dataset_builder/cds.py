"""FASTA file -> one coding sequence (CDS) per gene."""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.packaged_modules.fasta.fasta import Fasta
from datasets.utils import tqdm

from dataset_builder.species import STOPS

GZIP_MAGIC = b"\x1f\x8b"
# IUPAC nucleotide codes, https://doi.org/10.1093/nar/13.9.3021 (U besides T), in both cases.
IUPAC = frozenset("ACGTURYSWKMBDHVN" + "acgturyswkmbdhvn")
_NO_IUPAC = str.maketrans("", "", "".join(IUPAC))
RECORDS_PER_BATCH = 1000
LONGEST_ID_SHOWN = 60  # what a corrupt file holds may be one long word

NOT_MULTIPLE_OF_THREE = "length is not a multiple of three"
NO_START = "no start codon"
NO_STOP = "no stop codon"
IN_FRAME_STOP = "stop codon inside"
TOO_SHORT = "shorter than a window"
SKIP_REASONS = (NOT_MULTIPLE_OF_THREE, NO_START, NO_STOP, IN_FRAME_STOP, TOO_SHORT)


class CDSFileError(ValueError):
    """A file of coding sequences that cannot be read as one; the message holds its path and the record."""


class CDS(NamedTuple):
    """A coding sequence from start to stop codon, upper case, U written as T."""

    gene: str
    transcript: str
    sequence: str


class Record(NamedTuple):
    """One FASTA record as it stands in the file; `number` counts from 1."""

    number: int
    id: str
    description: str
    sequence: str


@dataclass(frozen=True)
class GeneSet:
    """What one file gave.

    Args:
        genes: One CDS per gene, sorted by gene id.
        records: Records in the file.
        repeated_ids: Records whose gene and transcript an earlier record had, too.
        skipped: Records that are no valid CDS, by the first reason that applies.
    """

    genes: list[CDS]
    records: int
    repeated_ids: int
    skipped: dict[str, int]


def read_genes(path: str | Path, starts: frozenset[str], min_length_nt: int) -> GeneSet:
    """Reads a FASTA file and keeps the longest valid CDS of each gene.

    A CDS is valid when its length is a multiple of three, it begins with a start codon, ends with a stop codon, has no
    stop codon in between, and is no shorter than `min_length_nt`. Among the longest of a gene the one with the
    smallest transcript id (then sequence) is kept, so the order of the file does not matter, nor do records of
    the same id.

    Args:
        path: FASTA file, gzip or plain.
        starts: Start codons, such as {"ATG"}.
        min_length_nt: Shortest CDS to keep, in nt.

    Raises:
        CDSFileError: The file cannot be read, or holds no valid CDS.
    """
    best: dict[str, CDS] = {}
    names = set()
    skipped = Counter()
    number = 0
    for number, record_id, description, letters in read_records(path):  # noqa: B007 (the last number is the count)
        gene, transcript = gene_and_transcript(record_id, description)
        names.add((gene, transcript))
        sequence = letters.upper().replace("U", "T")
        reason = skip_reason(sequence, starts, min_length_nt)
        if reason:
            skipped[reason] += 1
            continue
        known = best.get(gene)
        if known is None or (-len(sequence), transcript, sequence) < (-len(known[2]), known[1], known[2]):
            best[gene] = CDS(gene, transcript, sequence)
    counts = {reason: skipped[reason] for reason in SKIP_REASONS}
    if not best:
        raise CDSFileError(
            f"{path}: none of its {number} records is a valid CDS ({counts}); give a FASTA file of whole coding "
            "sequences, from start to stop codon."
        )
    return GeneSet([best[gene] for gene in sorted(best)], number, number - len(names), counts)


def skip_reason(sequence: str, starts: frozenset[str], min_length_nt: int) -> str | None:
    """Why `sequence` (upper case, no U) is no valid CDS, or None if it is one. See `read_genes`."""
    if len(sequence) % 3:
        return NOT_MULTIPLE_OF_THREE
    if sequence[:3] not in starts:
        return NO_START
    if sequence[-3:] not in STOPS:
        return NO_STOP
    codons = np.frombuffer(sequence.encode("ascii"), dtype="S3")[:-1]
    if any(np.count_nonzero(codons == stop.encode()) for stop in STOPS):
        return IN_FRAME_STOP
    if len(sequence) < min_length_nt:
        return TOO_SHORT
    return None


def gene_and_transcript(record_id: str, description: str) -> tuple[str, str]:
    """Gene and transcript of a FASTA header, `>record_id description`.

    Ensembl, where a word `gene:ID` follows: `>TRANSCRIPT cds chromosome:… gene:GENE …`. Otherwise `>GENE TRANSCRIPT`,
    and a header without a second word, or with one that is an attribute (`key=value`), names gene and transcript at
    once: `>GENE`, `>GENE source=X`.
    """
    words = description.split()
    for word in words:
        if word.startswith("gene:") and len(word) > len("gene:"):
            return word.removeprefix("gene:"), record_id
    if words and "=" not in words[0]:
        return record_id, words[0]
    return record_id, record_id


def read_records(path: str | Path) -> Iterator[Record]:
    """Streams the records of a FASTA file, gzip or plain, in bounded memory.

    The `fasta` module of datasets does the reading. It lets text before the first `>`, empty records and empty files
    pass and names neither file nor record in its errors; here each of these is an error that does.

    Raises:
        CDSFileError: The file is empty, broken, not FASTA, or holds something else than IUPAC nucleotide codes.
    """
    path = Path(path)
    _check_path(path)
    _check_first_line(path)
    batches = _batches(path)
    number = 0
    with tqdm(desc="Reading coding sequences", unit=" records", delay=1) as progress:
        while True:
            try:
                batch = next(batches, None)
            except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
                raise _fault(path, error) from error
            if batch is None:
                return
            for record_id, description, sequence in zip(
                batch["id"], batch["description"], batch["sequence"], strict=True
            ):
                number += 1
                if not record_id:
                    raise CDSFileError(f"{path}, record {number}: no id after '>'; give every record one.")
                if not sequence:
                    raise CDSFileError(
                        f"{path}, record {number} ({record_id}): no sequence; remove the record or complete it."
                    )
                strange = sequence.translate(_NO_IUPAC)
                if strange:
                    raise CDSFileError(
                        f"{path}, record {number} ({record_id}): {strange[0]!r} at position "
                        f"{sequence.index(strange[0])} (0-based) is no IUPAC nucleotide code "
                        f"({''.join(sorted(code for code in IUPAC if code.isupper()))}); "
                        "give nucleotide sequences, without gaps."
                    )
                yield Record(number, record_id, description, sequence)
            progress.update(len(batch["id"]))


def _batches(path: Path) -> Iterator[dict[str, list[str]]]:
    # The path is handed over as it is: given as `data_files="…"` it would be a pattern, where "*" has a meaning.
    data_files = DataFilesDict(train=DataFilesList([str(path.absolute())], origin_metadata=[]))
    stream = Fasta(columns=["id", "description", "sequence"], data_files=data_files).as_streaming_dataset("train")
    for table in stream.with_format("arrow").iter(batch_size=RECORDS_PER_BATCH):
        yield table.to_pydict()


def _check_path(path: Path) -> None:
    if any(mark in str(path.absolute()) for mark in ("::", ":/", "\\")) or set(path.name) & set("[]"):
        raise CDSFileError(
            f"{path}: datasets takes '::', ':/', '\\' in a path, and '[', ']' in a file's name, for parts of an "
            "address; rename the file or its folder."
        )


def _check_first_line(path: Path) -> None:
    with path.open("rb") as file:
        magic = file.read(2)
    if not magic:
        raise CDSFileError(f"{path}: the file is empty; give a FASTA file.")
    if path.suffix == ".gz" and magic != GZIP_MAGIC:
        raise CDSFileError(f"{path}: the name ends in .gz but this is no gzip file; compress or rename it.")
    try:
        with _open(path) as lines:
            for line_number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                if not line.startswith(b">"):
                    text = line[:30].decode("utf-8", "replace").strip()
                    raise CDSFileError(
                        f"{path}, line {line_number}: {text!r} stands before the first '>'; a FASTA file begins with "
                        "'>' and a record's id."
                    )
                return
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _fault(path, error) from error
    raise CDSFileError(f"{path}: the file is empty but for white space; give a FASTA file.")


def _open(path: Path):
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
    return gzip.open(path, "rb") if is_gzip else path.open("rb")


def _fault(path: Path, error: Exception) -> CDSFileError:
    """Reads the file a second time, up to the fault, to say where it is: the stream comes in batches."""
    line_number = record_number = 0
    record_id = ""
    kind = f"cannot be read ({error})"
    try:
        with _open(path) as lines:
            for line in lines:
                line_number += 1
                text = line.decode("utf-8")
                if text.startswith(">"):
                    record_number += 1
                    record_id = (text[1:].split() or [""])[0][:LONGEST_ID_SHOWN]
    except EOFError:
        kind = "the .gz file ends too early; fetch it again"
    except (zlib.error, gzip.BadGzipFile) as fault:
        kind = f"the .gz file is corrupt ({fault}); fetch it again"
    except UnicodeDecodeError:
        kind = "not UTF-8 text; save the file as ASCII or UTF-8"
    return CDSFileError(f"{path}, record {record_number} ({record_id}), line {line_number}: {kind}.")
