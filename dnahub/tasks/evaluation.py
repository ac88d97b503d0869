"""Predictions and labels -> metrics, for the Trainer and for the report at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.metrics import (
    average_precision_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers import EvalPrediction

from dnahub.tasks.collators import IGNORED

METRIC_MODULE = Path(__file__).parent.parent / "metrics" / "classification"

# The metrics that are one number, by problem; the first chooses the best checkpoint. `loss` is the Trainer's.
METRICS: dict[str, tuple[str, ...]] = {
    "single_label_classification": ("accuracy", "macro_f1", "mcc", "auroc", "auprc", "loss"),
    "multi_label_classification": ("micro_f1", "macro_f1", "auroc", "auprc", "subset_accuracy", "loss"),
    "regression": ("spearman", "pearson", "r2", "rmse", "mae", "loss"),
    "token_classification": ("accuracy", "macro_f1", "mcc", "auroc", "auprc", "loss"),
    "masked_lm": ("loss", "masked_accuracy"),
}
LOWER_IS_BETTER = ("loss", "rmse", "mae")

# Outputs that differ by less over all rows do not depend on the input. The unit is the largest logit, or 1, and in a
# regression the labels' deviation. Measured with the tiny model: logits of random weights differ by 0.2; those of runs
# that collapsed at learning rates of 0.1 and 1 by 0 and, at logits of 31, by 8e-5.
SAME_OUTPUT = 1e-4


def greater_is_better(metric: str) -> bool:
    """What the Trainer guesses wrong for errors such as `rmse`; with `eval_` in front or without."""
    return metric.removeprefix("eval_") not in LOWER_IS_BETTER


def measure(problem: str, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """
    The metrics of a problem, except the loss.

    A metric that the labels leave undefined is `None`, and is left out of a mean over labels: the recall of a label
    that no row has, AUROC and AUPRC of one that no row or every row has, the F1 of a label that is neither present nor
    predicted, correlations and R² of an output whose labels are all equal. A model that predicts the same for every
    row has correlations and an MCC of 0. Outputs that are not finite have no AUROC, AUPRC, correlation or error:
    `None` as well.

    AUROC and AUPRC are one-versus-rest, by softmax probabilities where a row or token has one label and by logits
    where it may have several. AUPRC is the average precision as scikit-learn defines it, without interpolation; a
    random classifier reaches the label's frequency.

    Args:
        problem: One of `METRICS`.
        outputs: Logits (rows, labels), a label being predicted from a probability of 0.5 where a row may have several;
            numbers (rows,) or (rows, outputs); logits (rows, tokens, labels) for token classification; ids
            (rows, tokens), as `most_likely` gives them, for masked language modelling.
        labels: Ids (rows,); 0 or 1 (rows, labels); numbers, as the outputs; ids (rows, tokens), -100 where none.
        label_names: The labels in the order of their ids; empty for regression and masked language modelling.

    Returns:
        A dictionary that `json.dumps` takes: those of `METRICS`, means over labels or over the outputs of a
        regression; `constant`, see `is_constant`, except for masked language modelling; and for classes
        `recall_per_label`, `auroc_per_label`, `auprc_per_label` and `confusion_matrix` (rows are true labels), or,
        where a row may have several labels, `f1_per_label`.
    """
    if problem not in METRICS:
        raise ValueError(f"problem {problem!r}: it is one of {', '.join(METRICS)}.")
    constant = is_constant(problem, outputs, labels)
    if problem in ("token_classification", "masked_lm"):
        labelled = labels != IGNORED
        outputs, labels = outputs[labelled], labels[labelled]  # (labelled tokens, labels) or (masked tokens,)
    if problem == "masked_lm":
        return {"masked_accuracy": _share((outputs == labels).sum(), len(labels))}
    if problem == "single_label_classification":
        metric = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)  # from its path: nothing is fetched
        metrics = metric.compute(predictions=outputs.argmax(axis=-1), references=labels, label_names=label_names)
    elif problem == "token_classification":
        metrics = _measure_tokens(outputs.argmax(axis=-1), labels, label_names)
    elif problem == "multi_label_classification":
        metrics = _measure_label_sets(outputs, labels, label_names)
    else:
        metrics = _measure_numbers(outputs, labels)
    if problem != "regression":
        metrics |= _measure_rankings(*one_versus_rest(problem, outputs, labels), label_names)
    return metrics | {"constant": constant}


def compute_metrics(problem: str, label_names: list[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    What the Trainer calls after an evaluation: the metrics that are one number, each of which it logs, and
    `constant`, 1 where the outputs do not depend on the input.

    One that is undefined is NaN here, not missing: the Trainer ends with a KeyError where it lacks the metric that
    chooses the best checkpoint, and NaN is never chosen.
    """
    names = [name for name in METRICS[problem] if name != "loss"]

    def compute(evaluation: EvalPrediction) -> dict[str, float]:
        outputs, labels = evaluation.predictions, evaluation.label_ids
        metrics = measure(problem, outputs[0] if problem == "masked_lm" else outputs, labels, label_names)
        numbers = {name: float("nan") if metrics[name] is None else metrics[name] for name in names}
        constant = float(metrics.get("constant", False))
        # Over the Trainer's own loss.
        return {"loss": mean_loss(problem, outputs, labels), **numbers, "constant": constant}

    return compute


