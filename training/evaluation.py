"""Predictions -> metrics, for the Trainer and for the report at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from transformers import EvalPrediction

METRIC_MODULE = Path(__file__).parent.parent / "metrics" / "species_classification"


def classification_metrics(logits: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """
    Accuracy, macro F1, MCC, recall of each label and confusion matrix.

    Args:
        logits: (sequences, labels).
        labels: (sequences,).
        label_names: The classes in the order of their ids.
    """
    metric = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)  # from its path: nothing is fetched
    return metric.compute(predictions=logits.argmax(axis=-1), references=labels, label_names=label_names)


def compute_classification(label_names: list[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    """What the Trainer calls after an evaluation: the metrics that are one number, of which it logs each."""

    def compute(evaluation: EvalPrediction) -> dict[str, float]:
        metrics = classification_metrics(evaluation.predictions, evaluation.label_ids, label_names)
        return {name: value for name, value in metrics.items() if isinstance(value, float)}

    return compute


def most_likely_token(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(batch, tokens, vocabulary) -> (batch, tokens), so that an evaluation need not hold all logits."""
    return logits.argmax(dim=-1)


def compute_masked_lm(evaluation: EvalPrediction) -> dict[str, float]:
    """The share of masked tokens that were predicted right, from `most_likely_token`."""
    drawn = evaluation.label_ids != -100
    return {"masked_accuracy": float((evaluation.predictions == evaluation.label_ids)[drawn].mean())}
