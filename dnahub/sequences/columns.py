"""Columns of a source -> id, sequence, and those that are kept."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError

RESERVED = "embedding"
WHITE_SPACE = r"[\t-\r ]+"  # that of ASCII


@dataclass(frozen=True)
class Columns:
    """
    Which columns of a source hold what.

    Args:
        name: What the first input is called in messages.
        source: The schema of each input.
        sequence: The column of the sequences.
        id: The column of the ids; None: the number of the row, over all inputs.
        others: Those that are kept.
    """

    name: str
    source: pa.Schema
    sequence: str
    id: str | None
    others: tuple[str, ...]

    @classmethod
    def of(cls, name: str, source: pa.Schema, args: InputArguments) -> "Columns":
        """
        Raises:
            SequenceFileError: If a column is missing, of another type, or called as one that is added.
        """
        id_column = args.id_column or ("id" if "id" in source.names else None)
        for argument, column in (("sequence_column", args.sequence_column), ("id_column", id_column)):
            if column is not None and column not in source.names:
                raise SequenceFileError(
                    f"{name}: there is no column {column!r}, only {', '.join(source.names)}; name one as --{argument}."
                )
        if RESERVED in source.names and RESERVED not in (args.sequence_column, id_column):
            raise SequenceFileError(
                f"{name}: there is a column {RESERVED!r}, as that of the vectors will be called; rename or remove it."
            )
        if id_column == args.sequence_column:
            raise SequenceFileError(f"{name}: {id_column!r} cannot hold the ids and the sequences; name two columns.")
        sequence = source.field(args.sequence_column).type
        if not _is_text(sequence):
            raise SequenceFileError(
                f"{name}: column {args.sequence_column!r} is {sequence}; it must hold the letters of DNA."
            )
        if id_column is not None and not (
            _is_text(source.field(id_column).type) or pa.types.is_integer(source.field(id_column).type)
        ):
            raise SequenceFileError(
                f"{name}: column {id_column!r} is {source.field(id_column).type}; ids must be text or integers."
            )
        taken = ("id", "sequence", id_column, args.sequence_column)
        others = tuple(column for column in source.names if column not in taken)
        return cls(name, source, args.sequence_column, id_column, others)

    @property
    def schema(self) -> pa.Schema:
        """Of what is made of a source, but for `sequence`."""
        return pa.schema([pa.field("id", pa.string()), *(self.source.field(column) for column in self.others)])

    def check_same(self, name: str, schema: pa.Schema) -> None:
        """
        Raises:
            SequenceFileError: If an input has other columns than the first.
        """
        ours, theirs = (dict(zip(each.names, each.types, strict=True)) for each in (self.source, schema))
        if ours == theirs:
            return
        if ours.keys() != theirs.keys():
            raise SequenceFileError(
                f"{name}: its columns are {', '.join(theirs)}, but those of {self.name} are {', '.join(ours)}; all "
                "inputs must have the same."
            )
        column = next(each for each in ours if ours[each] != theirs[each])
        raise SequenceFileError(
            f"{name}: column {column!r} is {theirs[column]}, but that of {self.name} is {ours[column]}; write its "
            "values alike in both."
        )

    def select(self, table: pa.Table, num_sequences: int, where: str, number: int, is_table: bool) -> pa.Table:
        """
        The table with `id`, `sequence` and the other columns.

        Args:
            table: Rows of a source.
            num_sequences: How many there were before, in all inputs.
            where, number: How the first row is called in messages, "reads.csv, row" and 7.
            is_table: Whether the sequences may have white space in them.

        Raises:
            SequenceFileError: If an id is missing.
        """
        if self.id is None:
            ids = pa.array(range(num_sequences, num_sequences + table.num_rows), pa.int64()).cast(pa.string())
        else:
            ids = _as_text(table[self.id], pa.string())
            is_missing = pc.fill_null(pc.equal(ids, ""), True)
            if pc.any(is_missing).as_py():
                row = number + pc.index(is_missing, True).as_py()
                raise SequenceFileError(f"{where} {row}: no id in column {self.id!r}; give every one an id.")
        sequences = _as_text(table[self.sequence], pa.large_string())
        if is_table:
            sequences = _without_white_space(sequences)
        others = [table[column] for column in self.others]
        return pa.table([ids, sequences, *others], names=["id", "sequence", *self.others])


def _without_white_space(sequences: pa.ChunkedArray) -> pa.ChunkedArray:
    """The sequences without the white space in them, as those of FASTA; most have none, and are not copied."""
    if not pc.any(pc.match_substring_regex(sequences, WHITE_SPACE)).as_py():
        return sequences
    return pc.replace_substring_regex(sequences, WHITE_SPACE, "")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _as_text(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(kind)
