"""Genome + BED -> tables of its regions, on their strand."""

import hashlib
import re
import string
import tempfile
from collections.abc import Iterator

import pyarrow as pa

from dnahub.sequences.batching import Numbers, Source, tables
from dnahub.sequences.checks import BadRecord, SequenceFileError, shown
from dnahub.sequences.fasta import FastaFile
from dnahub.sequences.ids import SeenIds
from dnahub.sequences.opening import InputFile

# IUPAC nucleotide codes, https://doi.org/10.1093/nar/13.9.3021, and those that pair with them.
COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")
# The first word of lines that are no regions; https://genome.ucsc.edu/FAQ/FAQformat.html#format1
NOT_REGIONS = ("track", "browser")
# How files of other formats begin, or the comments in them.
OTHER_FORMATS = re.compile(
    r"(?P<VCF>##fileformat=VCF|#CHROM\s+POS)|(?P<GFF>##gff-version)|(?P<SAM>@(HD|SQ)\s)"
    r"|(?P<bedGraph>track\s.*type=\W?bedGraph)|(?P<WIG>track\s.*type=\W?wiggle_0|(fixed|variable)Step\s)"
)
STRANDS = ("+", "-", ".")
BED12_COLUMNS = 12
REGION_COLUMNS = ("chrom", "region_start", "region_end", "strand")  # of the tables; nt, 0-based half-open
OWN_ID = "{chrom}:{region_start}-{region_end}({strand})"
# What may stand in the sequence of a genome: a line number would move all regions behind it.
GENOME_LETTERS = (string.ascii_letters + "-*.").encode()
NUCLEOTIDES = re.compile("[ACGTNacgtn]+")
ALTERNATIVE = re.compile(r"[ACGTNacgtn*,.]+|<.+>|.*[\[\]].*")  # of VCF
BEDGRAPH, SCORE = (".bedgraph", ".bdg", ".bg"), re.compile(r"-?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")


class Genome:
    """
    The chromosomes of a FASTA file: read once, their letters are kept in a temporary file, from which regions are cut.

    So neither the layout of lines nor the compression matters, and no index is needed that may be of another file.
    `num_nt` is the length of each chromosome, by its id; `digest` is one of all ids and letters.
    """

    def __init__(self, file: InputFile):
        self.path = file.path
        self.num_nt: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        self._letters = tempfile.TemporaryFile()
        content = hashlib.blake2b(digest_size=16)
        for number, (raw_id, sequence, _) in enumerate(FastaFile(file).records(), start=1):
            name, sequence = raw_id.decode(), b"".join(sequence.split())
            if name in self._starts:
                raise SequenceFileError(
                    f"{file.name}, record {number}: a record before it has the id {shown(name)!r}, too; rename one."
                )
            if strange := sequence.translate(None, GENOME_LETTERS).decode("utf-8", "replace"):
                raise SequenceFileError(
                    f"{file.name}, record {number} ({shown(name)}): {strange[0]!r} stands in its sequence, and would "
                    "count as a nucleotide of every region behind it; remove what is not sequence."
                )
            self._starts[name], self.num_nt[name] = self._letters.tell(), len(sequence)
            self._letters.write(sequence)
            content.update(b">%s\n%s\n" % (raw_id, sequence))
        self.digest = content.hexdigest()
        file.check_unchanged()

    def fetch(self, name: str, start: int, end: int) -> str:
        """The letters of a region, 0-based half-open, within the chromosome."""
        self._letters.seek(self._starts[name] + start)
        return self._letters.read(end - start).decode("utf-8", "replace")


