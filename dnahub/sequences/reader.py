"""What to read -> one stream of batches with an id, a sequence and the source's other columns, all checked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dnahub.sequences.arguments import FORMATS, InputArguments
from dnahub.sequences.bad_records import BadRecords, place_of
from dnahub.sequences.batching import Numbers, Source, cut
from dnahub.sequences.checks import MISSING, BadRecord, SequenceFileError, check_sequences
from dnahub.sequences.columns import Columns
from dnahub.sequences.fasta import FastaFile
from dnahub.sequences.fastq import FastqFile
from dnahub.sequences.genbank import GenbankFile
from dnahub.sequences.opening import COMPRESSIONS, InputFile
from dnahub.sequences.row_filter import RowFilter
from dnahub.sequences.tables import CsvFile, JsonlFile, ParquetFile, TextFile

SUFFIXES = {
    **dict.fromkeys((".fa", ".fasta", ".fna", ".ffn", ".fas", ".fsa"), "fasta"),
    **dict.fromkeys((".fq", ".fastq"), "fastq"),
    **dict.fromkeys((".gb", ".gbk", ".gbff", ".genbank"), "genbank"),
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    ".parquet": "parquet",
    ".txt": "text",
}
NUCLEOTIDE = "[ACGTUacgtu]"  # what a model can learn from
NO_BASE = BadRecord("no A, C, G or T", "the sequence has no A, C, G or T")
SAME_ID = BadRecord("the id of an earlier record", "an earlier record has the same id (or --allow_duplicate_ids)")


@dataclass(frozen=True)
class SequenceBatch:
    """
    Sequences of one input, in its order.

    Args:
        table: Columns `id` (string), `sequence` (large_string, as it stands in the file, but for white space), then
            those of the source; each in one piece.
        source: What the input is called in messages.
        unit: What its rows are called in messages.
        numbers: Those of the rows in the input.
    """

    table: pa.Table
    source: str
    unit: str
    numbers: Numbers

    def place(self, i: int) -> str:
        """Where the sequence of row `i` is, for messages: "genes.fa.gz, record 3 (ENST0001)"."""
        return place_of(self.source, f"{self.unit} {self.numbers[i]}", self.table["id"][i].as_py())

    def without(self, faults: Mapping[int, BadRecord], bad: BadRecords) -> "SequenceBatch":
        """The batch without some of its rows, which are noted."""
        if not faults:
            return self
        for i in sorted(faults):
            bad.note(self.source, f"{self.unit} {self.numbers[i]}", self.table["id"][i].as_py(), faults[i])
        kept = [i for i in range(len(self.numbers)) if i not in faults]
        table = self.table.take(pa.array(kept, pa.int64())).combine_chunks()
        return replace(self, table=table, numbers=[self.numbers[i] for i in kept])


class SequenceReader:
    """
    All sequences of one or more inputs, in their order; iterated once, as a stream of `SequenceBatch`.

    Args:
        files: The inputs; the first is opened at once, the others when they are reached.
        open_source: Opens one.
        args: Which of their columns hold what.
        needed: The columns to keep besides id and sequence, and the flag that names each; None: all. Of FASTA and
            FASTQ, one that is neither id nor description is taken from NAME=… or NAME:… in the description.
        commit: Which commit on the Hub a data set is.
        features: What the data set says of its columns.
        bad: What bad records are, and where they are noted; by default, `args` says whether to skip them.
        row_filter: Which rows to read; others may be bad. Its column is one of `needed`.

    Attributes:
        schema: Of the batches' tables without `sequence`: `id`, then the other columns of the source.
        source_columns: The names of all columns of the first input.
        is_typed: Whether the values of the other columns have types; those of CSV and of FASTA headers are all text.
        features: What the data set, or `datasets` in a Parquet file, says of the columns; classes are read by name.
        num_bytes: Size of all inputs, compressed as they are; None where it is not known (standard input, the Hub).
        num_replaced: How many letters read so far are other than A, C, G, T, U and N, and become N.
        commit: Which commit on the Hub the data set is; None for all else.
        contigs: Of regions, the nt of each chromosome of their genome; None for all else.
        bad: The bad records so far.

    Raises:
        SequenceFileError: If an input cannot be read, or contains bad records that are not to be skipped, or nothing
            else; while iterating, too. Files on this machine are read to their end before, so that it names all.
    """

    def __init__(
        self,
        files: list[InputFile],
        open_source: Callable[[InputFile], Source],
        args: InputArguments,
        needed: Mapping[str, str] | None = None,
        commit: str | None = None,
        features: Mapping[str, Any] | None = None,
        bad: BadRecords | None = None,
        row_filter: RowFilter | None = None,
    ):
        self._files, self._open = files, open_source
        self._first = open_source(files[0])
        self.source_columns, self.is_typed = self._first.schema.names, self._first.is_typed
        self.features = {**self._first.features, **(features or {})}
        class_names = {}
        if self.features:
            from datasets import ClassLabel  # here, for loading `datasets` takes a second

            class_names = {name: each.names for name, each in self.features.items() if isinstance(each, ClassLabel)}
        self._columns = Columns(files[0].name, self._first, args, needed, class_names)
        self.schema = self._columns.schema
        self.contigs = self._first.contigs
        self.commit = commit
        self.num_replaced = 0
        self.bad = bad or BadRecords(args.bad_records == "skip")
        self.row_filter = row_filter
        sizes = [file.size for file in files]
        self.num_bytes = None if None in sizes else sum(sizes)
        if self._first.is_table:  # the columns of other formats are always the same
            for file in files[1:]:
                if file.size is not None:  # those of pipes and of the Hub are checked when they are reached
                    self._columns.check_same(file.name, open_source(file).schema)
                    file.close()
                    file.bytes_read = 0

    @property
    def bytes_read(self) -> int:
        """Bytes of the inputs that were read so far, compressed as they are."""
        return sum(file.bytes_read for file in self._files)

    def check_unchanged(self) -> None:
        """Raises SequenceFileError if an input changed since this reader was made."""
        for file in self._files:
            file.check_unchanged()

    def __iter__(self) -> Iterator[SequenceBatch]:
        num_rows = num_read = num_good = 0  # of the files before; so far; good ones so far
        for file in self._files:
            source, self._first = self._first or self._open(file), None
            self._columns.check_same(file.name, source.schema)
            source.bad, num_bad = self.bad, self.bad.counts.total()
            for numbers, raw in source:
                for batch in self._checked(file.name, source, numbers, raw, num_rows):
                    num_good += batch.table.num_rows
                    if batch.table.num_rows and (self.bad.skips or not self.bad.counts):
                        yield batch
                    elif self.bad.counts and not self.bad.skips and self.num_bytes is None:
                        raise self.bad.error(is_complete=False)
                num_read = num_rows + numbers[-1] + 1 if len(numbers) else num_read
            if num_read == num_rows and self.bad.counts.total() == num_bad:
                raise SequenceFileError(f"{file.name}: it has no sequences; give one that has some.")
            num_rows = num_read
            file.close()
        if self.bad.counts and not (num_good and self.bad.skips):
            raise self.bad.error(is_complete=True)

    def _checked(
        self, name: str, source: Source, numbers: Numbers, raw: pa.Table, num_rows: int
    ) -> Iterator[SequenceBatch]:
        """The good rows of a table of a source; the bad ones are noted."""

        def place(row: int) -> str:
            return place_of(name, f"{source.unit} {numbers[row]}", None)

        row_ids = [num_rows + number for number in numbers]
        selected, faults = self._columns.select(raw, row_ids, place, source.drops_spaces)
        if self.row_filter is not None:
            rows = self.row_filter.rows(selected, name)
            selected, numbers = selected.take(rows), [numbers[row] for row in rows]
            faults = {i: faults[row] for i, row in enumerate(rows.tolist()) if row in faults}
        start = 0
        for table in cut(selected):
            stop = start + table.num_rows
            batch = SequenceBatch(table, name, source.unit, numbers[start:stop])
            num_replaced, found = check_sequences(table["sequence"].chunk(0), MISSING if source.is_table else ())
            self.num_replaced += num_replaced
            if self.bad.need_bases:
                rows = pc.indices_nonzero(pc.invert(pc.match_substring_regex(table["sequence"], NUCLEOTIDE)))
                found = dict.fromkeys(rows.to_pylist(), NO_BASE) | found
            found |= {row - start: fault for row, fault in faults.items() if start <= row < stop}
            if self.bad.seen_ids is not None:
                good = [row for row in range(table.num_rows) if row not in found]
                repeated = self.bad.seen_ids.add(table["id"].take(pa.array(good, pa.int64())).to_pylist())
                found |= {good[i]: SAME_ID for i in repeated}
            yield batch.without(found, self.bad)
            start = stop


def open_inputs(
    files: list[InputFile],
    args: InputArguments,
    needed: Mapping[str, str] | None = None,
    commit: str | None = None,
    features: Mapping[str, Any] | None = None,
    separator: str | None = None,
    bad: BadRecords | None = None,
    row_filter: RowFilter | None = None,
) -> SequenceReader:
    """Files of one format; arguments as those of `SequenceReader`, and the separator of CSV, by default that of it."""
    taken: set[str] = set()
    first, form = files[0], args.format or _format_of(files[0])
    for i, file in enumerate(files):
        if file.path in [other.path for other in files[:i]]:
            raise SequenceFileError(f"{file.name}: it is given twice; name each input once.")
        if (args.format or _format_of(file)) != form:
            raise SequenceFileError(
                f"{file.name}: it is {_format_of(file)} and {first.name} is {form}; give inputs of one format."
            )
    openers = {
        "fasta": FastaFile,
        "fastq": FastqFile,
        "genbank": lambda file: GenbankFile(file, args.genbank_features, taken),
        "csv": lambda file: CsvFile(file, separator or ","),
        "tsv": lambda file: CsvFile(file, separator or "\t"),
        "jsonl": JsonlFile,
        "parquet": ParquetFile,
        "text": TextFile,
    }
    return SequenceReader(files, openers[form], args, needed, commit, features, bad, row_filter)


def _format_of(file: InputFile) -> str:
    if file.suffix in SUFFIXES:
        return SUFFIXES[file.suffix]
    if not file.is_regular and (head := file.open().peek(1).lstrip()[:1]) in (b">", b"@"):
        return "fasta" if head == b">" else "fastq"
    if file.suffix == ".bed":
        raise SequenceFileError(
            f"{file.name}: BED names regions of a genome; give it as --bed, the genome as --input."
        )
    raise SequenceFileError(
        f"{file.name}: neither its suffix ({', '.join(SUFFIXES)}, with {', '.join(COMPRESSIONS)} after it where it is "
        "compressed) nor, in a pipe, the > of FASTA or the @ of FASTQ says its format; rename it, convert it, or give "
        f"--format {'|'.join(FORMATS)} (embed.py)."
    )
