"""Bootstrap intervals: against scipy's bootstrap, a binomial by hand, and for tokens resamples of whole sequences."""

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from dnahub.reports import intervals
from dnahub.reports.intervals import Predictions, bootstrap_intervals, num_resamples
from dnahub.tasks import TASKS
from dnahub.tasks.labels import IGNORED
from dnahub.tasks.task import Task
from tests.tasks.test_measure import LABELLED, NAMES, draw

# The way of tasks of classes, and that of all others.
FAST_AND_LOOP = (type(TASKS["classification"]), Task)


@pytest.mark.parametrize("task", TASKS)
def test_intervals_are_those_of_scipy_and_hold_the_metric(monkeypatch, task):
    outputs, labels = draw(task, num_rows=60)
    names, of_task = NAMES if task != "regression" else [], TASKS[task]
    monkeypatch.setattr(intervals, "MOST_RESAMPLES", 1000)
    found = bootstrap_intervals(of_task, Predictions(outputs, labels), names)

    measured = of_task.measure(outputs, labels, names)
    recalls = {f"recall of {name}" for name in names} if "balanced_accuracy" in of_task.metrics else set()
    assert set(found) == set(of_task.metrics) - {"loss"} | recalls
    first = next(iter(found))
    expected = bootstrap(
        (np.arange(60),),
        lambda rows: of_task.measure(outputs[rows], labels[rows], names)[first],
        **{"n_resamples": 1000, "vectorized": False, "method": "percentile", "rng": 1},
    ).confidence_interval
    assert found[first] == pytest.approx(tuple(expected), abs=0.2 * (expected.high - expected.low))
    measured |= {f"recall of {name}": recall for name, recall in measured.get("recall_per_label", {}).items()}
    for name, (low, high) in found.items():
        assert low <= measured[name] <= high, name
    assert bootstrap_intervals(of_task, Predictions(outputs, labels), names, seed=1) != found


@pytest.mark.parametrize(("task", "shape"), [("classification", (200,)), ("token_classification", (200, 5))])
def test_the_interval_of_an_accuracy_is_that_of_a_binomial_of_sequences(monkeypatch, task, shape):
    """All tokens of a sequence are right, or all are wrong: intervals are those of sequences, not of tokens."""
    monkeypatch.setattr(intervals, "MOST_RESAMPLES", 2000)
    labels = np.ones(shape, dtype=int)
    right = np.broadcast_to((np.arange(200) < 112).reshape(-1, *[1] * (len(shape) - 1)), shape)
    found = bootstrap_intervals(TASKS[task], Predictions(np.eye(2)[right.astype(int)], labels), NAMES[:2])
    assert found["accuracy"] == pytest.approx(binom.ppf([0.025, 0.975], 200, 0.56) / 200, abs=0.011)


@pytest.mark.filterwarnings("error")
def test_what_is_undefined_has_no_interval_and_nothing_warns():
    outputs, none = np.arange(15.0).reshape(5, 3) - 20, np.full((5, 4), IGNORED)
    assert set(bootstrap_intervals(TASKS["regression"], Predictions(np.arange(5.0), np.ones(5)), [])) == {
        "rmse",
        "mae",
    }
    assert set(bootstrap_intervals(TASKS["multi_label"], Predictions(outputs, np.zeros((5, 3))), NAMES)) == {
        "subset_accuracy"
    }
    assert bootstrap_intervals(TASKS["token_classification"], Predictions(np.zeros((5, 4, 3)), none), NAMES) == {}
    for task in LABELLED:  # with seven rows, classes are missing from resamples
        assert bootstrap_intervals(TASKS[task], Predictions(*draw(task, num_rows=7)), NAMES)
    outputs, labels = draw("regression")
    outputs[3] = np.inf
    assert bootstrap_intervals(TASKS["regression"], Predictions(outputs, labels), []) == {}


@pytest.mark.parametrize("task", ["classification", "multi_label"])
def test_a_rare_class_does_not_lift_an_interval(task):
    """One row in twelve has the second class: a resample without it has the recall of the first alone, which is 1."""
    labels = (np.arange(12) == 11).astype(int)
    logits = np.tile([1.0, -1.0], (12, 1))
    metric = "balanced_accuracy"
    if task == "multi_label":
        labels, metric = np.stack([1 - labels, labels], axis=1).astype(float), "macro_f1"
    found = bootstrap_intervals(TASKS[task], Predictions(logits, labels), NAMES[:2])
    assert found[metric][1] <= 0.5


def test_large_tests_take_fewer_resamples():
    assert [num_resamples(size) for size in (0, 36_000, 100_000, 10**9)] == [300, 300, 200, 100]


@pytest.mark.parametrize("task", ["classification", "token_classification"])
def test_all_resamples_at_once_are_those_of_a_loop(task):
    outputs, labels = draw(task, num_rows=12)
    outputs = outputs.round()  # ties
    rng = np.random.default_rng(0)
    counts = np.stack([np.bincount(rng.integers(12, size=12), minlength=12) for _ in range(30)])
    counts[0] = np.arange(12) == 3  # classes are missing
    found, expected = (which.measure_resamples(TASKS[task], outputs, labels, NAMES, counts) for which in FAST_AND_LOOP)
    present = [set(labels[count > 0].flatten()) - {IGNORED} for count in counts]
    lacks_class = np.array([each < set(labels.flatten()) - {IGNORED} for each in present])
    assert lacks_class.any() == (task == "classification") and not lacks_class.all()
    for metric in set(TASKS[task].metrics) - {"loss"}:
        if metric != "accuracy":  # a mean over other classes is another figure
            expected[metric] = np.where(lacks_class, np.nan, expected[metric])
        np.testing.assert_allclose(found[metric], expected[metric], err_msg=metric)
    if task == "classification":
        np.testing.assert_allclose(found["loss"], expected["loss"])
