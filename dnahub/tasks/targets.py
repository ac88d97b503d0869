"""Label column -> what the task takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, LargeList, List, Value

IGNORED = -100  # what PyTorch's cross entropy leaves out by default
LABELS_SHOWN = 10  # in an error
ROWS_AT_ONCE = 10_000
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Targets:
    """
    Args:
        problem: "single_label_classification", "multi_label_classification", "regression" or "token_classification".
        label_names: The labels in the order of their ids; empty for regression.
        num_outputs: How many numbers the model gives for a sequence, or for a token: one a label, or one a number.
    """

    problem: str
    label_names: list[str]
    num_outputs: int


class _Labels(NamedTuple):
    """
    The labels of one split as names.

    Args:
        names: All labels, row by row.
        numbers: How many of them each row has; None where it is always one, not in a list.
    """

    names: pa.Array
    numbers: np.ndarray | None

    def row_of(self, position: int) -> int:
        """The row that the label at `position` of `names` is of."""
        return position if self.numbers is None else int(np.searchsorted(self.numbers.cumsum(), position, "right"))


def encode(
    splits: DatasetDict, column: str, task: str, label_separator: str | None = None, naming: str = "train"
) -> tuple[DatasetDict, Targets]:
    """
    Replace the column of labels by a column `label` of what the task takes, by the labels of train.

    Classification takes one label a row: a ClassLabel, whose ids stay, strings, booleans or whole numbers, whose names
    are sorted. A list of such labels a row, or strings with `label_separator`, make it multi-label. Regression takes
    numbers, or lists of equally many. Token classification takes a list with one label a token, `<cls>` not counted.

    Args:
        splits: train and any others. A column `label` that is not `column` is replaced, too.
        column: The column of labels.
        task: "classification", "regression" or "token_classification".
        label_separator: What stands between the labels of a row, such as ";"; white space around a label is dropped,
            and a row without any, empty or missing, has no label.
        naming: Which split says what labels there are; default train, which is not at hand when it is streamed.

    Returns:
        The splits, where `label` is: an id (single label); 0.0 or 1.0 for each label (multi-label); a number, or a
        list of them (regression); a list of ids, -100 where a token has none (token classification). And what they
        mean.

    Raises:
        ValueError: If the column is not there, is not what the task takes, lacks a label, holds one that train does
            not have, or if train has too few labels to learn from.
    """
    for split, rows in splits.items():
        if column not in rows.features:
            raise ValueError(f"split {split}: there is no column {column!r}, only {', '.join(rows.features)}.")
        if not len(rows):
            raise ValueError(f"split {split}: it is empty; give it rows, or leave it out.")
    if label_separator is not None and (task != "classification" or not label_separator):
        raise ValueError(f"label separator {label_separator!r}: give one or more letters, for classification only.")
    if task == "regression":
        return _encode_numbers(splits, column, naming)
    if task not in ("classification", "token_classification"):
        raise ValueError(f"task {task!r}: it is one of classification, regression, token_classification.")
    return _encode_classes(splits, column, task, label_separator, naming)


def encode_stream(
    rows: IterableDataset, column: str, targets: Targets, label_separator: str | None = None
) -> IterableDataset:
    """
    As `encode`, for rows that are read one by one; a fault is raised when its row is reached.

    Args:
        rows: Rows with the column of labels.
        column: The column of labels.
        targets: What `encode` made of the other splits.
        label_separator: What stands between the labels of a row.
    """
    if column not in rows.features:
        raise ValueError(f"split train: there is no column {column!r}, only {', '.join(rows.features)}.")
    feature = rows.features[column]
    in_list = isinstance(feature, List | LargeList)
    inner = feature.feature if in_list else feature
    needs_list = {
        "single_label_classification": False,
        "multi_label_classification": label_separator is None,
        "token_classification": True,
    }
    if needs_list.get(targets.problem, in_list) != in_list:
        raise ValueError(
            f"split train: column {column!r} is {feature}, but that of validation holds "
            f"{'one label' if in_list else 'a list'} a row; write it alike in both."
        )
    if targets.problem != "regression":
        _check_kind("train", column, feature, inner)
    ids = {name: i for i, name in enumerate(targets.label_names)}
    class_names = dict(enumerate(inner.names)) if isinstance(inner, ClassLabel) else None

    def id_of(label: object) -> int:
        _check_given(label)
        name = str(label) if class_names is None else class_names.get(label)
        if name not in ids:
            raise ValueError(
                f"split train: the label {label!r} is not in validation, which has {_shown(targets.label_names)}; add "
                "a row with it to validation, or leave its rows out."
            )
        return ids[name]

    def encoded(label: object) -> object:
        if targets.problem == "single_label_classification":
            return id_of(label)
        if label_separator is None:
            _check_given(label)
        if targets.problem == "token_classification":
            return [IGNORED if each is None or each == IGNORED else id_of(each) for each in label]
        if targets.problem == "multi_label_classification":
            labels = label
            if label_separator is not None:
                text = "" if label is None else str(label)
                labels = [name for each in text.split(label_separator) if (name := each.strip())]
            hot = [0.0] * len(ids)
            for each in labels:
                hot[id_of(each)] = 1.0
            return hot
        return _numbers(label, targets.num_outputs)

    label_features = {
        "single_label_classification": ClassLabel(names=targets.label_names),
        "multi_label_classification": List(Value("float32"), length=targets.num_outputs),
        "token_classification": List(Value("int64")),
        "regression": List(Value("float32"), length=targets.num_outputs) if in_list else Value("float32"),
    }
    return rows.map(
        lambda label: {"label": encoded(label)},
        input_columns=column,
        remove_columns=[name for name in rows.features if name != "sequence"],
        features=Features({"sequence": rows.features["sequence"], "label": label_features[targets.problem]}),
    )


def _check_given(label: object) -> None:
    """A label of a stream; of which row it is, is not known there."""
    if label is None:
        raise ValueError("split train: the label of a row is missing; complete that row or leave it out.")


def _numbers(label: object, num_outputs: int) -> float | list[float]:
    """The label of a row of a stream for regression; files of text give strings."""
    numbers = label if isinstance(label, list) else [label]
    try:
        numbers = [float(each) for each in numbers]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != num_outputs or not (np.abs(numbers) <= LARGEST_FLOAT32).all():
        raise ValueError(
            f"split train: the label {label!r} is not {num_outputs} finite number(s) of float32; mend that row."
        )
    return numbers if isinstance(label, list) else numbers[0]


def _encode_classes(
    splits: DatasetDict, column: str, task: str, label_separator: str | None, naming: str
) -> tuple[DatasetDict, Targets]:
    labels = {split: _read_labels(split, rows, column, task, label_separator) for split, rows in splits.items()}
    names = _names(splits[naming].features[column], labels[naming].names, label_separator)
    if labels[naming].numbers is None:
        problem, fewest = "single_label_classification", 2
    elif task == "classification":
        problem, fewest = "multi_label_classification", 1
    else:
        problem, fewest = "token_classification", 2
    found = pc.count_distinct(labels[naming].names).as_py()
    if found < fewest:
        raise ValueError(
            f"split {naming}: column {column!r} holds {found} label{'s' * (found != 1)}; {task} takes {fewest} or "
            "more."
        )
    encoded = {}
    for split, rows in splits.items():
        ids = _ids(split, labels[split], names, naming)
        numbers = labels[split].numbers
        if (numbers is None) != (problem == "single_label_classification"):
            raise _unlike(naming, splits, split, column)
        if problem == "single_label_classification":
            values, feature = ids, ClassLabel(names=names)
        elif problem == "multi_label_classification":
            hot = np.zeros((len(rows), len(names)), np.float32)
            hot[np.repeat(np.arange(len(rows)), numbers), ids.to_numpy()] = 1
            values, feature = _vectors(hot)
        else:
            starts = np.concatenate([[0], numbers.cumsum()]).astype(np.int32)
            values = pa.ListArray.from_arrays(starts, ids.fill_null(IGNORED))
            feature = List(Value("int64"))
        encoded[split] = _replace(rows, column, values, feature)
    return DatasetDict(encoded), Targets(problem, names, len(names))


def _read_labels(split: str, rows: Dataset, column: str, task: str, label_separator: str | None) -> _Labels:
    feature, values = rows.features[column], _values(rows, column)
    if label_separator is not None:
        return _split_labels(split, column, feature, values, label_separator)
    _check_none_missing(split, values)
    in_list = isinstance(feature, List | LargeList)
    inner = feature.feature if in_list else feature
    if task == "token_classification" and not in_list:
        raise ValueError(
            f"split {split}: column {column!r} is {feature}; --task token_classification takes a list of labels a "
            "row, as JSON Lines and Parquet can hold."
        )
    _check_kind(split, column, feature, inner)
    numbers = pc.list_value_length(values).to_numpy().astype(np.int64) if in_list else None
    labels = _Labels(values.flatten() if in_list else values, numbers)
    if task == "token_classification":
        if pa.types.is_integer(labels.names.type):  # ids of none, as transformers' own examples have them
            ignored = pc.equal(labels.names, IGNORED)
            labels = labels._replace(names=pc.if_else(ignored, None, labels.names))
    else:
        _check_each(split, labels, pc.is_valid, "is missing; complete that row or leave it out")
    if isinstance(inner, ClassLabel):
        _check_each(
            split,
            labels,
            lambda ids: pc.and_(pc.greater_equal(ids, 0), pc.less(ids, inner.num_classes)),
            f"is none of the ids 0 to {inner.num_classes - 1} of its ClassLabel; mend that row or leave it out",
        )
    labels = labels._replace(names=_as_names(inner, labels.names))
    _check_each(
        split,
        labels,
        lambda names: pc.not_equal(names, ""),
        "is an empty string; complete that row or leave it out",
    )
    return labels


def _split_labels(split: str, column: str, feature: object, values: pa.Array, label_separator: str) -> _Labels:
    if not isinstance(feature, Value) or not feature.dtype.endswith(("string", "int64")):
        raise ValueError(
            f"split {split}: column {column!r} is {feature}; a label separator is for strings, leave it out."
        )
    # Whole numbers: a file where no row happens to have two labels. Missing: CSV has no other empty strings.
    texts = values.cast(pa.large_string()).fill_null("")
    pieces = pc.split_pattern(texts, label_separator)
    names = pc.utf8_trim_whitespace(pieces.flatten())
    given = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
    row_of = np.repeat(np.arange(len(values)), pc.list_value_length(pieces).to_numpy())
    return _Labels(names.filter(pa.array(given)), np.bincount(row_of[given], minlength=len(values)))


def _check_kind(split: str, column: str, feature: object, inner: object) -> None:
    if isinstance(inner, ClassLabel) or (
        isinstance(inner, Value)
        and (inner.dtype in ("string", "large_string", "bool", "null") or "int" in inner.dtype)
    ):
        return
    if isinstance(inner, Value) and inner.dtype.startswith("float"):
        raise ValueError(
            f"split {split}: column {column!r} is {feature}; for numbers give --task regression, for classes write "
            "whole numbers or names."
        )
    raise ValueError(
        f"split {split}: column {column!r} is {feature}; a label is a ClassLabel, a string, a boolean or a whole "
        "number, or a list of one of these."
    )


def _as_names(inner: object, values: pa.Array) -> pa.Array:
    if isinstance(inner, ClassLabel):
        return pa.array(inner.names, pa.large_string()).take(values)
    if inner.dtype == "bool":
        return pc.if_else(values, "True", "False").cast(pa.large_string())
    return values.cast(pa.large_string())


def _names(feature: object, names: pa.Array, label_separator: str | None) -> list[str]:
    """The labels of train in the order of their ids."""
    inner = feature.feature if isinstance(feature, List | LargeList) else feature
    if isinstance(inner, ClassLabel):
        return inner.names
    numbers = "int" in inner.dtype and label_separator is None
    return sorted(names.drop_null().unique().to_pylist(), key=int if numbers else None)


def _ids(split: str, labels: _Labels, names: list[str], naming: str) -> pa.Array:
    value_set = pa.array(names, pa.large_string())
    shown = _shown(names)
    _check_each(
        split,
        labels,
        lambda given: pc.or_(pc.is_null(given), pc.is_in(given, value_set=value_set)),
        f"is not in {naming}, which has {shown}; move rows with it to {naming}, or leave that row out",
    )
    return pc.index_in(labels.names, value_set=value_set).cast(pa.int64())


def _shown(names: list[str]) -> str:
    return ", ".join(names[:LABELS_SHOWN]) + (", …" if len(names) > LABELS_SHOWN else "")


def _encode_numbers(splits: DatasetDict, column: str, naming: str) -> tuple[DatasetDict, Targets]:
    of_lists = isinstance(splits[naming].features[column], List | LargeList)
    encoded, num_outputs = {}, 1
    for split, rows in splits.items():
        feature, values = rows.features[column], _values(rows, column)
        _check_none_missing(split, values)
        in_list = isinstance(feature, List | LargeList)
        inner = feature.feature if in_list else feature
        if not isinstance(inner, Value) or not ("int" in inner.dtype or inner.dtype.startswith("float")):
            raise ValueError(
                f"split {split}: column {column!r} is {feature}{_first_text(values)}; --task regression takes "
                "numbers, or lists of equally many: write all values as numbers, or give --task classification."
            )
        if in_list != of_lists:
            raise _unlike(naming, splits, split, column)
        numbers = None
        if of_lists:
            numbers = pc.list_value_length(values).to_numpy()
            num_outputs = int(numbers[0]) if not encoded else num_outputs
            unequal = np.flatnonzero((numbers != num_outputs) | (numbers == 0))
            if len(unequal):
                row = unequal[0]
                raise ValueError(
                    f"split {split}: the label of row {row} is a list of {numbers[row]} numbers and that "
                    f"of the first row of all has {num_outputs}; give every row equally many, one or more."
                )
            values = values.flatten()
        flat = pc.cast(values, pa.float32(), safe=False)
        _check_each(
            split,
            _Labels(flat, numbers),
            lambda given: pc.fill_null(pc.is_finite(given), False),
            "is no finite number of float32; complete that row or leave it out",
        )
        if of_lists:
            flat, feature = _vectors(flat.to_numpy().reshape(-1, num_outputs))
        encoded[split] = _replace(rows, column, flat, feature if of_lists else Value("float32"))
    return DatasetDict(encoded), Targets("regression", [], num_outputs)


def _first_text(values: pa.Array) -> str:
    """Where a column of strings is not numbers: one NA makes strings of all of a CSV file's column."""
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return ""
    for row, text in enumerate(values.to_pylist()):
        try:
            float(text)
        except ValueError:
            return f" (row {row} is {text!r})"
    return ""


