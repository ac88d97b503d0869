"""Probabilities and what was true -> reliability curve and expected calibration error."""

from typing import Any

import numpy as np

NUM_BINS = 15  # of equal width, as Guo et al. 2017, https://arxiv.org/abs/1706.04599


def calibration(probabilities: np.ndarray, has_label: np.ndarray) -> dict[str, Any]:
    """
    Of the top probability of each row, or, where rows have any number of labels, of the probability of each label.

    Args:
        probabilities: (rows, labels).
        has_label: bool, (rows, labels).
    """
    if (has_label.sum(axis=1) == 1).all():
        top = probabilities.argmax(axis=1)[:, None]
        of, probabilities, has_label = (
            "the top probability",
            *(np.take_along_axis(each, top, axis=1) for each in (probabilities, has_label)),
        )
    else:
        of = "the probability of each label"
    confidence, right = probabilities.ravel(), has_label.ravel()
    bin_of = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)  # (low, high]
    rows, confidences, rights = (
        np.bincount(bin_of, each, NUM_BINS) for each in (np.ones_like(confidence), confidence, right)
    )
    return {
        "of": of,
        "expected_calibration_error": float(np.abs(confidences - rights).sum() / len(confidence)),
        "bins": [
            {
                "low": i / NUM_BINS,
                "high": (i + 1) / NUM_BINS,
                "rows": int(rows[i]),
                "confidence": float(confidences[i] / rows[i]) if rows[i] else None,
                "accuracy": float(rights[i] / rows[i]) if rows[i] else None,
            }
            for i in range(NUM_BINS)
        ],
    }
