"""Bootstrap intervals: against scipy's bootstrap, a binomial by hand, and for tokens resamples of whole sequences."""

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
    names, of_task = NAMES if task != "regression" else [], TASKS[task]
    monkeypatch.setattr(intervals, "MOST_RESAMPLES", 1000)
    found = bootstrap_intervals(of_task, outputs, labels, names)

    measured = of_task.measure(outputs, labels, names)
    assert set(found) == set(of_task.metrics) - {"loss"}
    first = next(iter(found))
    expected = bootstrap(
        (np.arange(60),),
        lambda rows: of_task.measure(outputs[rows], labels[rows], names)[first],
        **{"n_resamples": 1000, "vectorized": False, "method": "percentile", "rng": 1},
    ).confidence_interval
    assert found[first] == pytest.approx(tuple(expected), abs=0.2 * (expected.high - expected.low))
    for name, (low, high) in found.items():
        assert low <= measured[name] <= high, name
    assert bootstrap_intervals(of_task, outputs, labels, names, seed=1) != found


@pytest.mark.parametrize(("task", "shape"), [("classification", (200,)), ("token_classification", (200, 5))])
def test_the_interval_of_an_accuracy_is_that_of_a_binomial_of_sequences(monkeypatch, task, shape):
    """All tokens of a sequence are right, or all are wrong: intervals are those of sequences, not of tokens."""
    monkeypatch.setattr(intervals, "MOST_RESAMPLES", 2000)
    labels = np.ones(shape, dtype=int)
    right = np.broadcast_to((np.arange(200) < 112).reshape(-1, *[1] * (len(shape) - 1)), shape)
    found = bootstrap_intervals(TASKS[task], np.eye(2)[right.astype(int)], labels, NAMES[:2])
    assert found["accuracy"] == pytest.approx(binom.ppf([0.025, 0.975], 200, 0.56) / 200, abs=0.011)


@pytest.mark.filterwarnings("error")
def test_what_is_undefined_has_no_interval_and_nothing_warns():
    outputs, none = np.arange(15.0).reshape(5, 3) - 20, np.full((5, 4), IGNORED)
    assert set(bootstrap_intervals(TASKS["regression"], np.arange(5.0), np.ones(5), [])) == {"rmse", "mae"}
    assert set(bootstrap_intervals(TASKS["multi_label"], outputs, np.zeros((5, 3)), NAMES)) == {"subset_accuracy"}
    assert bootstrap_intervals(TASKS["token_classification"], np.zeros((5, 4, 3)), none, NAMES) == {}
    for task in LABELLED:  # with seven rows, classes are missing from resamples
        assert bootstrap_intervals(TASKS[task], *draw(task, num_rows=7), NAMES)
    outputs, labels = draw("regression")
    outputs[3] = np.inf
    assert bootstrap_intervals(TASKS["regression"], outputs, labels, []) == {}


def test_large_tests_take_fewer_resamples():
    assert [num_resamples(size) for size in (0, 36_000, 100_000, 10**9)] == [300, 300, 200, 100]
