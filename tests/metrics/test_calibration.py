"""Expected calibration error, against a few lines over the bins."""

import numpy as np
import pytest

from dnahub.metrics.calibration import NUM_BINS, calibration


def test_it_is_the_mean_gap_between_confidence_and_accuracy_over_fifteen_bins():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.4, 0.4, 0.4], 500)
    labels = rng.integers(3, size=500)
    found = calibration(probabilities, np.eye(3, dtype=bool)[labels])

    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gaps = 0.0
    for i in range(NUM_BINS):
        of_bin = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        assert found["bins"][i]["rows"] == of_bin.sum()
        if of_bin.any():
            gaps += of_bin.mean() * abs(right[of_bin].mean() - confidence[of_bin].mean())
            assert found["bins"][i]["accuracy"] == pytest.approx(right[of_bin].mean())
    assert found["expected_calibration_error"] == pytest.approx(gaps)


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not():
    has_label = np.eye(2, dtype=bool)[[0, 1, 1]]
    assert calibration(has_label.astype(float), has_label)["expected_calibration_error"] == 0
    assert calibration(1.0 - has_label, has_label)["expected_calibration_error"] == 1
