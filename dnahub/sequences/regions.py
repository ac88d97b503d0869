"""Genome + BED -> tables of its regions, on their strand."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from dnahub.sequences.batching import tables
from dnahub.sequences.checks import SequenceFileError, shown
from dnahub.sequences.genome import Genome
from dnahub.sequences.opening import InputFile

# IUPAC nucleotide codes, https://doi.org/10.1093/nar/13.9.3021, and those that pair with them.
COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")
NOT_REGIONS = ("track", "browser")  # the first word; https://genome.ucsc.edu/FAQ/FAQformat.html#format1
STRANDS = ("+", "-", ".")
# How files begin that are not BED, though they may have its suffix.
FOREIGN = {"##fileformat=VCF": "VCF", "#CHROM\tPOS": "VCF", "##gff-version": "GFF", "track type=bedGraph": "bedGraph"}
BED12_COLUMNS = 12


class Region(NamedTuple):
    """
    A line of a BED file, 0-based half-open.

    Args:
        blocks: The parts of the chromosome that make up its sequence; one, unless it is BED12.
    """

    line: int
    chrom: str
    start: int
    end: int
    name: str
    strand: str
    blocks: tuple[tuple[int, int], ...]


class BedFile:
    """
    The regions of a BED file, in its order, cut out of a genome; of BED12, the blocks joined.

    Args:
        bed: The regions.
        genome: FASTA file, plain or bgzip.

    Raises:
        SequenceFileError: If the genome is not such a file, or the regions are in another format.
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
        self._bed, self._name = bed, genome.name
        self._genome = Genome(genome)
        self._stream = bed.open()
        self._line = 0

    def reached(self) -> str:
        return f"line {self._line}"

    def __iter__(self) -> Iterator[pa.Table]:
        return tables(map(self._row, self._regions()), self.schema)

    def _row(self, region: Region) -> dict[str, str | int]:
        sequence = self._cut_out(region)
        values = (region.name, sequence, region.chrom, region.start, region.end, region.strand)
        return dict(zip(self.schema.names, values, strict=True))

    def _regions(self) -> Iterator[Region]:
        count = 0
        for line, raw in enumerate(self._stream, start=1):
            self._line = line
            text = raw.decode("utf-8").rstrip("\n")
            foreign = next((form for start, form in FOREIGN.items() if text.startswith(start)), None)
            if foreign:
                raise self._foreign(foreign)
            if text.strip() and not text.startswith("#") and text.split(None, 1)[0] not in NOT_REGIONS:
                count += 1
                yield self._parse(text)
        if not count:
            raise SequenceFileError(f"{self._bed.name}: it has no regions; write chrom, start and end in a line.")

    def _parse(self, text: str) -> Region:
        fields = [field.strip() for field in (text.split("\t") if "\t" in text else text.split())]
        if len(fields) >= 8 and all(map(_is_number, fields[3:5])) and fields[6] in STRANDS:
            raise self._foreign("GFF or GTF")
        if len(fields) >= 5 and _is_number(fields[1]) and not _is_number(fields[2]) and fields[3].isalpha():
            raise self._foreign("VCF")
        if len(fields) < 3 or not all(map(_is_number, fields[1:3])):
            raise self._error(f"{shown(text)!r} does not begin with a chromosome, a start and an end, two numbers")
        is_bedgraph = self._bed.suffix in (".bedgraph", ".bdg", ".bg")
        if len(fields) == 4 and (is_bedgraph or (_is_float(fields[3]) and not _is_number(fields[3]))):
            raise self._foreign("bedGraph")
        chrom, start, end = fields[0], int(fields[1]), int(fields[2])
        for column in (4, 5):
            if fields[column - 1 : column] in (["+"], ["-"]):
                raise self._error(f"column {column} is {fields[column - 1]!r}, but the strand is column 6 of BED")
        strand = fields[5] if len(fields) > 5 else "."
        if strand not in STRANDS:
            raise self._error(f"its strand is {shown(strand)!r}, not one of {' '.join(STRANDS)}")
        name = fields[3] if len(fields) > 3 and fields[3] not in ("", ".") else f"{chrom}:{start}-{end}({strand})"
        blocks = self._blocks(fields, start, end) if len(fields) >= BED12_COLUMNS else ((start, end),)
        return Region(self._line, chrom, start, end, name, strand, blocks)

    def _blocks(self, fields: list[str], start: int, end: int) -> tuple[tuple[int, int], ...]:
        """Sizes and starts of blocks; https://genome.ucsc.edu/FAQ/FAQformat.html#format1"""
        count, sizes, starts = (each.strip(",").split(",") for each in fields[9:12])
        if all(map(_is_number, count + sizes + starts)) and [len(sizes)] * 2 == [len(starts), int(count[0])]:
            blocks = tuple((start + int(at), start + int(at) + int(nt)) for nt, at in zip(sizes, starts, strict=True))
            bounds = [place for block in blocks for place in block]
            if bounds == sorted(bounds) and (bounds[0], bounds[-1]) == (start, end):
                return blocks
        raise self._error("its columns 10 to 12 are not the blocks of BED12, from its start to its end")

    def _cut_out(self, region: Region) -> str:
        where = f"{region.chrom}:{region.start}-{region.end}"
        chromosome = self._genome.chromosomes.get(region.chrom)
        if chromosome is None:
            known = list(self._genome.chromosomes)
            listed = ", ".join(map(shown, known[:5])) + ", …" * (len(known) > 5)
            raise self._error(f"there is no chromosome {shown(region.chrom)!r} in {self._name}, only {listed}")
        if region.start >= region.end:
            raise self._error(f"{where} ends at or before its start; BED is 0-based half-open, start < end")
        if region.end > chromosome.length_nt:
            raise self._error(f"{where} exceeds its chromosome, which has {chromosome.length_nt} nt in {self._name}")
        sequence = "".join(self._genome.fetch(region.chrom, *block) for block in region.blocks if block[0] < block[1])
        return sequence.translate(COMPLEMENT)[::-1] if region.strand == "-" else sequence

    def _foreign(self, form: str) -> SequenceFileError:
        return SequenceFileError(
            f"{self._bed.name}, line {self._line}: this is {form}, not BED; convert it to BED (chrom, start, end; "
            "0-based half-open)."
        )

    def _error(self, fault: str) -> SequenceFileError:
        return SequenceFileError(f"{self._bed.name}, line {self._line}: {fault}; correct or remove the line.")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _is_float(text: str) -> bool:
    try:
        return bool(float(text) or True)
    except ValueError:
        return False
