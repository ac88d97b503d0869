"""Nearest neighbours by cosine, against sorting all similarities."""

import numpy as np
import pytest
from scipy.special import softmax

from dnahub.reports.fitting import Rows
from dnahub.reports.neighbours import fit_neighbours
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

TASK, LABELS = TASKS["classification"], Labels(["a", "b", "c"], 3)


def drawn(num_rows: int, seed: int) -> Rows:
    """The classes differ in their direction; the lengths of the vectors say nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=num_rows)
    vectors = np.eye(5)[labels] + rng.normal(size=(num_rows, 5)) * 0.5
    return Rows((vectors * rng.lognormal(sigma=2, size=(num_rows, 1))).astype(np.float32), labels)


def test_the_votes_are_those_of_the_most_similar_rows_and_validation_chooses_how_many():
    train, validation, test = drawn(150, 0), drawn(80, 1), drawn(60, 2)
    fit = fit_neighbours(train, [(train, validation)], TASK, LABELS)

    def shares(rows: Rows, k: int) -> np.ndarray:
        unit = [each.features / np.linalg.norm(each.features, axis=1, keepdims=True) for each in (rows, train)]
        nearest = np.argsort(-(unit[0] @ unit[1].T), axis=1)[:, :k]
        votes = np.array([[np.sum(train.labels[row] == label) for label in range(3)] for row in nearest])
        return (votes + 1 / 3) / (k + 1)

    losses = {k: -np.log(shares(validation, k)[np.arange(80), validation.labels]).mean() for k in (1, 3, 10, 30, 100)}
    assert {each["k"]: each["validation_log_loss"] for each in fit.facts["candidates"]} == pytest.approx(losses)
    k = fit.facts["k"]
    assert k == min(losses, key=losses.get)
    np.testing.assert_allclose(softmax(fit.predict(test.features), axis=1), shares(test, k), rtol=1e-6)
    assert (fit.held_out.argmax(axis=1) == validation.labels).mean() > 0.7


def test_of_a_few_rows_no_more_neighbours_are_asked_for_than_there_are():
    train, test = drawn(12, 0), drawn(20, 2)
    fit = fit_neighbours(train, [(train, test)], TASK, LABELS)
    assert [each["k"] for each in fit.facts["candidates"]] == [1, 3, 10]
