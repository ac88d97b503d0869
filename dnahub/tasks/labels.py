"""Label column of each split -> checked ids or numbers, in the column `label`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetDict, LargeList, List, Value

IGNORED = -100  # torch's label for what counts in no loss
LABELS_SHOWN = 10  # in an error
ROWS_AT_ONCE = 10_000
COMPLETE_ROW = "complete that row or leave it out"


class RowError(ValueError):
    """A row that a task does not take; `fault` says why, without its place."""

    def __init__(self, split: str, row: int, fault: str):
        super().__init__(f"split {split}, row {row}: {fault}")
        self.split, self.row, self.fault = split, row, fault


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one split, in a flat array."""

    split: str  # its name, for errors
    feature: object  # what the column holds
    values: pa.Array  # all labels, row by row
    numbers: np.ndarray | None  # how many of them each row has; None where it is always one, not in a list

    @property
    def inner(self) -> object:
        return self.feature.feature if isinstance(self.feature, List | LargeList) else self.feature

    def with_values(self, values: pa.Array) -> "LabelColumn":
        return LabelColumn(self.split, self.feature, values, self.numbers)

    def check_each(self, is_good: Callable[[pa.Array], pa.Array], fault: str) -> None:
        """Raises ValueError at the first label for which `is_good` is false; null stands for a token without label."""
        wrong = np.flatnonzero(is_good(self.values).to_numpy(zero_copy_only=False) == False)  # noqa: E712
        if len(wrong):
            place = int(wrong[0])
            row = place if self.numbers is None else int(np.searchsorted(self.numbers.cumsum(), place, "right"))
            raise RowError(self.split, row, f"the label {self.values[place].as_py()!r} {fault}.")


def read_columns(splits: DatasetDict, column: str, in_lists: bool | None, expected: str) -> dict[str, LabelColumn]:
    """The column of labels of each split, in lists or not, as `in_lists` says; None: the same in all splits."""
    read = {}
    for split, rows in splits.items():
        feature = _feature(split, rows, column)
        if not len(rows):
            raise ValueError(f"split {split}: it is empty; give it rows, or leave it out.")
        values = column_of(rows, column)
        is_list = isinstance(feature, List | LargeList)
        in_lists = is_list if in_lists is None else in_lists
        if is_list != in_lists:
            raise ValueError(f"split {split}: column {column!r} is {feature}; {expected}.")
        if values.null_count:
            row = int(np.flatnonzero(values.is_null())[0])
            raise RowError(split, row, f"the label is missing; {COMPLETE_ROW}.")
        numbers = pc.list_value_length(values).to_numpy().astype(np.int64) if is_list else None
        read[split] = LabelColumn(split, feature, values.flatten() if is_list else values, numbers)
    return read


def _feature(split: str, rows: Dataset, column: str) -> object:
    if column not in rows.features:
        raise ValueError(f"split {split}: there is no column {column!r}, only {', '.join(rows.features)}.")
    return rows.features[column]


def listed(names: Sequence[Any]) -> str:
    """The first names, for a message."""
    return ", ".join(map(str, names[:LABELS_SHOWN])) + ", …" * (len(names) > LABELS_SHOWN)


def refuse_separator(separator: str | None) -> None:
    if separator is not None:
        raise ValueError(f"--label_separator {separator!r} is for --task multi_label; leave it out.")


def split_texts(splits: DatasetDict, column: str, separator: str) -> dict[str, LabelColumn]:
    """The labels of strings such as "promoter; enhancer"; an empty or missing string has none."""
    if not separator:
        raise ValueError("--label_separator '': give one or more letters.")
    read = {}
    for split, rows in splits.items():
        feature = _feature(split, rows, column)
        if not isinstance(feature, Value) or not feature.dtype.endswith(("string", "int64")):
            raise ValueError(
                f"split {split}: column {column!r} is {feature}; --label_separator is for strings, leave it out."
            )
        # Whole numbers: a file where no row happens to have two labels. Missing: CSV has no other empty strings.
        pieces = pc.split_pattern(column_of(rows, column).cast(pa.large_string()).fill_null(""), separator)
        names = pc.utf8_trim_whitespace(pieces.flatten())
        given = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
        row_of = np.repeat(np.arange(len(rows)), pc.list_value_length(pieces).to_numpy())
        numbers = np.bincount(row_of[given], minlength=len(rows))
        read[split] = LabelColumn(split, Value("large_string"), names.filter(pa.array(given)), numbers)
    return read


