"""Names and numbers of metrics, as card, terminal and probe print them."""

import pytest

from dnahub.metrics.names import name_of, number
from dnahub.tasks import TASKS


def test_every_metric_of_every_task_has_a_name():
    names = {name_of(metric) for task in TASKS.values() for metric in task.metrics}
    assert {"Accuracy", "Macro F1", "MCC", "AUROC", "RMSE", "Spearman correlation", "Loss"} <= names
    assert name_of("poisson_deviance") == "Poisson deviance"


def test_scores_that_differ_in_their_last_bits_are_shown_alike():
    assert [number(score, 3) for score in (0.5275 - 2**-53, 0.5275, 0.5275 + 2**-53)] == ["0.527"] * 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.0000"), (None, "undefined"), (0.61239, "0.6124"), (-12.5, "-12.5000"), (1.23e-5, "1.23e-05")]
    + [(1234567.0, "1.235e+06")],
)
def test_numbers_have_four_decimals_or_four_digits_and_zero_is_defined(value, shown):
    assert number(value) == shown
