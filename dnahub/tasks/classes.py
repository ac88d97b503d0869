"""One class of each sequence or token -> what both tasks share: loss, weights and scores of classes."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.special import log_softmax
from torch.nn.functional import cross_entropy

from dnahub.metrics.classification.classification import score_classes, score_counts
from dnahub.metrics.rankings import rank, rank_labels
from dnahub.tasks.labels import IGNORED
from dnahub.tasks.task import Task


class ClassTask(Task):
    """Labels are ids, -100 where there is none."""

    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "auprc", "loss")
    beside = {"accuracy": "balanced_accuracy"}
    stratified = outputs_are_logits = True
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
        return {
            **score_classes(outputs.argmax(axis=1), labels, label_names),
            **rank_labels(labels[:, None] == np.arange(len(label_names)), softmax_of(outputs), label_names),
            "constant": self.is_constant(outputs, labels),
        }

    def measure_resamples(self, outputs, labels, label_names, counts):
        """All resamples at once, by counts of each label and one ranking: the loop takes ten times as long."""
        labelled = labels != IGNORED
        counts = counts[:, np.nonzero(labelled)[0]]  # (resamples, items)
        outputs, labels, num_labels = outputs[labelled], labels[labelled], len(label_names)
        probabilities = softmax_of(outputs)
        predicted, items = outputs.argmax(axis=1), np.arange(len(labels))
        right, num_true, num_predicted = (
            counts @ csr_array((of_item, (items, column)), (len(items), num_labels))  # (resamples, labels)
            for of_item, column in ((labels == predicted, labels), (items >= 0, labels), (items >= 0, predicted))
        )
        scores = score_counts(right, num_true, num_predicted)
        ranks = np.array([rank(labels == i, probabilities[:, i], counts) for i in range(num_labels)])
        defined = ~np.isnan(ranks)  # (labels, 2, resamples)
        with np.errstate(invalid="ignore"):  # 0 / 0
            scores["auroc"], scores["auprc"] = np.where(defined, ranks, 0).sum(axis=0) / defined.sum(axis=0)
            losses = -log_softmax(outputs.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
            scores["loss"] = counts @ losses / counts.sum(axis=1)
            recalls = right / num_true
        # Without one of the classes, they would be means over other classes, and mostly too high.
        lacks_class = np.isnan(recalls[:, np.unique(labels)]).any(axis=1)
        for name in ("balanced_accuracy", "macro_f1", "mcc", "auroc", "auprc"):
            scores[name] = np.where(lacks_class, np.nan, scores[name])
        return scores | {f"recall of {name}": recalls[:, i] for i, name in enumerate(label_names)}


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
