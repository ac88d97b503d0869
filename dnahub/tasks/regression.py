"""One number or several of each sequence: `--task regression`."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Value
from scipy.stats import rankdata
from torch.nn.functional import mse_loss

from dnahub.metrics.rankings import mean_defined
from dnahub.tasks.labels import (
    COMPLETE_ROW,
    LabelColumn,
    RowError,
    read_columns,
    refuse_separator,
    vectors,
    with_labels,
)
from dnahub.tasks.task import Labels, RowResults, Task, columns

FAR_FROM_1 = 30.0


class Regression(Task):
    """`label` is a number, or a vector of equally many numbers; the loss is the squared error."""

    problem_type = "regression"
    metrics = ("spearman", "pearson", "r2", "rmse", "mae", "loss")
    fits_classes = False
    hub_tag = native_pipeline = None  # the only ones for sequences are text-classification
    usage = ("predict", "value")

    def encode(self, splits: DatasetDict, column: str, separator: str | None = None) -> tuple[DatasetDict, Labels]:
        refuse_separator(separator)
        expected = "--task regression takes a number a row in all splits, or a list of equally many"
        read = read_columns(splits, column, in_lists=None, expected=expected)
        of_lists = read["train"].numbers is not None
        num_outputs = int(read["train"].numbers[0]) if of_lists else 1
        encoded = {}
        for split, rows in splits.items():
            numbers = _as_numbers(read[split], column, num_outputs)
            feature: Any = Value("float32")
            if of_lists:
                numbers, feature = vectors(numbers.to_numpy().reshape(-1, num_outputs))
            encoded[split] = with_labels(rows, column, numbers, feature)
        return DatasetDict(encoded), Labels([], num_outputs)

    def note_on_labels(self, rows: Dataset) -> str | None:
        """A new head gives numbers of about 1, and a step of training moves it by a fraction of that."""
        labels = np.asarray(rows["label"])
        mean, deviation = labels.mean(dtype=np.float64), labels.std(dtype=np.float64)
        if 1 / FAR_FROM_1 < deviation < FAR_FROM_1 and abs(mean) <= FAR_FROM_1:
            return None
        return (
            f"the labels of train have mean {mean:.4g} and standard deviation {deviation:.4g}; standardise regression "
            "targets: subtract the mean and divide by the deviation, or take the logarithm"
        )

    def loss(self, logits, labels, class_weights=None, label_smoothing=0.0):
        return mse_loss(logits.reshape(labels.shape), labels.to(logits.dtype), reduction="sum")

    def measure(self, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
        """Means over the outputs; correlations are 0 where all predictions are the same."""
        constant = self.is_constant(outputs, labels)
        true, predicted = columns(labels), columns(outputs)
        if not np.isfinite(predicted).all():
            return dict.fromkeys(("spearman", "pearson", "r2", "rmse", "mae")) | {"constant": constant}
        squared = np.square(predicted - true).mean(axis=0)  # (outputs,)
        pairs = [(y, x, error) for y, x, error in zip(true.T, predicted.T, squared, strict=True) if np.ptp(y) > 0]
        return {
            "spearman": mean_defined([_correlation(rankdata(y), rankdata(x)) for y, x, _ in pairs]),
            "pearson": mean_defined([_correlation(y, x) for y, x, _ in pairs]),
            "r2": mean_defined([1 - error / y.var() for y, _, error in pairs]),
            "rmse": float(np.sqrt(squared).mean()),
            "mae": float(np.abs(predicted - true).mean()),
            "constant": constant,
        }

    def rows_of(self, outputs, labels, meaning):
        return RowResults(labels.tolist(), outputs.reshape(labels.shape).tolist())

    def unit(self, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        deviation = columns(labels).std(axis=0)
        return np.where(deviation > 0, deviation, 1)  # (outputs,)

    def title(self, labels: Labels) -> str:
        return f"fine-tuned to predict {_how_many(labels)} from a DNA sequence"

    def summary(self, labels: Labels) -> str:
        return f"It takes a DNA sequence and gives {_how_many(labels)}."


def _as_numbers(labels: LabelColumn, column: str, num_outputs: int) -> pa.Array:
    """The numbers of a split in float32, row by row."""
    inner = labels.inner
    if isinstance(inner, Value) and inner.dtype.endswith("string"):  # one NA makes all of a CSV file's column so
        labels.check_each(_are_numbers, "is not a number; correct that row or leave it out, or give another --task")
    if not isinstance(inner, Value) or not ("int" in inner.dtype or inner.dtype.startswith("float")):
        raise ValueError(
            f"split {labels.split}: column {column!r} is {labels.feature}; --task regression takes "
            " numbers, or lists of equally many: write all values as numbers, or give another --task."
        )
    if labels.numbers is not None:
        unequal = np.flatnonzero((labels.numbers != num_outputs) | (labels.numbers == 0))
        if len(unequal):
            row = unequal[0]
            fault = f"the label is a list of {labels.numbers[row]} numbers and that of the first row of train has "
            raise RowError(labels.split, int(row), f"{fault}{num_outputs}; give every row equally many, one or more.")
    numbers = labels.with_values(pc.cast(labels.values, pa.float32(), safe=False))
    numbers.check_each(
        lambda given: pc.fill_null(pc.is_finite(given), False), f"is not a finite number of float32; {COMPLETE_ROW}"
    )
    return numbers.values


def _are_numbers(texts: pa.Array) -> pa.Array:
    def is_number(text: str) -> bool:
        try:
            return math.isfinite(float(text))
        except ValueError:
            return False

    return pa.array([None if text is None else is_number(text) for text in texts.to_pylist()])


def _correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    """Pearson's; 0 where all predictions are the same."""
    return float(np.corrcoef(true, predicted)[0, 1]) if np.ptp(predicted) > 0 else 0.0


def _how_many(labels: Labels) -> str:
    return "a number" if labels.num_outputs == 1 else f"{labels.num_outputs} numbers"


TASK = Regression()
