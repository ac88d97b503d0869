"""Probabilities of the second of two classes, and true classes -> the thresholds with the best MCC and F1."""

import numpy as np

from dnahub.metrics.classification.classification import score_counts

HALF = 0.5
CLOSE = 1e-6
SCORES = ("mcc", "f1")  # the first is the one that decides


def best_thresholds(probabilities: np.ndarray, is_second: np.ndarray) -> dict[str, dict[str, float]] | None:
    """
    By each of `SCORES` the best threshold, from which on the second class is predicted.

    All thresholds are compared that lie in the middle between two probabilities, and 0.5; of equally good ones, the
    nearest to 0.5 is taken. F1 is that of the second class.

    Args:
        probabilities: Of the second class, (items,).
        is_second: Whether an item is of this class, bool, (items,).

    Returns:
        Score -> `threshold`, `score` and, for comparison, the score `at_half`. None if there is only one class, or a
        probability is not finite.
    """
    if not np.isfinite(probabilities).all() or is_second.all() or not is_second.any():
        return None
    order = np.argsort(-probabilities)
    values, right = probabilities[order], np.cumsum(is_second[order])
    # The last items that are predicted to be of the second class; in float32, closer ones may be equal.
    ends = np.flatnonzero(values[:-1] - values[1:] > CLOSE)
    candidates = np.append((values[ends] + values[ends + 1]) / 2, HALF)
    num_predicted = np.append(ends + 1, (probabilities >= HALF).sum())  # (candidates,)
    num_right = np.concatenate(([0], right))[num_predicted]
    num_items, num_true = len(is_second), right[-1]
    of_classes = (
        np.stack([num_items - num_true - num_predicted + num_right, num_right], axis=-1),
        np.broadcast_to([num_items - num_true, num_true], (len(candidates), 2)),
        np.stack([num_items - num_predicted, num_predicted], axis=-1),
    )
    scores = {"mcc": score_counts(*of_classes)["mcc"], "f1": 2 * num_right / (num_true + num_predicted)}
    found = {}
    for name in SCORES:
        best = np.flatnonzero(scores[name] == scores[name].max())
        chosen = best[np.abs(candidates[best] - HALF).argmin()]
        of_score = {"threshold": candidates[chosen], "score": scores[name][chosen], "at_half": scores[name][-1]}
        found[name] = {key: float(value) for key, value in of_score.items()}
    return found
