"""Indexed genome + BED -> tables of its regions, on their strand."""

import contextlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from dnahub.machine.files import replacing
from dnahub.sequences.batching import BATCH_NT, BATCH_RECORDS
from dnahub.sequences.checks import SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile, UnreadableError

# IUPAC nucleotide codes, https://doi.org/10.1093/nar/13.9.3021, and those that pair with them.
COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")
NOT_REGIONS = ("track", "browser")  # the first word; https://genome.ucsc.edu/FAQ/FAQformat.html#format1
STRANDS = ("+", "-", ".")
# What pyfaidx and the reader of bgzip beneath it raise for files that they cannot read.
FAULTS = (ValueError, IndexError, OSError, EOFError, RuntimeError, ImportError, zlib.error, struct.error)


class Region(NamedTuple):
    """A line of a BED file, 0-based half-open."""

    line: int
    chrom: str
    start: int
    end: int
    name: str
    strand: str


class BedFile:
    """
    The regions of a BED file, in its order, cut out of a genome.

    Args:
        bed: The regions.
        genome: FASTA file, plain or bgzip. Its index (.fai, and .gzi of bgzip) is taken where it is no older than the
            file; else it is made, and kept beside the file where that folder can be written to.

    Raises:
        SequenceFileError: If pyfaidx is not there, or the genome cannot be indexed.
    """

    unit, first, is_table, is_typed = "region", 1, False, True
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("sequence", pa.large_string()),
            ("chrom", pa.string()),
            ("region_start", pa.int64()),
            ("region_end", pa.int64()),
            ("strand", pa.string()),
        ]
    )

    def __init__(self, bed: InputFile, genome: InputFile):
        if not genome.is_regular:
            raise SequenceFileError(f"{genome.name}: regions cannot be cut out of a pipe; name a file.")
        self._bed, self._genome = bed, genome
        self._chromosomes = _open_genome(genome)
        self._stream = bed.open()
        self._line = 0

    def reached(self) -> str:
        return f"line {self._line}"

    def __iter__(self) -> Iterator[pa.Table]:
        columns, nt = {name: [] for name in self.schema.names}, 0
        for region in self._regions():
            sequence = self._cut_out(region)
            values = (region.name, sequence, region.chrom, region.start, region.end, region.strand)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            nt += len(sequence)
            if nt >= BATCH_NT or len(columns["id"]) >= BATCH_RECORDS:
                yield pa.table(columns, schema=self.schema)
                columns, nt = {name: [] for name in self.schema.names}, 0
        yield pa.table(columns, schema=self.schema)

    def _regions(self) -> Iterator[Region]:
        count = 0
        for line, raw in enumerate(self._stream, start=1):
            self._line = line
            text = raw.decode("utf-8").rstrip("\r\n")
            if text.strip() and not text.startswith("#") and text.split(None, 1)[0] not in NOT_REGIONS:
                count += 1
                yield self._parse(text)
        if not count:
            raise SequenceFileError(f"{self._bed.name}: it holds no regions; write chrom, start and end in a line.")

    def _parse(self, text: str) -> Region:
        fields = text.split("\t") if "\t" in text else text.split()
        if len(fields) < 3 or not all(each.strip().isdecimal() and each.isascii() for each in fields[1:3]):
            raise self._error(f"{shown(text)!r} does not begin with a chromosome, a start and an end, two numbers")
        chrom, start, end = fields[0].strip(), int(fields[1]), int(fields[2])
        strand = fields[5].strip() if len(fields) > 5 else "."
        if strand not in STRANDS:
            raise self._error(f"its strand is {shown(strand)!r}, not one of {' '.join(STRANDS)}")
        name = fields[3].strip() if len(fields) > 3 else ""
        name = name if name not in ("", ".") else f"{chrom}:{start}-{end}({strand})"
        return Region(self._line, chrom, start, end, name, strand)

    def _cut_out(self, region: Region) -> str:
        where = f"{region.chrom}:{region.start}-{region.end}"
        if region.chrom not in self._chromosomes:
            known = list(self._chromosomes.keys())
            listed = ", ".join(map(shown, known[:5])) + ", …" * (len(known) > 5)
            raise self._error(
                f"there is no chromosome {shown(region.chrom)!r} in {self._genome.name}, only {listed or 'none'}"
            )
        if region.start >= region.end:
            raise self._error(f"{where} begins where it ends, or after that; BED is 0-based half-open, start < end")
        length_nt = len(self._chromosomes[region.chrom])
        if region.end > length_nt:
            raise self._error(f"{where} goes beyond its chromosome, which has {length_nt} nt in {self._genome.name}")
        try:
            sequence = self._chromosomes[region.chrom][region.start : region.end]
        except FAULTS as error:
            raise SequenceFileError(
                f"{self._genome.name}: {where} cannot be read ({one_line(error)}); fetch the file again, and remove "
                "its index."
            ) from error
        if len(sequence) != region.end - region.start:
            raise SequenceFileError(
                f"{self._bed.name}, line {self._line}: {where} has {len(sequence)} nt in {self._genome.name}, so that "
                f"its index is of another file; remove {self._genome.name}.fai."
            )
        return sequence.translate(COMPLEMENT)[::-1] if region.strand == "-" else sequence

    def _error(self, fault: str) -> SequenceFileError:
        return SequenceFileError(f"{self._bed.name}, line {self._line}: {fault}; mend or remove the line.")