class BedFile(Source):
    """
    The regions of a BED file, in its order, cut out of a genome in FASTA; of BED12, the blocks joined.

    Without `joins_blocks`, a region of several blocks is a bad record. The id of a region without a name is
    chrom:start-end(strand), with its line after it if that was there before.
    """

    unit, is_typed = "line", True
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("sequence", pa.large_string()),
            *zip(REGION_COLUMNS, (pa.string(), pa.int64(), pa.int64(), pa.string()), strict=True),
        ]
    )

    def __init__(self, bed: InputFile, genome: InputFile, joins_blocks: bool = True):
        self._bed, self._genome_name, self._joins_blocks = bed, genome.name, joins_blocks
        self._genome = Genome(genome)
        self.contigs = self._genome.num_nt
        self._stream = bed.open()

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        seen = SeenIds()
        for numbers, table in tables(self._rows(), self.schema):
            rows = table.drop_columns("sequence").to_pylist()
            names = [row["id"] or OWN_ID.format_map(row) for row in rows]
            for i in seen.add(names):
                if not rows[i]["id"]:
                    names[i] += f".{numbers[i]}"
            yield numbers, table.set_column(0, "id", pa.array(names, pa.string()))

    def _rows(self) -> Iterator[tuple[int, tuple]]:
        count = 0
        for line, raw in enumerate(self._stream, start=1):
            text = raw.decode().rstrip("\n")
            fields = [field.strip() for field in (text.split("\t") if "\t" in text else text.split())]
            if form := _other_format(text, fields, self._bed.suffix):
                raise SequenceFileError(
                    f"{self._bed.name}, line {line}: this is {form}, not BED (chrom, start, end; 0-based half-open); "
                    "convert it."
                )
            if text.strip() and not text.startswith("#") and text.split(None, 1)[0] not in NOT_REGIONS:
                count += 1
                try:
                    yield line, self._row(fields)
                except BadRecord as fault:
                    self.bad.note(self._bed.name, f"line {line}", fields[3] if len(fields) > 3 else None, fault)
        if not count:
            raise SequenceFileError(f"{self._bed.name}: it has no regions; write chrom, start and end in a line.")

    def _row(self, fields: list[str]) -> tuple:
        """Raises BadRecord."""
        if len(fields) < 3 or not all(map(_is_number, fields[1:3])):
            raise BadRecord(
                "a line that is not BED", "it does not begin with a chromosome, a start and an end, two numbers"
            )
        chrom, start, end = fields[0], int(fields[1]), int(fields[2])
        strand = fields[5] if len(fields) > 5 else "."
        others = [column for column, field in enumerate(fields, start=1) if field in ("+", "-") and column != 6]
        if strand not in STRANDS or (strand == "." and others):
            where = f"; column {others[0]} is {fields[others[0] - 1]!r}" if others else ""
            fault = f"its strand, column 6, is {shown(strand)!r}, not one of {' '.join(STRANDS)}{where}"
            raise BadRecord("a strand in another column, or none", fault)
        blocks = _blocks(fields, start, end) if len(fields) >= BED12_COLUMNS else [(start, end)]
        if len(blocks) > 1 and not self._joins_blocks:
            raise BadRecord(
                "several blocks", "its blocks, joined, have no place on the genome; write each as a region"
            )
        if chrom not in self._genome.num_nt:
            listed = ", ".join(map(shown, list(self._genome.num_nt)[:5]))
            raise BadRecord(
                "no such chromosome",
                f"there is no chromosome {shown(chrom)!r} in {self._genome_name}, which begins {listed}",
            )
        if start >= end:
            raise BadRecord("a region without length", f"{chrom}:{start}-{end} ends at or before its start")
        if end > self._genome.num_nt[chrom]:
            raise BadRecord(
                "a region beyond its chromosome",
                f"{chrom}:{start}-{end} exceeds its chromosome, which has {self._genome.num_nt[chrom]} nt in "
                f"{self._genome_name}",
            )
        sequence = "".join(self._genome.fetch(chrom, *block) for block in blocks)
        if strand == "-":
            sequence = sequence.translate(COMPLEMENT)[::-1]
        name = fields[3] if len(fields) > 3 and fields[3] not in ("", ".") else None
        return name, sequence, chrom, start, end, strand


def _other_format(text: str, fields: list[str], suffix: str) -> str | None:
    """What a line is of that may stand in a file called BED; a score in column 4 is a name only if it is whole."""
    if found := OTHER_FORMATS.match(text):
        return found.lastgroup
    if text.startswith("#"):
        return None
    if len(fields) >= 8 and all(map(_is_number, fields[3:5])) and fields[6] in (*STRANDS, "?"):
        return "GFF or GTF"
    is_variant = len(fields) >= 5 and NUCLEOTIDES.fullmatch(fields[3]) and ALTERNATIVE.fullmatch(fields[4])
    if (
        is_variant
        and _is_number(fields[1])
        and not (_is_number(fields[2]) and (fields[4] in STRANDS or SCORE.fullmatch(fields[4])))
    ):
        return "VCF"
    is_score = len(fields) == 4 and SCORE.fullmatch(fields[3])
    return "bedGraph" if is_score and (suffix in BEDGRAPH or not _is_number(fields[3])) else None


def _blocks(fields: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Sizes and starts of blocks; https://genome.ucsc.edu/FAQ/FAQformat.html#format1"""
    count, sizes, starts = (each.strip(",").split(",") for each in fields[9:12])
    if all(map(_is_number, count + sizes + starts)) and [len(sizes)] * 2 == [len(starts), int(count[0])]:
        blocks = [(start + int(at), start + int(at) + int(nt)) for nt, at in zip(sizes, starts, strict=True)]
        bounds = [place for block in blocks for place in block]
        if bounds == sorted(bounds) and (bounds[0], bounds[-1]) == (start, end):
            return blocks
    raise BadRecord(
        "blocks that are not those of BED12",
        "its columns 10 to 12 are not the blocks of BED12, from its start to its end",
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
