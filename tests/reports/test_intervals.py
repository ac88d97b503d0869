"""Bootstrap intervals: against a plain loop that measures resampled rows, and Wilson's interval."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from dnahub.reports import intervals
from dnahub.reports.intervals import bootstrap_intervals
from dnahub.reports.wilson import wilson_interval
from dnahub.tasks.collators import IGNORED
from dnahub.tasks.evaluation import METRICS, measure
from tests.tasks.test_evaluation import NAMES, draw

RESAMPLES = 40


def plain_loop(problem, outputs, labels, label_names, seed) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(seed)
    measured = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(labels), size=len(labels))
        measured.append(measure(problem, outputs[rows], labels[rows], label_names))
    expected = {}
    for name in METRICS[problem]:
        values = [scores[name] for scores in measured if scores.get(name) is not None]
        if values:
            expected[name] = tuple(np.percentile(values, [2.5, 97.5]))
    return expected


def check(problem, outputs, labels, label_names=NAMES, seed=3) -> dict[str, tuple[float, float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_intervals(problem, outputs, labels, label_names, seed=seed, resamples=RESAMPLES)
        warnings.filterwarnings("ignore", message="A single label was found")  # of the metric module
        expected = plain_loop(problem, outputs, labels, label_names, seed)
    assert list(found) == list(expected)
    for name, ends in expected.items():
        assert found[name] == pytest.approx(ends, rel=1e-9, abs=1e-9), name
    return found


@pytest.mark.parametrize("num_rows", [7, 60])  # with seven, labels are missing from resamples
@pytest.mark.parametrize("problem", METRICS)
def test_intervals_are_those_of_a_plain_loop_over_resampled_rows(problem, num_rows):
    found = check(problem, *draw(problem, num_rows))
    assert set(found) == set(METRICS[problem]) - {"loss"}


def test_single_output_and_single_label_need_no_second():
    check("regression", *draw("regression", 30, 1), [])
    check("multi_label_classification", *draw("multi_label_classification", 30, 1), NAMES[:1])


def test_ties_are_those_of_the_plain_loop():
    for problem in ("single_label_classification", "multi_label_classification", "token_classification"):
        outputs, labels = draw(problem)
        assert len(np.unique(outputs.round())) < 12
        check(problem, outputs.round(), labels)
    outputs, labels = draw("regression")
    check("regression", outputs.round(), labels.round())


def test_resamples_whose_numbers_are_all_the_same_are_those_of_the_plain_loop():
    labels = np.full((6, 1), 0.1, dtype=np.float32)
    labels[0] = 5.3
    outputs = np.array([[0.7]] * 5 + [[2.0]], dtype=np.float32)
    check("regression", outputs, labels, [])
    check("single_label_classification", np.eye(2)[[0, 0, 0, 0, 1]], np.array([0, 0, 0, 1, 1]), NAMES[:2])


def test_what_is_never_defined_has_no_interval():
    assert set(check("regression", np.arange(5.0), np.ones(5), [])) == {"rmse", "mae"}
    outputs = np.arange(15.0).reshape(5, 3) - 20
    assert set(check("multi_label_classification", outputs, np.zeros((5, 3)))) == {"subset_accuracy"}
    labels = np.full((5, 4), IGNORED)
    assert check("token_classification", np.zeros((5, 4, 3)), labels) == {}


def test_rows_are_counted_in_chunks_without_a_difference(monkeypatch):
    data = draw("regression", 20)
    whole = bootstrap_intervals("regression", *data, [], resamples=RESAMPLES)
    monkeypatch.setattr(intervals, "COUNTS_AT_ONCE", 60)  # three resamples
    chunked = bootstrap_intervals("regression", *data, [], resamples=RESAMPLES)
    assert all(chunked[name] == pytest.approx(ends) for name, ends in whole.items())


def test_metrics_of_an_order_take_the_first_resamples_only_where_all_would_cost_too_much(monkeypatch):
    data = draw("regression", 20)
    few = bootstrap_intervals("regression", *data, [], resamples=10)
    monkeypatch.setattr(intervals, "ORDERED_AT_MOST", 20 * 3 * 10)
    monkeypatch.setattr(intervals, "MIN_RESAMPLES", 5)
    monkeypatch.setattr(intervals, "COUNTS_AT_ONCE", 60)
    limited = bootstrap_intervals("regression", *data, [], resamples=RESAMPLES)
    assert limited["spearman"] == pytest.approx(few["spearman"])
    assert limited["pearson"] == pytest.approx(plain_loop("regression", *data, [], 0)["pearson"])
    monkeypatch.setattr(intervals, "MIN_RESAMPLES", 10**6)
    spearman = bootstrap_intervals("regression", *data, [], resamples=RESAMPLES)["spearman"]
    assert spearman == pytest.approx(plain_loop("regression", *data, [], 0)["spearman"])


def test_auroc_and_auprc_are_those_of_scikit_learn_with_the_draws_as_weights(monkeypatch):
    """Unbalanced tokens with ties, in rows of unlike numbers of labels; a resample holds a row's tokens together."""
    rng = np.random.default_rng(0)
    labels = (rng.random((30, 20)) < 0.05).astype(int)
    labels[rng.random(labels.shape) < 0.3] = IGNORED
    logits = np.stack([np.zeros(labels.shape), (labels + rng.normal(size=labels.shape)).round(1)], axis=2)
    monkeypatch.setattr(intervals, "COUNTS_AT_ONCE", 1)  # one resample at a time
    found = bootstrap_intervals("token_classification", logits, labels, NAMES[:2], seed=5, resamples=RESAMPLES)

    labelled, generator, aurocs, auprcs = labels != IGNORED, np.random.default_rng(5), [], []
    for _ in range(RESAMPLES):
        drawn = np.bincount(generator.integers(30, size=30), minlength=30)
        weights = np.repeat(drawn[:, None], 20, axis=1)[labelled]
        is_site, score = labels[labelled], logits[labelled][:, 1]
        aurocs.append(roc_auc_score(is_site, score, sample_weight=weights))
        auprcs.append(
            np.mean(
                [
                    average_precision_score(is_site, score, sample_weight=weights),
                    average_precision_score(1 - is_site, -score, sample_weight=weights),
                ]
            )
        )
    assert found["auroc"] == pytest.approx(np.percentile(aurocs, [2.5, 97.5]))
    assert found["auprc"] == pytest.approx(np.percentile(auprcs, [2.5, 97.5]))


