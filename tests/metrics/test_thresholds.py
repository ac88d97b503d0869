"""Thresholds against scikit-learn, one threshold after another."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from dnahub.metrics.thresholds import best_thresholds


@pytest.mark.parametrize(("decimals", "frequency"), [(9, 0.5), (9, 0.05), (1, 0.2)])  # 1: many are equal
def test_no_other_threshold_is_better(decimals, frequency):
    rng = np.random.default_rng(0)
    is_second = rng.random(300) < frequency
    probabilities = (rng.random(300) * 0.7 + 0.2 * is_second).round(decimals)

    found = best_thresholds(probabilities, is_second)

    values = np.unique(probabilities)
    for name, score in {"mcc": matthews_corrcoef, "f1": f1_score}.items():
        scores = {
            threshold: score(is_second, probabilities >= threshold)
            for threshold in [*(values[1:] + values[:-1]) / 2, 0.5]
        }
        assert found[name]["score"] == pytest.approx(max(scores.values()))
        assert found[name]["at_half"] == pytest.approx(scores[0.5])
        assert scores[found[name]["threshold"]] == pytest.approx(found[name]["score"])


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_taken():
    perfect = best_thresholds(np.array([0.1, 0.2, 0.9]), np.array([False, False, True]))
    low = best_thresholds(np.array([0.01, 0.1, 0.1, 0.2]), np.array([False, False, True, True]))

    assert perfect["mcc"] == perfect["f1"] == {"threshold": 0.5, "score": 1.0, "at_half": 1.0}
    assert low["f1"]["threshold"] == pytest.approx(0.055) and low["f1"]["score"] == pytest.approx(0.8)


def test_of_one_class_or_infinite_probabilities_there_is_none():
    assert best_thresholds(np.array([0.1, 0.2]), np.array([True, True])) is None
    assert best_thresholds(np.array([0.1, 0.2]), np.array([False, False])) is None
    assert best_thresholds(np.array([0.1, np.nan]), np.array([False, True])) is None
