"""Predicted and true labels -> accuracies, macro F1, MCC, recall per label, confusion matrix."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

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
    (name -> float or None), `confusion_matrix` (list of rows of counts; rows are true labels, columns predicted ones).

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
    num_labels = len(label_names)
    cells = np.asarray(true, dtype=np.int64) * num_labels + predicted
    confusion = np.bincount(cells, minlength=num_labels**2).reshape(num_labels, num_labels)  # (true, predicted)
    num_true = confusion.sum(axis=1)  # (labels,)
    return {
        **{name: float(score) if len(cells) else None for name, score in score_confusions(confusion).items()},
        "recall_per_label": {
            name: float(confusion[i, i] / num_true[i]) if num_true[i] else None for i, name in enumerate(label_names)
        },
        "confusion_matrix": confusion.tolist(),
    }


def score_confusions(confusions: np.ndarray) -> dict[str, np.ndarray]:
    """The scores that are one number, of counts (..., true, predicted): (...) each, NaN without items."""
    confusions = confusions.astype(float)
    right = np.diagonal(confusions, axis1=-2, axis2=-1)  # (..., labels), as the next two
    num_true, num_predicted = confusions.sum(axis=-1), confusions.sum(axis=-2)
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
