"""Scores of items, some of which have a label -> AUROC and average precision."""

from typing import Any

import numpy as np


def rank(has_label: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    AUROC, ties counting half, and AUPRC as scikit-learn's average precision, of all resamples in one sort.

    Args:
        has_label: (items,)
        scores: (items,)
        counts: How often each item is in each resample, (resamples, items).

    Returns:
        Both (resamples,); NaN where all items have the label, or none, or a score is not finite.
    """
    undefined = np.full(len(counts), np.nan)
    if not len(scores) or not np.isfinite(scores).all():
        return undefined, undefined
    order = np.argsort(-scores)
    ranked, places = scores[order], np.flatnonzero(has_label[order])
    new = np.append(True, ranked[1:] != ranked[:-1])  # whether a threshold begins
    begins = np.append(np.flatnonzero(new), len(ranked))
    threshold = np.cumsum(new)[places]  # of each positive, from 1
    of_positives = counts[:, order[places]]  # (resamples, positives)
    # How many items, and how many positives, score higher than each positive, and at least as high.
    sums, found = (np.pad(np.cumsum(each, axis=1), ((0, 0), (1, 0))) for each in (counts[:, order], of_positives))
    (higher, found_higher), (at_least, found_at_least) = (
        (sums[:, ends], found[:, np.searchsorted(places, ends)]) for ends in (begins[threshold - 1], begins[threshold])
    )
    positives, all_items = found[:, -1], sums[:, -1]
    negatives_before = (higher - found_higher + at_least - found_at_least) / 2
    with np.errstate(invalid="ignore"):  # 0 / 0
        auroc = 1 - (of_positives * negatives_before).sum(axis=1) / (positives * (all_items - positives))
        auprc = (of_positives * found_at_least / np.maximum(at_least, 1)).sum(axis=1) / positives
    return auroc, np.where(all_items > positives, auprc, np.nan)


def rank_labels(has_label: np.ndarray, scores: np.ndarray, label_names: list[str]) -> dict[str, Any]:
    """
    Each label against the rest, of (items, labels): `auroc` and `auprc`, means over labels, `auroc_per_label` and
    `auprc_per_label`; None where undefined.
    """
    found: dict[str, Any] = {}
    once = np.ones((1, len(scores)), dtype=np.int64)
    pairs = [rank(*label, once) for label in zip(has_label.T, scores.T, strict=True)]
    for metric, values in zip(("auroc", "auprc"), np.array(pairs)[..., 0].T, strict=True):
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