def _unlike(naming: str, splits: DatasetDict, split: str, column: str) -> ValueError:
    return ValueError(
        f"split {split}: column {column!r} is {splits[split].features[column]}, but that of {naming} is "
        f"{splits[naming].features[column]}; write it alike in both."
    )


def _values(rows: Dataset, column: str) -> pa.Array:
    return rows.select_columns([column]).with_format("arrow")[:][column].combine_chunks()


def _check_none_missing(split: str, values: pa.Array) -> None:
    if values.null_count:
        row = int(np.flatnonzero(values.is_null())[0])
        raise ValueError(f"split {split}: the label of row {row} is missing; complete that row or leave it out.")


def _check_each(split: str, labels: _Labels, is_good: Callable[[pa.Array], pa.Array], fault: str) -> None:
    good = is_good(labels.names).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(good == False)  # noqa: E712 (None: a token without label)
    if len(wrong):
        label = labels.names[int(wrong[0])].as_py()
        raise ValueError(f"split {split}: the label {label!r} of row {labels.row_of(int(wrong[0]))} {fault}.")


def _vectors(rows: np.ndarray) -> tuple[pa.Array, List]:
    """Rows of equally many float32, (rows, numbers), as a column."""
    length = rows.shape[1]
    return pa.FixedSizeListArray.from_arrays(rows.reshape(-1), length), List(Value("float32"), length=length)


def _replace(rows: Dataset, column: str, values: pa.Array, feature: object) -> Dataset:
    if rows._indices is not None:
        # `add_column` would call `flatten_indices`, which casts row by row: 70 µs each (datasets 5.2).
        chunks = rows.with_format("arrow")
        rows = chunks.map(pa.Table.combine_chunks, batched=True, batch_size=ROWS_AT_ONCE).with_format(None)
    # In this order, for a data set without any column has no rows to add one to.
    rows = rows.add_column("encoded label", values, feature=feature)
    rows = rows.remove_columns([name for name in rows.features if name in ("label", column)])
    return rows.rename_column("encoded label", "label")
