"""Predictions and labels -> metrics, for the Trainer and for the report at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score, root_mean_squared_error
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers import EvalPrediction

from training.collators import IGNORED

METRIC_MODULE = Path(__file__).parent.parent / "metrics" / "species_classification"

# The metrics that are one number, by problem; the first chooses the best checkpoint. `loss` is the Trainer's.
METRICS: dict[str, tuple[str, ...]] = {
    "single_label_classification": ("accuracy", "macro_f1", "mcc", "loss"),
    "multi_label_classification": ("micro_f1", "macro_f1", "average_precision", "subset_accuracy", "loss"),
    "regression": ("spearman", "pearson", "r2", "rmse", "mae", "loss"),
    "token_classification": ("accuracy", "macro_f1", "mcc", "loss"),
    "masked_lm": ("loss", "masked_accuracy"),
}
LOWER_IS_BETTER = ("loss", "rmse", "mae")

SAME_OUTPUT = 1e-4  # outputs that differ by less over all rows are one answer
OUTPUTS_SHOWN = 5


def greater_is_better(metric: str) -> bool:
    """What the Trainer guesses wrong for errors such as `rmse`; with `eval_` in front or without."""
    return metric.removeprefix("eval_") not in LOWER_IS_BETTER


def measure(problem: str, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """
    The metrics of a problem, except the loss.

    What the labels leave undefined is `None`, or left out of a mean: the recall of a label that no row has, the
    average precision likewise, the F1 of a label that is neither there nor predicted, correlations and R² of an output
    whose labels are all the same. A model that predicts the same for every row has correlations of 0, as MCC has.
    Outputs that are no finite numbers have no correlation, no error and no average precision: `None`, too.

    Args:
        problem: One of `METRICS`.
        outputs: Logits (rows, labels), a label being predicted from a probability of 0.5 where a row may have several;
            numbers (rows,) or (rows, outputs); for tokens, logits (rows, tokens, labels) or what `most_likely`
            made of them, (rows, tokens).
        labels: Ids (rows,); 0 or 1 (rows, labels); numbers, as the outputs; ids (rows, tokens), -100 where none.
        label_names: The labels in the order of their ids; empty for regression and masked language modelling.

    Returns:
        A dictionary that `json.dumps` takes: those of `METRICS`, by themselves or as means over the labels that occur,
        over the outputs of a regression; and for classes `recall_per_label` with `confusion_matrix` (rows are true
        labels), or, where a row may have several labels, with `f1_per_label`.
    """
    if problem == "single_label_classification":
        metric = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)  # from its path: nothing is fetched
        return metric.compute(predictions=outputs.argmax(axis=-1), references=labels, label_names=label_names)
    if problem == "token_classification":
        counts = labels != IGNORED
        return _measure_tokens(token_ids(outputs)[counts], labels[counts], label_names)
    if problem == "multi_label_classification":
        return _measure_label_sets(outputs, labels, label_names)
    if problem == "regression":
        return _measure_numbers(outputs, labels)
    if problem == "masked_lm":
        counts = labels != IGNORED
        return {"masked_accuracy": _share((token_ids(outputs) == labels)[counts].sum(), counts.sum())}
    raise ValueError(f"problem {problem!r}: it is one of {', '.join(METRICS)}.")


def compute_metrics(problem: str, label_names: list[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    What the Trainer calls after an evaluation: the metrics that are one number, of which it logs each, and
    `constant`, 1 where all rows get the same answer.

    One that is undefined is NaN here, not missing: the Trainer ends with a KeyError where it lacks the metric that
    chooses the best checkpoint, and NaN is never chosen.
    """
    names = [name for name in METRICS[problem] if name != "loss"]

    def compute(evaluation: EvalPrediction) -> dict[str, float]:
        outputs, labels = answers(evaluation.predictions), evaluation.label_ids
        metrics = measure(problem, outputs, labels, label_names)
        numbers = {name: float("nan") if metrics[name] is None else metrics[name] for name in names}
        if problem == "regression":  # labels in small units are no constants
            outputs = outputs / (float(np.std(labels)) or 1.0)
        constant = constant_predictions(problem, outputs, label_names) is not None
        # Over the Trainer's own loss.
        return {"loss": mean_loss(problem, evaluation.predictions, labels), **numbers, "constant": float(constant)}

    return compute


