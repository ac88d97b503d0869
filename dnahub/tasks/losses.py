"""Outputs and labels of a batch -> its part of the loss of a step, however the step is divided."""

import torch

from dnahub.tasks.task import Task


def step_loss(
    task: Task,
    outputs,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int,
    class_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """
    The training loss: a mean over all labels of a step, each of which counts the same.

    The losses that models compute are means over a batch. Summed over the batches of a step they grow with
    `gradient_accumulation_steps` and with the number of processes, which BERT and its kin do not divide out; and a
    token of a short sequence counts more than one of a long sequence. `num_items_in_batch` are the labels of the whole
    step, of all its batches in all processes.
    """
    logits = outputs["logits"].float()
    weights = None if class_weights is None else class_weights.to(logits.device)
    return task.loss(logits, labels, weights, label_smoothing) / max(num_items_in_batch, 1)