def most_likely(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The likeliest id of each token, and the loss of the true one: an evaluation of masked language modelling need not
    hold the logits of 4,107 tokens.

    Args:
        logits: (batch, tokens, vocabulary).
        labels: (batch, tokens), -100 where none, as at `<cls>`, padding and what was not masked.

    Returns:
        Ids, -100 where there is no label, and losses, both (batch, tokens).
    """
    losses = cross_entropy(logits.float().transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
    return logits.argmax(dim=-1).where(labels != IGNORED, IGNORED), losses


def mean_loss(problem: str, outputs: np.ndarray | tuple[np.ndarray, np.ndarray], labels: np.ndarray) -> float:
    """
    The loss over all rows, or over all labelled tokens, each weighing the same.

    The Trainer's own is a mean over batches, where the rows of a short last batch, and those that fill it up for
    several processes, weigh more.

    Args:
        problem: One of `METRICS`.
        outputs: As `measure` takes them; for masked language modelling both arrays of `most_likely`.
        labels: As `measure` takes them.
    """
    if problem == "masked_lm":
        return float(outputs[1][labels != IGNORED].mean(dtype=np.float64))
    if problem == "token_classification":
        outputs, labels = outputs[labels != IGNORED], labels[labels != IGNORED]
    outputs, labels = torch.tensor(outputs).double(), torch.tensor(labels)
    if problem in ("single_label_classification", "token_classification"):
        return cross_entropy(outputs, labels).item()
    if problem == "multi_label_classification":
        return binary_cross_entropy_with_logits(outputs, labels.double()).item()
    return mse_loss(outputs.reshape(labels.shape), labels.double()).item()


def is_constant(problem: str, outputs: np.ndarray, labels: np.ndarray) -> bool:
    """
    Whether the model has collapsed: its outputs do not depend on its input.

    Each output must differ by less than `SAME_OUTPUT` units over all rows, or over all labelled tokens. Predicting one
    class for all rows is not enough: on unbalanced data a good model does.

    Args:
        problem: One of `METRICS`.
        outputs: As `measure` takes them.
        labels: As `measure` takes them.

    Returns:
        False for fewer than two rows or tokens, outputs that are not finite, and masked language modelling.
    """
    if problem == "masked_lm":
        return False
    if problem == "token_classification":
        outputs = outputs[labels != IGNORED]
    outputs = columns(outputs)
    if len(outputs) < 2 or not np.isfinite(outputs).all():
        return False
    if problem == "regression":
        deviation = columns(labels).std(axis=0)
        unit = np.where(deviation > 0, deviation, 1)  # (outputs,)
    else:
        unit = max(1, np.abs(outputs).max())
    return bool((np.ptp(outputs, axis=0) < SAME_OUTPUT * unit).all())


def one_versus_rest(problem: str, outputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    What AUROC and AUPRC are computed from.

    Args:
        problem: One of classification.
        outputs: Logits (items, labels); items are rows, or labelled tokens.
        labels: Ids (items,), or 0 or 1 (items, labels).

    Returns:
        Which items have each label (bool), and how high they score (float64): both (items, labels).
    """
    scores = outputs.astype(np.float64)
    if problem == "multi_label_classification":
        return labels > 0.5, scores
    with np.errstate(invalid="ignore"):  # infinity minus infinity: NaN, which is undefined
        return labels[:, None] == np.arange(outputs.shape[1]), softmax(scores, axis=1)


def columns(numbers: np.ndarray) -> np.ndarray:
    """(rows,) or (rows, outputs) -> (rows, outputs), in float64."""
    numbers = np.asarray(numbers, dtype=np.float64)
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _measure_tokens(predicted: np.ndarray, true: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """What the metric module gives, which takes seconds for a million tokens."""
    num_labels = len(label_names)
    confusion = np.bincount(true * num_labels + predicted, minlength=num_labels**2).reshape(num_labels, num_labels)
    num_true, num_predicted = confusion.sum(axis=1).astype(float), confusion.sum(axis=0).astype(float)
    right, total = np.trace(confusion), len(true)
    recalls = list(map(_share, confusion.diagonal(), num_true))
    f1_scores = list(map(_share, 2 * confusion.diagonal(), num_true + num_predicted))
    # Gorodkin's R_K, https://doi.org/10.1016/j.compbiolchem.2004.09.006, and 0 where it is 0 / 0
    covariance = right * total - num_true @ num_predicted
    variances = (total**2 - num_true @ num_true) * (total**2 - num_predicted @ num_predicted)
    return {
        "accuracy": _share(right, total),
        "macro_f1": _mean([score for score in f1_scores if score is not None]),
        "mcc": (_share(covariance, variances**0.5) or 0.0) if total else None,
        "recall_per_label": dict(zip(label_names, recalls, strict=True)),
        "confusion_matrix": confusion.tolist(),
    }


def _measure_label_sets(logits: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    true, predicted = labels > 0.5, logits > 0  # (rows, labels)
    num_right, num_true, num_predicted = (true & predicted).sum(axis=0), true.sum(axis=0), predicted.sum(axis=0)
    recalls = list(map(_share, num_right, num_true))
    f1_scores = list(map(_share, 2 * num_right, num_true + num_predicted))
    return {
        "micro_f1": _share(2 * num_right.sum(), (num_true + num_predicted).sum()),
        "macro_f1": _mean([score for score in f1_scores if score is not None]),
        "subset_accuracy": float((true == predicted).all(axis=1).mean()),
        "recall_per_label": dict(zip(label_names, recalls, strict=True)),
        "f1_per_label": dict(zip(label_names, f1_scores, strict=True)),
    }


def _measure_rankings(true: np.ndarray, scores: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """Of each label that some items have and others do not; both arrays are (items, labels)."""
    found: dict[str, dict[str, float | None]] = {}
    defined = true.any(axis=0) & ~true.all(axis=0) & np.isfinite(scores).all()
    for metric, function in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
        found[metric] = {
            name: float(function(true[:, i], scores[:, i])) if defined[i] else None
            for i, name in enumerate(label_names)
        }
    means = {name: _mean([each for each in values.values() if each is not None]) for name, values in found.items()}
    return means | {f"{name}_per_label": values for name, values in found.items()}


def _measure_numbers(outputs: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    true, predicted = columns(labels), columns(outputs)
    if not np.isfinite(predicted).all():
        return {name: None for name in METRICS["regression"] if name != "loss"}
    varied = np.ptp(true, axis=0) > 0  # (outputs,)
    pairs = list(zip(true.T[varied], predicted.T[varied], strict=True))
    return {
        "spearman": _mean([_correlation(rankdata(y), rankdata(x)) for y, x in pairs]),
        "pearson": _mean([_correlation(y, x) for y, x in pairs]),
        "r2": _mean([r2_score(y, x) for y, x in pairs]),
        "rmse": float(root_mean_squared_error(true, predicted)),  # the mean over outputs, each in its own unit
        "mae": float(mean_absolute_error(true, predicted)),
    }


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _mean(scores: list[float]) -> float | None:
    return float(np.mean(scores)) if scores else None


def _correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    """Pearson's; 0 where all predictions are the same."""
    return float(np.corrcoef(true, predicted)[0, 1]) if np.ptp(predicted) > 0 else 0.0
