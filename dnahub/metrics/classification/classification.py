"""Predicted and true labels -> accuracies, macro F1, MCC, recall per label, confusion matrix."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

MAX_LABELS_OF_MATRIX = 300  # of 3,000, it is nine million numbers in JSON

_DESCRIPTION = """
Scores of a single-label classifier over a fixed list of labels. Every label of the list has its row and its column in
the confusion matrix, whether it occurs or not.

Labels that do not occur:
- not among the references: its recall is None (0 / 0), not 0, and the label is left out of balanced accuracy;
- neither among the references nor among the predictions: the label is left out of the mean of macro F1;
- predicted, but not among the references: its F1 is 0 and counts.

Balanced accuracy is the mean of the recalls.

MCC is the multi-class R_K (Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006), 0 where it is
undefined: when all predictions, or all references, are one label.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (list of `int`): Predicted label of each example, an index into `label_names`.
    references (list of `int`): True label of each example, an index into `label_names`.
    label_names (list of `str`): Names of the labels in the order of their indices, as in `ClassLabel.names`.

Returns:
    A dict that `json.dumps` takes: `accuracy`, `balanced_accuracy`, `macro_f1` and `mcc` (float), `recall_per_label`
    (name -> float or None), `confusion_matrix` (list of rows of counts; rows are true labels, columns predicted ones;
    of at most 300 labels).

Examples:
    >>> metric = evaluate.load("dnahub/metrics/classification")
    >>> scores = metric.compute(predictions=[0, 1, 1], references=[0, 1, 0], label_names=["fly", "yeast"])
    >>> scores["recall_per_label"]
    {'fly': 0.5, 'yeast': 1.0}
"""


def score_classes(predicted: np.ndarray, true: np.ndarray, label_names: Sequence[str]) -> dict[str, Any]:
    """
    The scores of the description above, all from the confusion matrix, so that a million tokens take milliseconds.

    Of ids (items,); `accuracy`, `balanced_accuracy`, `macro_f1` and `mcc` are None without any item.
    """
    num_labels, true = len(label_names), np.asarray(true, dtype=np.int64)
    of_items = (true[true == predicted], true, predicted)
    right, num_true, num_predicted = (np.bincount(each, minlength=num_labels) for each in of_items)  # (labels,)
    scores = score_counts(right, num_true, num_predicted)
    found = {
        **{name: float(score) if len(true) else None for name, score in scores.items()},
        "recall_per_label": {
            name: float(right[i] / num_true[i]) if num_true[i] else None for i, name in enumerate(label_names)
        },
    }
    if num_labels <= MAX_LABELS_OF_MATRIX:
        cells = np.bincount(true * num_labels + predicted, minlength=num_labels**2)
        found["confusion_matrix"] = cells.reshape(num_labels, num_labels).tolist()  # (true, predicted)
    return found


def score_counts(right: np.ndarray, num_true: np.ndarray, num_predicted: np.ndarray) -> dict[str, np.ndarray]:
    """
    The scores that are one number, of how many items of each label are right, have it, and are predicted to.

    Of (..., labels), (...) each, NaN without items.
    """
    right, num_true, num_predicted = (each.astype(float) for each in (right, num_true, num_predicted))
    total, met, occurring = num_true.sum(axis=-1), num_true > 0, num_true + num_predicted > 0
    covariance = right.sum(axis=-1) * total - (num_true * num_predicted).sum(axis=-1)
    spreads = [total**2 - np.square(each).sum(axis=-1) for each in (num_true, num_predicted)]
    deviation = np.sqrt(spreads[0] * spreads[1])
    mcc = np.divide(covariance, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return {
            "accuracy": right.sum(axis=-1) / total,
            "balanced_accuracy": (right / np.where(met, num_true, 1)).sum(axis=-1) / met.sum(axis=-1),
            "macro_f1": (2 * right / np.where(occurring, num_true + num_predicted, 1)).sum(axis=-1)
            / occurring.sum(axis=-1),
            "mcc": np.where(total > 0, mcc, np.nan),
        }


class Classification(evaluate.Metric):
    """`score_classes` for `evaluate.load`."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions, references, label_names: list[str] | None = None) -> dict:
        if not label_names or len(set(label_names)) != len(label_names):
            raise ValueError(
                f"Got label_names={label_names!r}; give the name of every label once, in the order of their indices, "
                "for example dataset.features['label'].names."
            )
        for label in {*predictions, *references} - set(range(len(label_names))):
            raise ValueError(f"Got the label {label}, but label_names has {len(label_names)} names; name every label.")
        return score_classes(np.asarray(predictions), np.asarray(references), label_names)
