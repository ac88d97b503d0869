"""Scores of items, some of which have a label -> AUROC and average precision."""

from typing import Any

import numpy as np


def rank(has_label: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """
    AUROC, ties counting half, and AUPRC as scikit-learn's average precision, in one sort: the bootstrap asks thousands
    of times. Of (items,); NaN where all items have the label, or none, or a score is not finite.
    """
    positives = np.count_nonzero(has_label)
    negatives = len(has_label) - positives
    if not positives or not negatives or not np.isfinite(scores).all():
        return np.nan, np.nan
    order = np.argsort(-scores)
    ranked = scores[order]
    # How many items, and how many positives, score at least as high as each threshold, from none to all.
    at_least = np.concatenate([[0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, [len(ranked)]])
    found = np.concatenate([[0], np.cumsum(has_label[order])])[at_least]
    new = found[1:] - found[:-1]
    false = at_least[1:] - at_least[:-1] - new
    auroc = (false * (found[1:] + found[:-1])).sum() / (2 * positives * negatives)
    return float(auroc), float((new * found[1:] / at_least[1:]).sum() / positives)


def rank_labels(has_label: np.ndarray, scores: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """
    Each label against the rest, of (items, labels): `auroc` and `auprc`, means over labels, `auroc_per_label` and
    `auprc_per_label`; None where undefined.
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
