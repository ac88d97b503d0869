"""A model and the best baseline on test: differences, their intervals by a plain paired bootstrap, and the verdict."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

from dnahub.reports.baselines import MeasuredBaselines
from dnahub.reports.comparison import compare
from dnahub.reports.intervals import Predictions, paired_differences
from dnahub.tasks import TASKS

CLASSIFICATION, NAMES = TASKS["classification"], ["fly", "mouse"]


def outputs_of(right: np.ndarray, labels: np.ndarray, sure: float = 2.0) -> np.ndarray:
    return np.eye(2)[np.where(right, labels, 1 - labels)] * sure


def verdict(ours, theirs, labels, metric="accuracy", groups=None, task=CLASSIFICATION):
    model, baseline = (task.measure(each, labels, NAMES) for each in (ours, theirs))
    for outputs, scores in ((ours, model), (theirs, baseline)):
        scores["loss"] = task.mean_loss(outputs, labels)
    found = MeasuredBaselines({"codons": baseline}, "codons", theirs)
    return compare(task, metric, model, Predictions(ours, labels, groups), found, NAMES, groups and "gene")


def drawn(num_rows: int = 2000, gain: float = 0.0, seed: int = 0):
    """Labels, and which rows two models that agree on most are right on; the first on a fraction `gain` more."""
    rng = np.random.default_rng(seed)
    labels, theirs = rng.integers(2, size=num_rows), rng.random(num_rows) < 0.6
    return labels, theirs | (rng.random(num_rows) < gain), theirs


def test_a_difference_is_paired():
    """Intervals of the accuracies overlap, and yet the model is right on each row on which the baseline is."""
    labels, ours, theirs = drawn(gain=0.04)
    found = verdict(outputs_of(ours, labels), outputs_of(theirs, labels), labels)
    difference = ours.mean() - theirs.mean()
    assert found["metrics"]["accuracy"]["difference"] == pytest.approx(difference)
    low, high = found["metrics"]["accuracy"]["interval"]
    # The standard error of a mean of rows that are 0 or 1.
    expected = difference + norm.ppf([0.025, 0.975]) * np.sqrt(difference * (1 - difference) / len(labels))
    assert (low, high) == pytest.approx(tuple(expected), abs=0.002)
    assert found["verdict"] == "better" and found["baseline"] == "codons" and found["groups"] is None
    assert list(found["metrics"]) == ["accuracy", "balanced_accuracy"]
    worse = verdict(outputs_of(theirs, labels), outputs_of(ours, labels), labels)
    assert worse["verdict"] == "worse" and worse["metrics"]["accuracy"]["interval"] == pytest.approx((-high, -low))


def test_no_difference_is_one_where_the_interval_contains_zero():
    labels, _, theirs = drawn()
    ours = np.random.default_rng(1).permutation(theirs)
    assert verdict(outputs_of(ours, labels), outputs_of(theirs, labels), labels)["verdict"] == "no difference"


def test_rows_of_a_gene_are_drawn_together():
    """Ten times the same row: as sure as of a tenth of the rows."""
    labels, ours, theirs = drawn(200, gain=0.3)
    tenfold = [np.repeat(each, 10, axis=0) for each in (outputs_of(ours, labels), outputs_of(theirs, labels), labels)]
    genes = pa.array([f"gene {i // 10}" for i in range(2000)])
    of_genes, of_rows, of_few = (
        verdict(*given, groups=groups)["metrics"]["accuracy"]["interval"]
        for given, groups in (
            (tenfold, genes),
            (tenfold, None),
            ((outputs_of(ours, labels), outputs_of(theirs, labels), labels), None),
        )
    )
    assert of_genes == pytest.approx(of_few, abs=0.01)
    assert np.ptp(of_rows) == pytest.approx(np.ptp(of_genes) / np.sqrt(10), rel=0.2)


@pytest.mark.parametrize(("num_groups", "expected"), [(19, "no difference"), (20, "better")])
def test_a_handful_of_rows_or_genes_shows_no_difference(num_groups, expected):
    labels = np.arange(60) % 2
    ours, theirs = outputs_of(labels >= 0, labels), outputs_of(labels < 0, labels)
    groups = pa.array([str(i % num_groups) for i in range(60)])
    assert verdict(ours, theirs, labels, groups=groups)["verdict"] == expected


def test_on_unbalanced_classes_accuracy_alone_says_nothing():
    """The baseline names the common class only, and is right more often."""
    labels = (np.arange(2000) % 20 == 0).astype(int)
    rng = np.random.default_rng(0)
    found = verdict(outputs_of(rng.random(2000) < 0.8, labels), outputs_of(labels == 0, labels), labels)
    verdicts = {name: each["verdict"] for name, each in found["metrics"].items()}
    assert verdicts == {"accuracy": "worse", "balanced_accuracy": "better"} and found["verdict"] == "mixed"


def test_by_loss_it_is_compared_with_the_first_score_too_and_less_is_better():
    labels, ours, theirs = drawn(gain=0.1)
    found = verdict(outputs_of(ours, labels), outputs_of(theirs, labels), labels, "loss")
    assert list(found["metrics"]) == ["loss", "accuracy", "balanced_accuracy"] and found["verdict"] == "better"
    assert found["metrics"]["loss"]["interval"][1] < 0
    overconfident = verdict(outputs_of(ours, labels, 20), outputs_of(theirs, labels), labels, "loss")
    assert overconfident["metrics"]["loss"]["verdict"] == "worse" and overconfident["verdict"] == "mixed"


def test_outputs_that_are_not_finite_are_worse_and_without_baselines_there_is_nothing_to_compare():
    labels, ours, theirs = drawn()
    found = verdict(outputs_of(ours, labels) * np.nan, outputs_of(theirs, labels), labels, "auroc")
    assert found["metrics"] == {"auroc": {"difference": None, "interval": None, "verdict": "worse"}}
    nothing = MeasuredBaselines({}, None, None)
    given = ({}, Predictions(outputs_of(ours, labels), labels), nothing)
    assert compare(CLASSIFICATION, "loss", *given, NAMES, None) is None


def test_other_tasks_are_compared_by_the_same_resamples():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=300)
    ours, theirs = (numbers + rng.normal(size=300) * noise for noise in (0.5, 1.0))
    (low, high), loss = paired_differences(
        TASKS["regression"], Predictions(ours, numbers), theirs, ["spearman", "loss"], []
    ).values()
    assert 0 < low < high and loss[1] < 0
    assert TASKS["multi_label"].compared_by("loss") == ["micro_f1", "macro_f1"]
    assert TASKS["regression"].compared_by("loss") == ["loss", "spearman"]
