"""Columns of a source -> id, sequence, and those that are kept."""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.batching import Source
from dnahub.sequences.checks import BadRecord, SequenceFileError, shown
from dnahub.sequences.headers import values_of

RESERVED = "embedding"
WHITE_SPACE = r"[\t-\r ]+"  # that of ASCII
# Words are k-mers if so many different pairs of neighbours overlap, by so many letters in all: by chance 4**-16. Words
# of a tandem repeat overlap, too, but its pairs differ less often than they have letters.
KMER_PAIRS, KMER_LETTERS = 8, 16


class Columns:
    """
    Which columns of the inputs hold what, by the first of them; arguments as those of `SequenceReader`.

    `class_names` are, for columns of ids of classes, the names that take their place. `schema` is that of what is made
    of a source, but for `sequence`.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        args: InputArguments,
        needed: Mapping[str, str] | None,
        class_names: Mapping[str, Sequence[str]],
    ):
        self._name, self._source = name, source.schema
        self._sequence, self._are_kmers = args.sequence_column, args.sequence_format == "kmers"
        names = source.schema.names
        self._id = args.id_column or ("id" if "id" in names else None)
        has_headers = source.unit == "record" and "description" in names
        self._of_header = [column for column in needed or () if column not in names] if has_headers else []
        flags = [("--sequence_column", self._sequence), ("--id_column", self._id or self._sequence)]
        self._flags = needed or {}
        flags += [(flag, column) for column, flag in self._flags.items() if column not in self._of_header]
        for flag, column in flags:
            if column not in names:
                raise SequenceFileError(f"{name}: there is no column {column!r}, only {', '.join(names)}; set {flag}.")
        if {"sequence", self._sequence} & set(needed or ()):
            raise SequenceFileError(f"{name}: the column 'sequence' cannot be something else, too; name another.")
        taken = ("id", "sequence", self._id, self._sequence)
        self._others = [column for column in (names if needed is None else needed) if column not in taken]
        if RESERVED in self._others:
            raise SequenceFileError(
                f"{name}: there is a column {RESERVED!r}, the name of the column of vectors; rename or remove it."
            )
        kind = source.schema.field(self._sequence).type
        if not _is_text(kind):
            raise SequenceFileError(f"{name}: column {self._sequence!r} is {kind}; it must hold the letters of DNA.")
        kind = source.schema.field(self._id or self._sequence).type
        if not _is_text(kind) and not pa.types.is_integer(kind):
            raise SequenceFileError(f"{name}: column {self._id!r} is {kind}; ids must be text or integers.")
        self._class_names = {column: each for column, each in class_names.items() if column in self._others}
        is_text = {*self._class_names, *self._of_header}
        types = [pa.string() if column in is_text else source.schema.field(column).type for column in self._others]
        self.schema = pa.schema([("id", pa.string()), *zip(self._others, types, strict=True)])

    def check_same(self, name: str, schema: pa.Schema) -> None:
        """Raises SequenceFileError if an input has other columns than the first."""
        ours, theirs = (
            [f"{column}: {kind}" for column, kind in sorted(zip(each.names, map(str, each.types), strict=True))]
            for each in (self._source, schema)
        )
        if ours != theirs:
            raise SequenceFileError(
                f"{name}: its columns are {', '.join(theirs)}, but those of {self._name} are {', '.join(ours)}; all "
                "inputs must have the same columns of the same types."
            )

    def select(
        self, table: pa.Table, row_ids: Sequence[int], place: Callable[[int], str], drops_spaces: bool
    ) -> tuple[pa.Table, dict[int, BadRecord]]:
        """
        The table of a source with `id`, else `row_ids`, `sequence` and the other columns.

        Returns it, and what is wrong with rows: no id, no value in the header, or sequences that are no k-mers. Raises
        SequenceFileError if sequences are k-mers unexpectedly.
        """
        faults = {}
        if self._id is None:
            ids = pa.array(row_ids, pa.int64()).cast(pa.string())
        else:
            ids = _as_text(table[self._id], pa.string())
            without = pc.indices_nonzero(pc.fill_null(pc.equal(ids, ""), True)).to_pylist()
            faults |= {row: BadRecord("no id", f"no id in column {self._id!r}") for row in without}
        for column in self._of_header:
            values = values_of(column, table["description"].to_pylist())
            text = f"no {column}=… or {column}:… in its description, for {self._flags[column]}"
            reason = f"no {column} in its description"
            faults = {row: BadRecord(reason, text) for row, value in enumerate(values) if value is None} | faults
            table = table.append_column(column, pa.array(values, pa.string()))
        sequences = _as_text(table[self._sequence], pa.large_string())
        if pc.any(pc.match_substring_regex(sequences, WHITE_SPACE)).as_py():  # most have none, and are not copied
            if self._are_kmers:
                sequences, no_kmers = _joined_kmers(sequences)
                faults = no_kmers | faults
            elif (row := _find_kmers(sequences)) is not None:
                raise SequenceFileError(
                    f"{place(row)}: the sequences are overlapping k-mers with spaces between them "
                    f"({shown(sequences[row].as_py())!r}); give --sequence_format kmers, which joins them."
                )
            elif drops_spaces:
                sequences = pc.replace_substring_regex(sequences, WHITE_SPACE, "")
        others = [_with_names(table[column], self._class_names.get(column)) for column in self._others]
        return pa.table([ids, sequences, *others], names=["id", "sequence", *self._others]), faults


def _find_kmers(sequences: pa.ChunkedArray) -> int | None:
    """The first row of which it is sure that it, or rows up to it, are overlapping k-mers; None if there is none."""
    overlaps: dict[tuple[str, str], int] = {}
    for row, sequence in enumerate(sequences.to_pylist()):
        words = (sequence or "").split()
        pairs = list(zip(words, words[1:], strict=False))
        stride, _ = _stride(pairs)
        if not stride:
            overlaps.clear()
            continue
        overlaps.update((pair, len(pair[0]) - stride) for pair in pairs)
        if len(overlaps) >= max([KMER_PAIRS, *map(len, words)]) and sum(overlaps.values()) >= KMER_LETTERS:
            return row
    return None


def _stride(pairs: list[tuple[str, str]]) -> tuple[int, tuple[str, str] | None]:
    """By how many letters each word is shifted from the one before, or 0 and the first pair that differs in this."""
    strides = list(range(1, len(pairs[0][0]))) if pairs else [1]
    for a, b in pairs:  # at the end of a sequence, words may be shorter
        strides = [each for each in strides if len(b) <= len(a) and a[each:] and b.startswith(a[each:])]
        if not strides:
            return 0, (a, b)
    return strides[0], None


def _joined_kmers(sequences: pa.ChunkedArray) -> tuple[pa.Array, dict[int, BadRecord]]:
    joined, faults = [], {}
    for row, sequence in enumerate(sequences.to_pylist()):
        words = (sequence or "").split()
        pairs = list(zip(words, words[1:], strict=False))
        stride, other = _stride(pairs)
        if other:
            a, b = other
            text = f"{shown(b)!r} does not overlap with {shown(a)!r}, as --sequence_format kmers needs"
            faults[row] = BadRecord("no overlapping k-mers", text)
        joined.append("".join([*words[:1], *(b[len(a) - stride :] for a, b in pairs)]))
    return pa.array(joined, pa.large_string()), faults


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
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _as_text(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(kind)