def most_likely(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Of each token, what is likeliest and the loss of what is true, so that an evaluation need not hold all logits.

    Args:
        logits: (batch, tokens, labels or vocabulary).
        labels: (batch, tokens), -100 where none, as at `<cls>`, padding and what was not masked.

    Returns:
        Ids, -100 where there is no label, and losses, both (batch, tokens).
    """
    losses = cross_entropy(logits.float().transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
    return logits.argmax(dim=-1).where(labels != IGNORED, IGNORED), losses


def mean_over_tokens(outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int) -> torch.Tensor:
    """The loss of training: every labelled token of a step weighs the same, whichever process and batch it is in."""
    losses = cross_entropy(
        outputs["logits"].flatten(0, 1).float(), labels.flatten(), reduction="sum", ignore_index=IGNORED
    )
    return losses / max(num_items_in_batch, 1)


def mean_loss(problem: str, outputs: np.ndarray | tuple[np.ndarray, np.ndarray], labels: np.ndarray) -> float:
    """
    The loss over all rows, or over all labelled tokens, each weighing the same.

    The Trainer's own is a mean over batches, where the rows of a short last batch, and those that fill it up for
    several processes, weigh more.
    """
    if problem in ("token_classification", "masked_lm"):
        return float(outputs[1][labels != IGNORED].mean(dtype=np.float64))
    outputs, labels = torch.tensor(outputs).double(), torch.tensor(labels)
    if problem == "single_label_classification":
        return cross_entropy(outputs, labels).item()
    if problem == "multi_label_classification":
        return binary_cross_entropy_with_logits(outputs, labels.double()).item()
    return mse_loss(outputs.reshape(labels.shape), labels.double()).item()


def answers(outputs: np.ndarray | tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """What `measure` takes of the Trainer's predictions: without the losses that `most_likely` puts beside them."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def constant_predictions(problem: str, outputs: np.ndarray, label_names: list[str]) -> str | None:
    """
    What every row is predicted as, if the model gives the same answer for all.

    Args:
        problem: One of `METRICS`.
        outputs: As `measure` takes them; of tokens, what `most_likely` made of them.
        label_names: As `measure` takes them.

    Returns:
        What "every row is predicted as" can be followed by: the label, the numbers, or a probability for each label.
        `None` if answers differ, there are not two of them, some are not finite, or for masked language modelling.
    """
    if problem == "masked_lm" or not np.isfinite(outputs).all():
        return None
    if problem in ("single_label_classification", "token_classification"):
        if problem == "token_classification":
            predicted = token_ids(outputs)
            predicted = predicted[predicted != IGNORED]
        else:
            predicted = outputs.argmax(axis=-1)
        same = len(predicted) > 1 and (predicted == predicted[0]).all()
        return label_names[predicted[0]] if same else None
    outputs = columns(outputs)
    if len(outputs) < 2 or (np.ptp(outputs, axis=0) >= SAME_OUTPUT).any():
        return None
    means = outputs.mean(axis=0)
    if problem == "regression":
        shown = [f"{mean:.4g}" for mean in means]
    else:
        shown = [f"{name} ({expit(mean):.2f})" for name, mean in zip(label_names, means, strict=True)]
    return ", ".join(shown[:OUTPUTS_SHOWN]) + (", …" if len(shown) > OUTPUTS_SHOWN else "")


def token_ids(outputs: np.ndarray) -> np.ndarray:
    """Logits (rows, tokens, labels), or ids already (rows, tokens) -> ids (rows, tokens)."""
    return outputs.argmax(axis=-1) if outputs.ndim == 3 else outputs


def columns(numbers: np.ndarray) -> np.ndarray:
    """(rows,) or (rows, outputs) -> (rows, outputs), in float64."""
    return np.asarray(numbers, dtype=np.float64).reshape(len(numbers), -1)


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
    ranked = np.flatnonzero(num_true) if np.isfinite(logits).all() else []
    return {
        "micro_f1": _share(2 * num_right.sum(), (num_true + num_predicted).sum()),
        "macro_f1": _mean([score for score in f1_scores if score is not None]),
        "average_precision": _mean([average_precision_score(true[:, i], logits[:, i]) for i in ranked]),
        "subset_accuracy": float((true == predicted).all(axis=1).mean()),
        "recall_per_label": dict(zip(label_names, recalls, strict=True)),
        "f1_per_label": dict(zip(label_names, f1_scores, strict=True)),
    }


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
