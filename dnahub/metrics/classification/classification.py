"""Predicted and true labels -> accuracy, macro F1, MCC, recall per label, confusion matrix."""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, matthews_corrcoef

_DESCRIPTION = """
Scores of a single-label classifier over a fixed list of labels (here: species). Every label of the list has its row
and its column in the confusion matrix, whether it occurs or not.

Labels that do not occur:
- no window of a label among the references: its recall is None (0 / 0), not 0;
- neither among the references nor among the predictions: the label is left out of the mean of macro F1;
- predicted, but not among the references: its F1 is 0 and counts.

MCC is the multi-class R_K (Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006), 0 where it is
undefined: when all predictions, or all references, are one label.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (list of `int`): Predicted label of each example, an index into `label_names`.
    references (list of `int`): True label of each example, an index into `label_names`.
    label_names (list of `str`): Names of the labels in the order of their indices, as in `ClassLabel.names`.

Returns:
    A dict that `json.dumps` takes: `accuracy`, `macro_f1` and `mcc` (float), `recall_per_label` (name -> float or
    None), `confusion_matrix` (list of rows of counts; rows are true labels, columns predicted ones).

Raises:
    ValueError: No examples, predictions and references of different numbers, an index that `label_names` lacks, or
        names that are missing or stand twice.

Examples:
    >>> metric = evaluate.load("dnahub/metrics/classification")
    >>> scores = metric.compute(predictions=[0, 1, 1], references=[0, 1, 0], label_names=["fly", "yeast"])
    >>> scores["recall_per_label"]
    {'fly': 0.5, 'yeast': 1.0}
"""


class SpeciesClassification(evaluate.Metric):
    """Scores of a species classifier; see the description above for labels that do not occur."""

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
        if len(references) == 0:
            raise ValueError("Got no predictions and no references; the scores of nothing are not defined.")
        for role, labels in (("predictions", predictions), ("references", references)):
            outside = sorted(set(labels) - set(range(len(label_names))))
            if outside:
                raise ValueError(
                    f"Got the label {outside[0]} among the {role}, but label_names has {len(label_names)} names "
                    f"(0 to {len(label_names) - 1}); give every label its name."
                )

        confusion = confusion_matrix(references, predictions, labels=range(len(label_names)))  # (true, predicted)
        examples_per_label = confusion.sum(axis=1)  # (true,)
        present = np.flatnonzero(examples_per_label + confusion.sum(axis=0))
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "macro_f1": float(f1_score(references, predictions, labels=present, average="macro", zero_division=0)),
            "mcc": float(matthews_corrcoef(references, predictions)),
            "recall_per_label": {
                name: float(confusion[i, i] / examples_per_label[i]) if examples_per_label[i] else None
                for i, name in enumerate(label_names)
            },
            "confusion_matrix": confusion.tolist(),
        }
