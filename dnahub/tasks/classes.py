"""One class of each sequence or token -> what both tasks share: loss, weights and scores of classes."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from dnahub.metrics.classification.classification import score_classes
from dnahub.metrics.rankings import rank_labels
from dnahub.tasks.labels import IGNORED
from dnahub.tasks.task import Task


class ClassTask(Task):
    """Labels are ids, -100 where there is none."""

    metrics = ("accuracy", "macro_f1", "mcc", "auroc", "auprc", "loss")
    misses_rare = ("accuracy",)
    stratified = True
    smooths_labels = True

    def loss(self, logits, labels, class_weights=None, label_smoothing=0.0):
        return cross_entropy(
            *(logits.flatten(0, -2), labels.flatten(), class_weights),
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
        )

    def count_labels(self, labels: np.ndarray) -> int:
        return int((labels != IGNORED).sum())

    def measure(self, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
        """Scores of `score_classes`, AUROC and AUPRC of each class against the rest, and `constant`."""
        labelled = labels != IGNORED
        outputs, labels = outputs[labelled], labels[labelled]  # (items, labels) and (items,)
        probabilities = softmax_of(outputs)
        has_label = labels[:, None] == np.arange(outputs.shape[1])
        return {
            **score_classes(outputs.argmax(axis=1), labels, label_names),
            **rank_labels(has_label, probabilities, label_names),
            "constant": self.is_constant(outputs, labels),
        }


def softmax_of(outputs: np.ndarray) -> np.ndarray:
    """Probabilities of logits (items, classes), in float64; NaN where one is infinite."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        powers = np.exp(outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def balanced_weights(ids: np.ndarray, num_labels: int) -> torch.Tensor:
    """As scikit-learn's `class_weight="balanced"`, of ids (items,); 1 for a class without items."""
    counts = np.bincount(ids[ids != IGNORED], minlength=num_labels)  # (labels,)
    weights = counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1))
    return torch.tensor(np.where(counts > 0, weights, 1.0), dtype=torch.float32)
