"""Bootstrap intervals: against scipy's bootstrap, a binomial by hand, and for tokens resamples of whole sequences."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from dnahub.reports import intervals
from dnahub.reports.intervals import bootstrap_intervals, num_resamples
from dnahub.tasks import TASKS
from dnahub.tasks.labels import IGNORED
from tests.tasks.test_measure import LABELLED, NAMES, draw


@pytest.mark.parametrize("task", TASKS)
def test_intervals_are_those_of_scipy_and_hold_the_metric(monkeypatch, task):
    outputs, labels = draw(task, num_rows=60)
    names = NAMES if task != "regression" else []
    monkeypatch.setattr(intervals, "MOST_RESAMPLES", 1000)
    found = bootstrap_intervals(TASKS[task], outputs, labels, names)

    measured = TASKS[task].measure(outputs, labels, names)
    assert set(found) == set(TASKS[task].metrics) - {"loss"}
    first = next(iter(found))
    expected = bootstrap(
        (np.arange(60),),
        lambda rows: TASKS[task].measure(outputs[rows], labels[rows], names)[first],
        **{"n_resamples": 1000, "vectorized": False, "method": "percentile", "rng": 1},
    ).confidence_interval
    width = expected.high - expected.low
    assert found[first] == pytest.approx(tuple(expected), abs=0.2 * width)
    for name, (low, high) in found.items():
        assert low <= measured[name] <= high, name


@pytest.mark.parametrize("share", [0.2, 0.56, 0.9])
def test_the_interval_of_an_accuracy_is_that_of_a_binomial(monkeypatch, share):
    monkeypatch.setattr(intervals, "MOST_RESAMPLES", 2000)
    right = np.arange(200) < share * 200
    found = bootstrap_intervals(
        TASKS["classification"], np.eye(2)[right.astype(int)], np.ones(200, dtype=int), NAMES[:2]
    )
    assert found["accuracy"] == pytest.approx(binom.ppf([0.025, 0.975], 200, share) / 200, abs=0.011)


def test_of_tokens_whole_sequences_are_resampled():
    """All tokens of a sequence are right, or all are wrong: intervals are those of sequences, not of tokens."""
    right = np.arange(20) < 10
    labels = np.ones((20, 500), dtype=int)
    labels[:, 0] = IGNORED
    logits = np.eye(2)[np.repeat(right[:, None], 500, axis=1).astype(int)]
    low, high = bootstrap_intervals(TASKS["token_classification"], logits, labels, NAMES[:2])["accuracy"]
    assert 0.2 < low < 0.35 and 0.65 < high < 0.8


def test_what_is_undefined_has_no_interval_and_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_intervals(TASKS["regression"], np.arange(5.0), np.ones(5), [])
        assert set(found) == {"rmse", "mae"}
        outputs = np.arange(15.0).reshape(5, 3) - 20
        assert set(bootstrap_intervals(TASKS["multi_label"], outputs, np.zeros((5, 3)), NAMES)) == {"subset_accuracy"}
        none = np.full((5, 4), IGNORED)
        assert bootstrap_intervals(TASKS["token_classification"], np.zeros((5, 4, 3)), none, NAMES) == {}
        for task in LABELLED:  # with seven rows, classes are missing from resamples
            assert bootstrap_intervals(TASKS[task], *draw(task, num_rows=7), NAMES)
        outputs, labels = draw("regression")
        outputs[3] = np.inf
        assert bootstrap_intervals(TASKS["regression"], outputs, labels, []) == {}


def test_the_seed_decides():
    data = draw("classification")
    first, again, other = (bootstrap_intervals(TASKS["classification"], *data, NAMES, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_large_tests_take_fewer_resamples():
    assert [num_resamples(size) for size in (0, 36_000, 100_000, 10**9)] == [300, 300, 200, 100]