def as_ids(
    columns: dict[str, LabelColumn], column: str, fewest: int, may_lack: bool = False
) -> tuple[dict[str, LabelColumn], list[str]]:
    """
    Classes -> their ids, and the names of the labels in the order of their ids, by the labels of train.

    The ids of a ClassLabel stay; others are sorted. With `may_lack`, null and, among ids, -100 is a missing label.
    """
    named = {split: _as_names(labels, column, may_lack) for split, labels in columns.items()}
    train = columns["train"]
    if isinstance(train.inner, ClassLabel):
        names = train.inner.names
    else:
        is_number = isinstance(train.inner, Value) and "int" in train.inner.dtype
        found = named["train"].values.drop_null().unique().to_pylist()
        names = sorted(found, key=int if is_number else None)
    num_found = pc.count_distinct(named["train"].values).as_py()
    if num_found < fewest:
        raise ValueError(
            f"split train: column {column!r} has {num_found} label{'s' * (num_found != 1)}; this task takes "
            f"{fewest} or more."
        )
    value_set = pa.array(names, pa.large_string())
    ids = {}
    for split, labels in named.items():
        labels.check_each(
            lambda given: pc.or_(pc.is_null(given), pc.is_in(given, value_set=value_set)),
            f"is not in train, which has {listed(names)}; move rows with it to train, or leave that row out",
        )
        ids[split] = labels.with_values(pc.index_in(labels.values, value_set=value_set).cast(pa.int64()))
    return ids, names


def _as_names(labels: LabelColumn, column: str, may_lack: bool) -> LabelColumn:
    inner = labels.inner
    kind = inner.dtype.rstrip("0123456789") if isinstance(inner, ClassLabel | Value) else None
    if kind not in ("int", "uint", "string", "large_string", "bool", "null"):
        raise ValueError(
            f"split {labels.split}: column {column!r} is {labels.feature}; a class is a string, a boolean, a whole "
            "number or a ClassLabel, or in a list of these; name another --label_column, or give numbers to train.py "
            "with --task regression."
        )
    if not may_lack:
        labels.check_each(pc.is_valid, f"is missing; {COMPLETE_ROW}")
    elif pa.types.is_integer(labels.values.type):
        labels = labels.with_values(pc.if_else(pc.equal(labels.values, IGNORED), None, labels.values))
    if isinstance(inner, ClassLabel):
        labels.check_each(
            lambda ids: pc.and_(pc.greater_equal(ids, 0), pc.less(ids, inner.num_classes)),
            f"is not one of the ids 0 to {inner.num_classes - 1} of its ClassLabel; correct that row or leave it out",
        )
        named = labels.with_values(pa.array(inner.names, pa.large_string()).take(labels.values))
    elif inner.dtype == "bool":
        named = labels.with_values(pc.if_else(labels.values, "True", "False").cast(pa.large_string()))
    else:
        named = labels.with_values(labels.values.cast(pa.large_string()))
    named.check_each(lambda names: pc.not_equal(names, ""), f"is an empty string; {COMPLETE_ROW}")
    return named


def vectors(rows: np.ndarray) -> tuple[pa.Array, List]:
    """Rows of equally many float32, (rows, numbers), as a column."""
    length = rows.shape[1]
    return pa.FixedSizeListArray.from_arrays(rows.reshape(-1), length), List(Value("float32"), length=length)


def with_labels(rows: Dataset, column: str, values: pa.Array, feature: object) -> Dataset:
    """The rows with these values in the column `label`, and without the column that they were made of."""
    if rows.num_rows != rows.data.num_rows:  # rows that were selected
        # `add_column` would call `flatten_indices`, which casts row by row: 70 µs each (datasets 5.2).
        chunks = rows.with_format("arrow")
        rows = chunks.map(pa.Table.combine_chunks, batched=True, batch_size=ROWS_AT_ONCE).with_format(None)
    # In this order, for a data set without any column has no rows to add one to.
    rows = rows.add_column("encoded label", values, feature=feature)
    rows = rows.remove_columns([name for name in rows.features if name in ("label", column)])
    return rows.rename_column("encoded label", "label")


def label_array(rows: Dataset) -> pa.Array:
    return column_of(rows, "label")


def column_of(rows: Dataset, name: str) -> pa.Array:
    """The values of a column, (rows,)."""
    return pa.chunked_array(rows.select_columns([name]).with_format("arrow")[:][name]).combine_chunks()
