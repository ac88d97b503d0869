"""VCF, table or region -> variants, a row for each alternative allele."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import IO

import pyarrow as pa

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.batching import Numbers, Source, tables
from dnahub.sequences.checks import SequenceFileError, one_line, shown
from dnahub.sequences.opening import InputFile
from dnahub.sequences.reader import SequenceReader, open_inputs
from dnahub.sequences.regions import NOT_REGIONS, Genome

ID = "{}-{}-{}-{}"  # of a variant without a name, as in gnomAD
NEEDED = ("chrom", "pos", "ref", "alt")  # columns of a table; pos is 1-based
REGION = re.compile(r"(?P<chrom>.+):(?P<start>[0-9,]+)-(?P<end>[0-9,]+)")
BASES = "ACGT"
NO_ALLELE = "."  # as in VCF, of a record without alternative
MITOCHONDRIA = ("M", "MT")


@dataclass
class Chromosomes:
    """What variants call the chromosomes of a genome: chr1 or 1, chrM or MT."""

    genome: Genome
    matched: dict[str, str] = field(default_factory=dict)  # those of another name there

    def find(self, name: str) -> str | None:
        """The name in the genome; None if there is no such chromosome."""
        bare = name.removeprefix("chr")
        bares = MITOCHONDRIA if bare in MITOCHONDRIA else (bare,)
        for other in (name, *(f"{prefix}{each}" for each in bares for prefix in ("", "chr"))):
            if other in self.genome.num_nt:
                if other != name:
                    self.matched[name] = other
                return other
        return None


class VcfFile(Source):
    """
    The records of a VCF file, plain or compressed, by pysam (htslib).

    Of several alternatives each has a row; `alt_number` counts them from 0. `pos` is 1-based.
    """

    unit, is_typed = "record", True
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("sequence", pa.large_string()),  # the reference allele
            ("chrom", pa.string()),
            ("pos", pa.int64()),
            ("alt", pa.string()),
            ("alt_number", pa.int32()),
        ]
    )

    def __init__(self, file: InputFile):
        if find_spec("pysam") is None:
            raise ImportError(f"{file.name}: reading VCF needs pysam: pip install -r requirements-extra.txt.")
        import pysam

        self._file = file
        pysam.set_verbosity(0)  # of contigs that the header does not name
        try:
            try:
                self._vcf = pysam.VariantFile(file.path)
            except NotImplementedError:  # pysam seeks, which htslib can in BGZF, not in other compressed files
                self._vcf = pysam.VariantFile(_decompressed(file))
        except (OSError, ValueError) as error:
            raise SequenceFileError(
                f"{file.name}: it is not a VCF file with its header, or cut off ({one_line(error)}); fetch it again."
            ) from error

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        yield from tables(self._rows(), self.schema)

    def _rows(self) -> Iterator[tuple[int, tuple]]:
        number = 0
        while True:
            try:
                record = next(self._vcf, None)
                if record is not None:
                    name, chrom, pos, ref = record.id, record.chrom, record.pos, record.ref
                    alts = record.alts or (NO_ALLELE,)
            except (OSError, ValueError) as error:
                raise SequenceFileError(
                    f"{self._file.name}, record {number + 1}: it cannot be read ({one_line(error)}); correct it."
                ) from error
            if record is None:
                break
            number += 1
            for i, alt in enumerate(alts):
                yield number, (name or ID.format(chrom, pos, ref, alt), ref, chrom, pos, alt, i)
        if not number:
            raise SequenceFileError(f"{self._file.name}: it has no variants; give a file with some.")
        self._file.bytes_read = self._file.size or 0


def _decompressed(file: InputFile) -> IO[bytes]:
    """Its content in a temporary file without a name."""
    scratch = tempfile.TemporaryFile()
    shutil.copyfileobj(file.open(), scratch)
    file.close()
    scratch.seek(0)
    return scratch


class EverySubstitution(Source):
    """The three other bases at each place of some regions of a genome, for in-silico mutagenesis; N has none."""

    unit, is_typed = "place", True
    schema = VcfFile.schema

    def __init__(self, regions: list[tuple[str, int, int]], genome: Genome):
        """Of regions, chromosome, start and end, 0-based half-open."""
        self._regions, self._genome = regions, genome

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        yield from tables(self._rows(), self.schema)

    def _rows(self) -> Iterator[tuple[int, tuple]]:
        number = 0
        for chrom, start, end in self._regions:
            for pos, ref in enumerate(self._genome.fetch(chrom, start, end).upper(), start=start + 1):
                number += 1
                for i, alt in enumerate(base for base in BASES if base != ref and ref in BASES):
                    yield number, (ID.format(chrom, pos, ref, alt), ref, chrom, pos, alt, i)


def open_variants(path: str, bad: BadRecords) -> SequenceReader:
    """A VCF file, or a table in any format of `embed.py --input` with the columns chrom, pos, ref and alt."""
    file = InputFile(path)
    args = InputArguments(input=[path], sequence_column="ref")
    if file.suffix == ".vcf":
        return SequenceReader([file], VcfFile, InputArguments(input=[path]), bad=bad)
    reader = open_inputs([file], args, bad=bad)
    missing = [name for name in NEEDED if name not in reader.source_columns]
    if missing:
        raise SequenceFileError(
            f"{path}: a table of variants needs the columns {', '.join(NEEDED)}, and has no {missing[0]}; rename its "
            "columns, or give a .vcf file."
        )
    return reader


def open_substitutions(
    region: str | None, bed: str | None, chromosomes: Chromosomes, bad: BadRecords
) -> SequenceReader:
    """Every substitution of a region of `parse_region`, or of the regions of a BED file."""
    genome, regions = chromosomes.genome, []
    for chrom, start, end in [parse_region(region)] if region else _regions_of(InputFile(bed)):
        name = chromosomes.find(chrom)
        if name is None:
            names = ", ".join(map(shown, list(genome.num_nt)[:5]))
            raise ValueError(f"There is no chromosome {shown(chrom)!r} in the genome, which begins {names}.")
        if end > genome.num_nt[name]:
            raise ValueError(f"{chrom}:{start + 1}-{end} exceeds its chromosome of {genome.num_nt[name]} nt.")
        regions.append((name, start, end))
    if not any(set(genome.fetch(*each).upper()) & set(BASES) for each in regions):
        raise ValueError(f"{region or bed}: there is no A, C, G or T of the genome in it.")
    return SequenceReader(
        [InputFile(bed or genome.path)], lambda _: EverySubstitution(regions, genome), InputArguments(), bad=bad
    )


def _regions_of(file: InputFile) -> Iterator[tuple[str, int, int]]:
    for number, line in enumerate(file.open(), start=1):
        fields = line.decode().split()
        if not fields or fields[0].startswith("#") or fields[0] in NOT_REGIONS:
            continue
        if len(fields) < 3 or not all(each.isdecimal() for each in fields[1:3]) or int(fields[1]) >= int(fields[2]):
            raise SequenceFileError(f"{file.name}, line {number}: not a BED line; give chrom, start and end.")
        yield fields[0], int(fields[1]), int(fields[2])
    file.close()


def parse_region(text: str) -> tuple[str, int, int]:
    """chrom:start-end, 1-based and inclusive as in genome browsers -> chromosome, start and end, 0-based half-open."""
    found = REGION.fullmatch(text)
    if found is None:
        raise ValueError(f"--saturate {text}: give chrom:start-end, such as chr1:1000-1100 (1-based, both included).")
    start, end = (int(found[name].replace(",", "")) for name in ("start", "end"))
    if not 1 <= start <= end:
        raise ValueError(f"--saturate {text}: it ends before it starts, or starts before 1.")
    return found["chrom"], start - 1, end
