"""What the Trainer tells -> when it stops: divergence, constant answers, no progress, SIGTERM."""

import json
import math
from types import SimpleNamespace

import pytest
from transformers import TrainerState

from dnahub.training.callbacks import DivergenceError, LogToFile, StopEarly, StopOnDivergence

ARGS = SimpleNamespace(learning_rate=1e-4)


def state_of(*entries: dict, max_steps: int = 100) -> TrainerState:
    history = [{"step": i, "epoch": float(i)} | entry for i, entry in enumerate(entries, start=1)]
    return TrainerState(global_step=len(entries), max_steps=max_steps, log_history=history)


@pytest.mark.parametrize("logs", [{"loss": math.nan}, {"loss": math.inf}, {"eval_loss": math.nan}])
def test_a_loss_that_is_no_number_stops_the_run_with_what_to_do(logs):
    with pytest.raises(DivergenceError, match=r"step 0 .*--learning_rate \(now 0.0001\)"):
        StopOnDivergence().on_log(ARGS, state_of(), None, logs)


@pytest.mark.parametrize(
    ("values", "patience", "reached"),
    [([1, 2, 3], 1, False), ([3, 1], 1, True), ([3, 1], 2, False), ([3, 3, 3], 2, True), ([2, 1, 3, 2], 2, False)]
    + [([0.0, 0.0, 0.0], 2, True), ([0.0, -1.0], 1, True), ([-1.0, 0.0], 1, False)],
)
def test_it_stops_after_so_many_evaluations_that_are_no_better_than_the_best(values, patience, reached):
    for sign, greater in ((1, True), (-1, False)):
        state = state_of(*({"eval_accuracy": sign * value} for value in values))
        assert StopEarly(patience, "eval_accuracy", greater).is_reached(state) is reached


def test_undefined_metrics_count_for_no_patience_and_are_null_in_the_log(tmp_path):
    entries = [{"eval_accuracy": value} for value in (math.nan, 0.1, 0.2, 0.3)]
    assert not StopEarly(2, "eval_accuracy", True).is_reached(state_of(*entries))
    assert not StopEarly(0, "eval_accuracy", True).is_reached(state_of(*[{"eval_accuracy": 0.5}] * 9))

    LogToFile(tmp_path).on_log(ARGS, state_of(*entries), None)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0], parse_constant=pytest.fail)
    assert first["eval_accuracy"] is None