def _open_genome(genome: InputFile):
    """The chromosomes of a genome by pyfaidx; its index is complete before it has its name."""
    path = genome.path
    try:
        import pyfaidx
    except ImportError as error:
        raise SequenceFileError(
            f"{path}: regions of a genome need pyfaidx; pip install -r requirements-extra.txt."
        ) from error
    suffixes = (".fai", ".gzi") if Path(path).suffix.lower() in (".gz", ".bgz") else (".fai",)
    made = os.stat(path).st_mtime
    try:
        if all(os.path.exists(path + each) and os.stat(path + each).st_mtime >= made for each in suffixes):
            return pyfaidx.Fasta(path, as_raw=True, rebuild=False)
        try:
            _check_lines(genome)
        except UnreadableError as error:
            raise SequenceFileError(f"{path}: {error}.") from error
        with tempfile.TemporaryDirectory() as folder:
            index = os.path.join(folder, "genome")
            chromosomes = pyfaidx.Fasta(path, as_raw=True, indexname=index + ".fai", gzi_indexname=index + ".gzi")
            # pyfaidx holds the index in memory from here on; beside the file it is for the next run only.
            with contextlib.suppress(OSError):  # where that folder cannot be written to, each run makes its own
                for each in suffixes:
                    _place(Path(index + each), Path(path + each))
        return chromosomes
    except SequenceFileError:
        raise
    except (pyfaidx.FastaIndexingError, pyfaidx.UnsupportedCompressionFormat, *FAULTS) as error:
        raise SequenceFileError(
            f"{path}: it cannot be indexed ({one_line(error)}); give a plain FASTA file, or one compressed by "
            "bgzip, whose lines are equally long within a record."
        ) from error


def _check_lines(genome: InputFile) -> None:
    """pyfaidx takes a last line that is longer than the others, and then cuts out other letters (0.9.2.2)."""
    longest = None
    for number, line in enumerate(genome.open(), start=1):
        if line.startswith(b">"):
            longest = None
        elif longest is None:
            longest = len(line)
        elif len(line) > longest:
            raise SequenceFileError(
                f"{genome.name}, line {number}: it is longer than those before it in its record, so that the file "
                "cannot be indexed; write all lines of a record equally long, but for the last, which may be shorter."
            )
        else:
            longest = len(line)  # after a shorter line none follows but shorter ones, which pyfaidx refuses
    genome.close()


def _place(made: Path, target: Path) -> None:
    """Copies a file so that its new name never stands for a part of it."""
    with replacing(target) as scratch:
        scratch.write_bytes(made.read_bytes())
