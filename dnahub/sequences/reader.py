"""What to read -> one stream of batches with an id, a sequence and the source's other columns, all checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from dnahub.sequences.arguments import FORMATS, InputArguments
from dnahub.sequences.batching import cut
from dnahub.sequences.checks import MISSING, SequenceFileError, check_sequences, shown
from dnahub.sequences.columns import Columns
from dnahub.sequences.fasta import FastaFile
from dnahub.sequences.fastq import FastqFile
from dnahub.sequences.genbank import GenbankFile
from dnahub.sequences.headers import HeaderColumns
from dnahub.sequences.opening import COMPRESSIONS, InputFile, UnreadableError
from dnahub.sequences.regions import BedFile
from dnahub.sequences.tables import CsvFile, JsonlFile, ParquetFile, TextFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

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


class Source(Protocol):
    """
    The contents of one input, unchanged; iterated once.

    Attributes:
        schema: Of the tables that it gives.
        unit: What its rows are called in messages.
        first: The number of the first.
        is_table: Whether its values were written freely: white space in a sequence, or NA where there is none.
        is_typed: Whether its values have types; those of CSV and of FASTA headers are all text.
    """

    schema: pa.Schema
    unit: str
    first: int
    is_table: bool
    is_typed: bool

    def __iter__(self) -> Iterator[pa.Table]: ...

    def reached(self) -> str:
        """The place up to which it was read, for a message."""


@dataclass(frozen=True)
class SequenceBatch:
    """
    Consecutive sequences of one input.

    Args:
        table: Columns `id` (string), `sequence` (large_string, as it stands in the file, but for white space), then
            those of the source; each in one piece.
        source: What the input is called in messages.
        unit: What its rows are called in messages.
        first: The number of the first row.
    """

    table: pa.Table
    source: str
    unit: str
    first: int

    def place(self, i: int) -> str:
        """Where the sequence of row `i` is, for messages: "genes.fa.gz, record 3 (ENST0001)"."""
        return f"{self.source}, {self.unit} {self.first + i} ({shown(self.table['id'][i].as_py())})"


@dataclass(frozen=True)
class Input:
    """
    Args:
        file: What is read.
        open: Gives its source.
        genome: What regions are cut out of.
    """

    file: InputFile
    open: Callable[[], Source]
    genome: InputFile | None = None


class SequenceReader:
    """
    All sequences of one or more inputs, in their order; iterated once, as a stream of `SequenceBatch`.

    Args:
        inputs: The inputs; the first is opened at once, the others when they are reached.
        args: Which of their columns hold what.
        needed: The columns to keep besides id and sequence; None: all.
        commit: Which commit on the Hub a data set is.
        features: What the data set says of its columns.

    Attributes:
        schema: Of the batches' tables without `sequence`: `id`, then the other columns of the source.
        is_typed: Whether the values of the other columns have types; those of CSV and of FASTA headers are all text.
        features: What the data set, or `datasets` in a Parquet file, says of the columns; classes are read by name.
        num_bytes: Size of all inputs, compressed as they are; None where it is not known (standard input, the Hub).
        num_replaced: How many letters read so far are other than A, C, G, T, U and N, and become N.
        commit: Which commit on the Hub the data set is; None for all else.

    Raises:
        SequenceFileError: If an input cannot be read, or contains what is not DNA; while iterating, too.
    """

    def __init__(
        self,
        inputs: list[Input],
        args: InputArguments,
        needed: Iterable[str] | None = None,
        commit: str | None = None,
        features: Mapping[str, Any] | None = None,
    ):
        self._inputs = inputs
        self._first: Source | None = _open(inputs[0])
        self.is_typed = self._first.is_typed
        self.features = {**(self._first.features if isinstance(self._first, ParquetFile) else {}), **(features or {})}
        class_names = {}
        if self.features:
            from datasets import ClassLabel  # here, for loading `datasets` takes a second

            class_names = {name: each.names for name, each in self.features.items() if isinstance(each, ClassLabel)}
        self._columns = Columns.of(inputs[0].file.name, self._first.schema, args, needed, class_names)
        self.schema = self._columns.schema
        self.commit = commit
        self.num_replaced = 0
        sizes = [each.file.size for each in inputs]
        self.num_bytes = None if None in sizes else sum(sizes)

    @property
    def bytes_read(self) -> int:
        """Bytes of the inputs that were read so far, compressed as they are."""
        return sum(each.file.bytes_read for each in self._inputs)

    def check_unchanged(self) -> None:
        """
        Raises:
            SequenceFileError: If an input changed since this reader was made.
        """
        for each in self._inputs:
            each.file.check_unchanged()
            if each.genome:
                each.genome.check_unchanged()

    def check_columns(self) -> None:
        """
        Look at the columns of all files on disk, before any but the first is read; those of others when reached.

        Raises:
            SequenceFileError: If they are not the same.
        """
        for each in self._inputs[1:]:
            if each.file.size is not None:
                self._columns.check_same(each.file.name, _open(each).schema)
                each.file.close()
                each.file.bytes_read = 0

    def __iter__(self) -> Iterator[SequenceBatch]:
        num_sequences = 0
        for each in self._inputs:
            source, self._first = self._first or _open(each), None
            self._columns.check_same(each.file.name, source.schema)
            number = source.first
            missing = MISSING if source.is_table else ()
            for raw in _until_unreadable(each.file.name, source):
                where = f"{each.file.name}, {source.unit}"
                for piece in cut(self._columns.select(raw, num_sequences, where, number, source.is_table)):
                    batch = SequenceBatch(piece, each.file.name, source.unit, number)
                    self.num_replaced += check_sequences(piece["sequence"].chunk(0), batch.place, missing)
                    yield batch
                    num_sequences += piece.num_rows
                    number += piece.num_rows
            if number == source.first:
                raise SequenceFileError(f"{each.file.name}: it has no sequences; give one that has some.")
            each.file.close()


def open_sequences(
    args: InputArguments, needed: Iterable[str] | None = None, api: "HfApi | None" = None
) -> SequenceReader:
    """
    Look at all that is to be read, and open the first of it.

    Args:
        args: Files, regions of a genome, or a data set.
        needed: The columns to keep besides id and sequence; None: all. Of FASTA and FASTQ, one that is neither id nor
            description is taken from NAME=… or NAME:… in the description.
        api: Who asks for a data set, and which Hub; default the user of the environment.

    Raises:
        ValueError: If the arguments do not go together.
        SequenceFileError: If an input is not there, is empty, may not be read, is of a format that is not known or
            another than the first, or lacks a column.
        HubError: If the Hub has no such data set or revision, or does not answer.
    """
    _check_arguments(args)
    if args.dataset_name:
        from dnahub.sequences.dataset import find_dataset  # here, for loading `datasets` takes a second

        found = find_dataset(args.dataset_name, args.dataset_config_name, args.dataset_revision, api)
        split = found.choose(args.dataset_split)
        described = {"features": found.features, "separator": found.listing.separator}
        return open_inputs(found.inputs(split), args, needed, found.commit, **described)
    files = [InputFile(path) for path in args.input]
    if args.bed:
        bed = InputFile(args.bed)
        return SequenceReader([Input(bed, partial(BedFile, bed, files[0]), files[0])], args)
    return open_inputs(files, args, needed)


def open_inputs(
    files: list[InputFile],
    args: InputArguments,
    needed: Iterable[str] | None = None,
    commit: str | None = None,
    features: Mapping[str, Any] | None = None,
    separator: str | None = None,
) -> SequenceReader:
    """
    The sequences of one or more files of one format; arguments as those of `SequenceReader`.

    Args:
        separator: What separates the fields of CSV files; default: by the format.

    Raises:
        SequenceFileError: As `open_sequences`.
    """
    identities = [file.identity for file in files]
    for i, file in enumerate(files):
        if file.identity in identities[:i]:
            raise SequenceFileError(f"{file.name}: it is given twice; name each input once.")
    formats = [args.format or _format_of(file) for file in files]
    for file, name in zip(files, formats, strict=True):
        if name != formats[0]:
            raise SequenceFileError(
                f"{file.name}: it is {name} and {files[0].name} is {formats[0]}; give inputs of one format."
            )
    inputs = [Input(file, partial(_source, file, formats[0], args, needed, separator)) for file in files]
    reader = SequenceReader(inputs, args, needed, commit, features)
    if formats[0] in ("csv", "tsv", "jsonl", "parquet"):  # the columns of the others are always the same
        reader.check_columns()
    return reader


def _check_arguments(args: InputArguments) -> None:
    if bool(args.input) == bool(args.dataset_name):
        raise ValueError("give either --input or --dataset_name; one of them, and not both.")
    if args.format is not None and args.format not in FORMATS:
        raise ValueError(f"--format {args.format}: give one of {', '.join(FORMATS)}.")
    if args.genbank_features not in ("cds", "record"):
        raise ValueError(f"--genbank_features {args.genbank_features}: give cds or record.")
    if args.dataset_name and (args.format or args.bed):
        raise ValueError("--format and --bed are of --input; leave them out with --dataset_name.")
    if args.input and (args.dataset_config_name or args.dataset_split or args.dataset_revision):
        raise ValueError("--dataset_config_name, --dataset_split and --dataset_revision need --dataset_name.")
    if args.bed and (len(args.input) != 1 or args.format not in (None, "fasta")):
        raise ValueError("--bed needs exactly one --input, a genome as FASTA.")


def _format_of(file: InputFile) -> str:
    known = f"give a file named {', '.join(SUFFIXES)}, with {', '.join(COMPRESSIONS)} after it where it is compressed"
    if file.suffix in SUFFIXES:
        return SUFFIXES[file.suffix]
    if file.is_regular:
        raise SequenceFileError(
            f"{file.name}: its suffix does not say its format; {known}, or give --format {'|'.join(FORMATS)}."
        )
    try:
        head = file.open().peek(1).lstrip()[:1]
    except UnreadableError as error:
        raise SequenceFileError(f"{file.name}: {error}.") from error
    if head in (b">", b"@"):
        return "fasta" if head == b">" else "fastq"
    raise SequenceFileError(
        f"{file.name}: it begins with neither the > of FASTA nor the @ of FASTQ; give --format {'|'.join(FORMATS)}."
    )


def _source(
    file: InputFile, name: str, args: InputArguments, needed: Iterable[str] | None, separator: str | None
) -> Source:
    match name:
        case "fasta" | "fastq":
            source = FastaFile(file) if name == "fasta" else FastqFile(file)
            of_header = [column for column in needed or () if column not in source.schema.names]
            return HeaderColumns(source, file.name, of_header) if of_header else source
        case "genbank":
            return GenbankFile(file, args.genbank_features)
        case "csv" | "tsv":
            return CsvFile(file, separator or ("," if name == "csv" else "\t"))
        case "jsonl":
            return JsonlFile(file)
        case "parquet":
            return ParquetFile(file)
        case _:
            return TextFile(file)


def _open(each: Input) -> Source:
    try:
        return each.open()
    except UnreadableError as error:
        raise SequenceFileError(f"{each.file.name}: {error}.") from error


def _until_unreadable(name: str, source: Source) -> Iterator[pa.Table]:
    try:
        yield from source
    except UnreadableError as error:
        raise SequenceFileError(f"{name}, {source.reached()}: {error}.") from error