def test_the_seed_decides():
    data = draw("single_label_classification")
    first, again, other = (
        bootstrap_intervals("single_label_classification", *data, NAMES, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("share", [0.2, 0.56, 0.9])
def test_accuracy_has_about_the_interval_of_wilson(share):
    right = np.arange(2000) < share * 2000
    logits, labels = np.eye(2)[right.astype(int)], np.ones(2000, dtype=int)
    found = bootstrap_intervals("single_label_classification", logits, labels, NAMES[:2])
    assert found["accuracy"] == pytest.approx(wilson_interval(share, 2000), abs=0.003)


def test_95_of_100_intervals_hold_the_accuracy_that_the_rows_were_drawn_with():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        right = (rng.random(200) < 0.7).astype(int)
        found = bootstrap_intervals(
            "single_label_classification", np.eye(2)[right], np.ones(200, dtype=int), NAMES[:2], resamples=200
        )
        low, high = found["accuracy"]
        covered.append(low <= 0.7 <= high)
    assert 0.91 < np.mean(covered) < 0.98


def test_outputs_that_are_no_numbers_have_no_intervals():
    outputs, labels = draw("regression")
    outputs[3] = np.inf
    assert bootstrap_intervals("regression", outputs, labels, []) == {}


def test_an_unknown_problem_is_an_error():
    with pytest.raises(ValueError, match="'ranking'.*single_label"):
        bootstrap_intervals("ranking", np.zeros(2), np.zeros(2), [])
