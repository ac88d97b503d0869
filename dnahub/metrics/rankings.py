"""Scores of items, some of which have a label -> AUROC and average precision."""

from typing import Any

import numpy as np


def rank(has_label: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """
    AUROC, ties counting half, and AUPRC as scikit-learn's average precision, without interpolation, in one sort: the
    bootstrap asks thousands of times. NaN where all items have the label, or none, or a score is not finite.

    Args:
        has_label: (items,), bool.
        scores: How high each item scores, (items,).
    """
    positives = np.count_nonzero(has_label)
    negatives = len(has_label) - positives
    if not positives or not negatives or not np.isfinite(scores).all():
        return np.nan, np.nan
    order = np.argsort(-scores)
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of those that score the same
    found = np.cumsum(has_label[order])[last]  # positives that score as high, at each threshold
    new = np.diff(found, prepend=0)
    false = np.diff(last + 1 - found, prepend=0)
    auroc = (false * (found - new / 2)).sum() / (positives * negatives)
    return float(auroc), float((new * found / (last + 1)).sum() / positives)


def rank_labels(has_label: np.ndarray, scores: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """
    Each label against the rest.

    Args:
        has_label: (items, labels), bool.
        scores: (items, labels).
        label_names: (labels,).

    Returns:
        `auroc` and `auprc`, means over labels, `auroc_per_label` and `auprc_per_label`; None where undefined.
    """
    found: dict[str, Any] = {}
    pairs = [rank(*label) for label in zip(has_label.T, scores.T, strict=True)]
    for metric, values in zip(("auroc", "auprc"), np.array(pairs).T, strict=True):
        per_label = {name: defined(value) for name, value in zip(label_names, values, strict=True)}
        found |= {metric: mean_defined(per_label.values()), f"{metric}_per_label": per_label}
    return found


def defined(value: float) -> float | None:
    """None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)


def mean_defined(values) -> float | None:
    """The mean of those that are not None; None if all are."""
    kept = [value for value in values if value is not None]
    return float(np.mean(kept)) if kept else None
