"""Outputs and labels of a batch -> its part of the loss of a step, however the step is divided."""

from dataclasses import dataclass

import torch

from dnahub.tasks.task import Task


@dataclass(frozen=True)
class StepLoss:
    """
    The training loss: a mean over all labels of a step, each of which counts the same.

    The losses that models compute are means over a batch. Summed over the batches of a step they grow with
    `gradient_accumulation_steps` and with the number of processes, which BERT and its kin do not divide out; and a
    token of a short sequence counts more than one of a long sequence.

    Args:
        task: Whose loss.
        class_weights: As `Task.class_weights` gives them; None: all weigh 1.
        label_smoothing: Fraction of the probability that is spread over all classes.
    """

    task: Task
    class_weights: torch.Tensor | None = None
    label_smoothing: float = 0.0

    def __call__(self, outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int) -> torch.Tensor:
        """
        Args:
            outputs: With `logits`.
            labels: As the task's collator makes them.
            num_items_in_batch: Labels of the whole step, of all its batches in all processes.
        """
        logits = outputs["logits"].float()
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return self.task.loss(logits, labels, weights, self.label_smoothing) / max(num_items_in_batch, 1)
