"""Columns of a source -> id, sequence, and those that are kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError, shown

RESERVED = "embedding"
WHITE_SPACE = r"[\t-\r ]+"  # that of ASCII
# So many words that overlap by all letters but one are k-mers: of eight pairs of codons, by chance, 1 in 16**8.
KMER_PAIRS = 8


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
        class_names: Of columns that hold ids of classes: the names, which take their place.
        are_kmers: Whether the sequences are overlapping k-mers.
    """

    name: str
    source: pa.Schema
    sequence: str
    id: str | None
    others: tuple[str, ...]
    class_names: Mapping[str, Sequence[str]]
    are_kmers: bool

    @classmethod
    def of(
        cls,
        name: str,
        source: pa.Schema,
        args: InputArguments,
        needed: Iterable[str] | None,
        class_names: Mapping[str, Sequence[str]],
    ) -> "Columns":
        """
        Args:
            needed: The columns to keep besides id and sequence; None: all.

        Raises:
            SequenceFileError: If a column is missing, of another type, or has a name that is taken.
        """
        id_column = args.id_column or ("id" if "id" in source.names else None)
        flags = [("--sequence_column", args.sequence_column), ("--id_column", id_column)]
        flags += [("another column", column) for column in needed or ()]
        for flag, column in flags:
            if column is not None and column not in source.names:
                raise SequenceFileError(
                    f"{name}: there is no column {column!r}, only {', '.join(source.names)}; set {flag}."
                )
        for column in needed or ():
            if column in ("sequence", args.sequence_column):
                raise SequenceFileError(f"{name}: column {column!r} cannot be the sequence and something else.")
        taken = ("id", "sequence", id_column, args.sequence_column)
        kept = source.names if needed is None else dict.fromkeys(needed)
        others = tuple(column for column in kept if column not in taken)
        if RESERVED in others:
            raise SequenceFileError(
                f"{name}: there is a column {RESERVED!r}, the name of the column of vectors; rename or remove it."
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
        class_names = {column: names for column, names in class_names.items() if column in others}
        are_kmers = args.sequence_format == "kmers"
        return cls(name, source, args.sequence_column, id_column, others, class_names, are_kmers)

    @property
    def schema(self) -> pa.Schema:
        """Of what is made of a source, but for `sequence`."""
        fields = [self.source.field(column) for column in self.others]
        fields = [field.with_type(pa.string()) if field.name in self.class_names else field for field in fields]
        return pa.schema([pa.field("id", pa.string()), *fields])

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
            SequenceFileError: If an id is missing, or the sequences are k-mers and nobody said so.
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
        if pc.any(pc.match_substring_regex(sequences, WHITE_SPACE)).as_py():  # most have none, and are not copied
            if self.are_kmers:
                sequences = _joined_kmers(sequences, where, number)
            elif _are_kmers(sequences):
                raise SequenceFileError(
                    f"{where} {number}: the sequences are overlapping k-mers with spaces between them "
                    f"({shown(sequences[0].as_py() or '')!r}); give --sequence_format kmers, which joins them."
                )
            elif is_table:
                sequences = pc.replace_substring_regex(sequences, WHITE_SPACE, "")
        others = [_with_names(table[column], self.class_names.get(column)) for column in self.others]
        return pa.table([ids, sequences, *others], names=["id", "sequence", *self.others])


def _are_kmers(sequences: pa.ChunkedArray) -> bool:
    pairs = set()
    for sequence in sequences.to_pylist():
        words = (sequence or "").split()
        if any(len(a) < 2 or len(a) != len(b) or a[1:] != b[:-1] for a, b in zip(words, words[1:], strict=False)):
            return False
        pairs.update(zip(words, words[1:], strict=False))
    return len(pairs) >= KMER_PAIRS


def _joined_kmers(sequences: pa.ChunkedArray, where: str, number: int) -> pa.Array:
    joined = []
    for row, sequence in enumerate(sequences.to_pylist(), start=number):
        words = (sequence or "").split()
        for a, b in zip(words, words[1:], strict=False):
            if len(a) != len(b) or a[1:] != b[:-1]:
                raise SequenceFileError(
                    f"{where} {row}: {shown(b)!r} does not overlap with {shown(a)!r} by all letters but one; give "
                    "overlapping k-mers, or leave out --sequence_format kmers."
                )
        joined.append("".join([*words[:1], *(word[-1] for word in words[1:])]))
    return pa.array(joined, pa.large_string())


def _with_names(values: pa.ChunkedArray, names: Sequence[str] | None) -> pa.ChunkedArray | pa.Array:
    """Ids of classes by their names, which are what they mean; an id of none, as -1, is missing."""
    if names is None:
        return values
    if not pa.types.is_integer(values.type):  # of a text file: the names, or the ids
        if not pc.all(pc.match_substring_regex(values, "^-?[0-9]+$")).as_py() or set(names) & set(values.to_pylist()):
            return values
        values = values.cast(pa.int64())
    ids = values.combine_chunks()
    known = pc.and_(pc.greater_equal(ids, 0), pc.less(ids, len(names)))
    return pa.array(names, pa.string()).take(pc.if_else(known, ids, None))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _as_text(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(kind)
