"""Outputs and labels of a batch -> its part of the loss of a step, however the step is divided."""

from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from dnahub.tasks.collators import IGNORED


@dataclass(frozen=True)
class StepLoss:
    """
    The training loss: a mean over all labels of a step, each of which counts the same.

    The losses that models compute are means over a batch. Summed over the batches of a step they grow with
    `gradient_accumulation_steps` and with the number of processes, which BERT and its kin do not divide out; and a
    token of a short sequence counts more than one of a long sequence.

    Args:
        problem: A key of `dnahub.tasks.evaluation.METRICS`.
        class_weights: Of each class, (labels,); where a row may have several labels, of having it not and of having
            it, (2, labels). None: all weigh 1.
        label_smoothing: Fraction of the probability that is spread over all classes (arXiv:1512.00567).
    """

    problem: str
    class_weights: torch.Tensor | None = None
    label_smoothing: float = 0.0

    def __call__(self, outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int) -> torch.Tensor:
        """
        Args:
            outputs: With `logits`: (batch, labels or outputs), of tokens (batch, tokens, labels).
            labels: Ids (batch,) or (batch, tokens), -100 where none; 0 or 1 (batch, labels); numbers (batch,) or
                (batch, outputs).
            num_items_in_batch: Labels of the whole step, of all its batches in all processes.
        """
        logits = outputs["logits"].float()
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        if self.problem == "regression":
            losses = mse_loss(logits.reshape(labels.shape), labels, reduction="sum")
        elif self.problem == "multi_label_classification":
            of_each = None if weights is None else torch.where(labels > 0.5, weights[1], weights[0])
            losses = binary_cross_entropy_with_logits(logits, labels, of_each, reduction="sum")
        else:
            losses = cross_entropy(
                *(logits.flatten(0, -2), labels.flatten(), weights),
                reduction="sum",
                ignore_index=IGNORED,
                label_smoothing=self.label_smoothing,
            )
        return losses / max(num_items_in_batch, 1)


def balanced_weights(problem: str, rows: Dataset, num_labels: int) -> torch.Tensor:
    """
    Weights of the classes by which each class of train counts the same in the loss, and all rows together as before.

    As scikit-learn's `class_weight="balanced"`: rows / (classes x rows of the class); where a row may have several
    labels, each label is a problem of two classes of its own. A class that no row has weighs 1.

    Args:
        problem: Of classes: single_label_classification, multi_label_classification or token_classification.
        rows: Train, with `label` as `dnahub.tasks.targets.encode` makes it.
        num_labels: How many labels there are.

    Returns:
        As `StepLoss` takes them, float32.
    """
    labels = rows.with_format("arrow")[:]["label"].combine_chunks()
    if problem == "multi_label_classification":
        having = labels.flatten().to_numpy().reshape(len(rows), num_labels).sum(axis=0)
        counts = np.stack([len(rows) - having, having])  # (2, labels)
        weights = len(rows) / (2 * np.maximum(counts, 1))
    else:
        ids = (labels.flatten() if problem == "token_classification" else labels).to_numpy()
        counts = np.bincount(ids[ids != IGNORED], minlength=num_labels)  # (labels,)
        weights = counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1))
    return torch.tensor(np.where(counts > 0, weights, 1.0), dtype=torch.float32)
