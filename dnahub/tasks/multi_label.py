"""Any number of labels of each sequence: `--task multi_label`."""

from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from scipy.special import expit
from torch.nn.functional import binary_cross_entropy_with_logits

from dnahub.metrics.rankings import mean_defined, rank_labels
from dnahub.tasks.labels import as_ids, label_array, read_columns, split_texts, vectors, with_labels
from dnahub.tasks.task import Labels, RowResults, Task


class MultiLabel(Task):
    """`label` is a vector of 0 and 1, one for each label; given as a list of labels, or as strings to be split."""

    problem_type = "multi_label_classification"
    metrics = ("micro_f1", "macro_f1", "auroc", "auprc", "subset_accuracy", "loss")
    beside = {"micro_f1": "macro_f1", "subset_accuracy": "macro_f1"}
    stratified = outputs_are_logits = True
    fits_classes = baselines_have_loss = False  # a ridge regression gives no log odds
    usage = ("classify", "label, score, labels, scores of all labels")

    def encode(self, splits: DatasetDict, column: str, separator: str | None = None) -> tuple[DatasetDict, Labels]:
        if separator is None:
            expected = "--task multi_label takes a list of labels a row, or strings and --label_separator"
            columns = read_columns(splits, column, in_lists=True, expected=expected)
        else:
            columns = split_texts(splits, column, separator)
        ids, names = as_ids(columns, column, fewest=1)
        encoded = {}
        for split, rows in splits.items():
            has_label = np.zeros((len(rows), len(names)), np.float32)
            has_label[np.repeat(np.arange(len(rows)), ids[split].numbers), ids[split].values.to_numpy()] = 1
            encoded[split] = with_labels(rows, column, *vectors(has_label))
        return DatasetDict(encoded), Labels(names, len(names))

    def row_labels(self, rows: Dataset) -> tuple[np.ndarray, np.ndarray]:
        return np.nonzero(_matrix(rows))

    def loss(self, logits, labels, class_weights=None, label_smoothing=0.0):
        of_each = None if class_weights is None else torch.where(labels > 0.5, class_weights[1], class_weights[0])
        return binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), of_each, reduction="sum")

    def class_weights(self, rows: Dataset, num_labels: int) -> torch.Tensor:
        """Each label is a problem of two classes of its own: (2, labels), of not having it and of having it."""
        having = _matrix(rows).sum(axis=0)
        counts = np.stack([len(rows) - having, having])  # (2, labels)
        weights = len(rows) / (2 * np.maximum(counts, 1))
        return torch.tensor(np.where(counts > 0, weights, 1.0), dtype=torch.float32)

    def measure(self, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
        """Predicted from a probability of 0.5; an F1 without true or predicted labels is left out of the mean."""
        true, predicted = labels > 0.5, outputs > 0  # (rows, labels)
        num_right, num_true, num_predicted = (each.sum(axis=0) for each in (true & predicted, true, predicted))
        f1_scores = list(map(_share, 2 * num_right, num_true + num_predicted))
        return {
            "micro_f1": _share(2 * num_right.sum(), (num_true + num_predicted).sum()),
            "macro_f1": mean_defined(f1_scores),
            "subset_accuracy": float((true == predicted).all(axis=1).mean()),
            "recall_per_label": dict(zip(label_names, map(_share, num_right, num_true), strict=True)),
            "f1_per_label": dict(zip(label_names, f1_scores, strict=True)),
            **rank_labels(true, outputs.astype(np.float64), label_names),
            "constant": self.is_constant(outputs, labels),
        }

    def measure_resamples(self, outputs, labels, label_names, counts):
        scores = super().measure_resamples(outputs, labels, label_names, counts)
        has_label = (labels > 0.5).astype(np.float32)
        lacks_label = ((counts @ has_label == 0) & (has_label.sum(axis=0) > 0)).any(axis=1)
        # Without one of the labels, they would be means over other labels.
        return scores | {name: np.where(lacks_label, np.nan, scores[name]) for name in ("macro_f1", "auroc", "auprc")}

    def rows_of(self, outputs, labels, meaning):
        true, predicted = (
            [[meaning.names[i] for i in np.flatnonzero(row)] for row in which] for which in (labels > 0.5, outputs > 0)
        )
        return RowResults(true, predicted, expit(outputs.astype(np.float64)), labels > 0.5)

    def baseline_outputs(self, predicted: np.ndarray, classes: np.ndarray | None, labels: Labels) -> np.ndarray:
        return predicted - 0.5  # 0 and 1 were fitted; `measure` takes what is above 0 for present

    def title(self, labels: Labels) -> str:
        return f"fine-tuned to assign any of {len(labels.names)} labels to a DNA sequence"

    def summary(self, labels: Labels) -> str:
        return f"It takes a DNA sequence and gives any number of these labels: {', '.join(labels.names)}."


def _matrix(rows: Dataset) -> np.ndarray:
    """Which rows have each label, (rows, labels), bool."""
    return label_array(rows).flatten().to_numpy().reshape(len(rows), -1) > 0.5


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


TASK = MultiLabel()
