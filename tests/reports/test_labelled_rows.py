"""Scores by the number of labelled rows: which rows are drawn, and what is fitted on them."""

import numpy as np
import pyarrow as pa
import pytest

from dnahub.reports import labelled_rows
from dnahub.reports.fitting import Rows
from dnahub.reports.labelled_rows import measure_by_rows, subsets
from dnahub.reports.linear_probe import fit_linear
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

TASK, LABELS = TASKS["classification"], Labels(["a", "b"], 2)


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    monkeypatch.setattr(labelled_rows, "SIZES", {20: 4, 60: 2, 1_000: 3})


def drawn(num_rows: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=num_rows)
    return Rows(rng.normal(size=(num_rows, 3)) + labels[:, None], labels)


def test_whole_groups_are_drawn_at_random_until_there_are_enough_rows():
    groups = pa.array([f"gene {i % 30}" for i in range(300)])
    parts = list(subsets(300, groups, 20))
    assert len(parts) == 4 and len({tuple(part) for part in parts}) == 4
    for part in parts:
        assert len(part) == len(set(part)) == 20 and sorted(part) == part.tolist()
        assert len({i % 30 for i in part}) == 2  # of ten rows each
    assert len({i % 30 for i in next(subsets(300, None, 20))}) > 5


def test_each_point_is_the_mean_of_models_fitted_on_its_rows_alone():
    train, validation, test = drawn(200, 0), drawn(100, 1), drawn(500, 2)
    held_out = (test.features, test.labels)
    curve = measure_by_rows(fit_linear, train, validation, held_out, None, TASK, LABELS, "accuracy")
    assert [(point["rows"], point["draws"]) for point in curve] == [(20, 4), (60, 2)]
    expected = []
    for part in map(train.take, subsets(200, None, 20)):
        predict = fit_linear(part, [(part, validation)], TASK, LABELS).predict

        def accuracy(rows: Rows, shift: np.ndarray | int, predict=predict) -> float:
            return ((predict(rows.features) + shift).argmax(axis=1) == rows.labels).mean()

        equal = -np.log(np.bincount(part.labels) / 20)  # classes taken to be equally frequent, if validation says so
        shift = max((0, equal), key=lambda shift, accuracy=accuracy: accuracy(validation, shift))
        expected.append(accuracy(test, shift))
    found = curve[0]["accuracy"]
    assert found == pytest.approx({"mean": np.mean(expected), "lowest": min(expected), "highest": max(expected)})
    assert 0.7 < found["mean"] < curve[1]["accuracy"]["mean"] + 0.05


def test_draws_of_one_class_are_left_out_and_without_validation_folds_choose():
    train = drawn(200, 0)
    one = Rows(train.features, np.zeros(200, dtype=int))
    given = ((train.features, train.labels), pa.array([str(i // 4) for i in range(200)]), TASK, LABELS, "accuracy")
    assert measure_by_rows(fit_linear, one, None, *given) == []
    many = (*given[:3], Labels([str(i) for i in range(30)], 30), *given[4:])  # of which 20 rows cannot have all
    assert [point["rows"] for point in measure_by_rows(fit_linear, train, None, *many)] == [60]
    assert [point["rows"] for point in measure_by_rows(fit_linear, train, None, *given)] == [20, 60]
