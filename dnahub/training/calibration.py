"""Trained model + validation rows -> the same model with calibrated probabilities, and a decision threshold."""

import sys
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from transformers import Trainer

from dnahub.machine.processes import from_first
from dnahub.metrics.thresholds import SCORES
from dnahub.tasks.labels import IGNORED
from dnahub.tasks.task import Labels, Task
from dnahub.training.trainer import is_sharded

BOUNDS = (0.05, 20.0)  # of the temperature


def calibrate(trainer: Trainer, task: Task, labels: Labels) -> dict[str, Any]:
    """
    Divide the last layer of the head by the temperature that fits validation best; to be called by all processes.

    After that, find the best thresholds of two classes on validation.

    Temperature scaling: Guo et al. 2017, https://arxiv.org/abs/1706.04599. No prediction changes, and whatever takes
    the model's logits gets calibrated probabilities. The Trainer's own checkpoints keep the layer as it was trained.

    Returns:
        `temperature`, 1 where validation does not determine it, None where nothing is divided: outputs are not logits
        of labels, the head ends in no linear layer, or processes share the weights. `thresholds`, as of
        `Task.thresholds`, and `decision_threshold`, the one that is used.
    """
    if not task.outputs_are_logits:
        return {"temperature": None, "thresholds": None, "decision_threshold": None}
    output = trainer.predict(trainer.eval_dataset, metric_key_prefix="validation")
    outputs, temperature = output.predictions, None
    layer = last_layer(trainer.model, labels.num_outputs)
    if layer is not None and not is_sharded(trainer):
        temperature, fault = from_first(lambda: fit_temperature(task, outputs, output.label_ids))
        if fault and trainer.is_world_process_zero():
            print(f"note: probabilities are not calibrated, for {fault}", file=sys.stderr)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter /= temperature
        outputs = outputs / temperature
    thresholds = from_first(lambda: task.thresholds(outputs, output.label_ids))
    threshold = thresholds and thresholds[SCORES[0]]["threshold"]
    return {"temperature": temperature, "thresholds": thresholds, "decision_threshold": threshold}


def last_layer(model: nn.Module, num_outputs: int) -> nn.Linear | None:
    """The linear layer that gives the logits: of an adapter the trained copy, which comes after the original."""
    layers = [each for each in model.modules() if isinstance(each, nn.Linear) and each.out_features == num_outputs]
    return layers[-1] if layers else None


def fit_temperature(task: Task, outputs: np.ndarray, labels: np.ndarray) -> tuple[float, str | None]:
    """The temperature with the lowest loss, or 1 and why validation does not determine it."""
    if not np.isfinite(outputs).all():
        return 1.0, "outputs on validation are not finite"
    if len(np.unique(labels[labels != IGNORED])) < 2:
        return 1.0, "all labels of validation are the same, or there are none"

    def loss(log_temperature: float) -> float:
        return task.mean_loss(outputs / np.exp(log_temperature), labels)

    found = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded")
    if loss(np.log(BOUNDS[0])) <= found.fun:  # all probabilities would become 0 or 1
        return 1.0, "validation has no errors to tell how sure the model may be, or its outputs are all but equal"
    return float(np.exp(found.x)), None
