"""What the Trainer tells -> when it stops: divergence, constant answers, no progress, SIGTERM."""

import json
import math
import os
import signal
from types import SimpleNamespace

import pytest
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState

from training.callbacks import CollapseError, LogToFile, SaveOnSignal, StopEarly, StopOnCollapse

ARGS = SimpleNamespace(
    learning_rate=1e-4,
    world_size=1,
    metric_for_best_model="accuracy",
    greater_is_better=True,
    load_best_model_at_end=True,
    eval_strategy="epoch",
)


def state_of(*entries: dict, max_steps: int = 100) -> TrainerState:
    history = [{"step": i, "epoch": float(i)} | entry for i, entry in enumerate(entries, start=1)]
    return TrainerState(global_step=len(entries), max_steps=max_steps, log_history=history)


@pytest.mark.parametrize("logs", [{"loss": math.nan}, {"loss": math.inf}, {"eval_loss": math.nan}])
def test_a_loss_that_is_no_number_stops_the_run_with_what_to_do(logs):
    with pytest.raises(CollapseError, match=r"diverged: at step 0 .* smaller --learning_rate \(now 0.0001\)"):
        StopOnCollapse().on_log(ARGS, state_of(), None, logs)


def test_other_logs_stop_nothing():
    for logs in ({"loss": 1e9}, {"grad_norm": math.nan, "loss": 0.0}, {"train_runtime": 1.0}):
        StopOnCollapse().on_log(ARGS, state_of(), None, logs)


@pytest.mark.parametrize(
    ("constants", "max_steps", "stops"),
    [
        ([1, 1], 100, True),
        ([0, 1, 1], 100, True),
        ([1], 100, False),
        ([1, 0, 1], 100, False),
        ([1], 1, True),
        ([0], 1, False),
        ([0, 0, 0], 3, False),
    ],
)
def test_the_same_answer_for_every_sequence_stops_the_run_the_second_time_or_at_the_end(constants, max_steps, stops):
    state = state_of(*({"eval_constant": float(each)} for each in constants), max_steps=max_steps)

    if not stops:
        StopOnCollapse().on_evaluate(ARGS, state, None)
        return
    with pytest.raises(CollapseError, match="the same answer, at step"):
        StopOnCollapse().on_evaluate(ARGS, state, None)


def test_the_first_epoch_may_well_be_constant():
    entries = [{"eval_constant": 1.0, "epoch": epoch} for epoch in (0.3, 0.6, 0.9)]

    StopOnCollapse().on_evaluate(ARGS, state_of(*entries), None)


@pytest.mark.parametrize("values", [[1, 2, 3], [3, 1, 2], [3, 1, 1, 4], [3, 3, 3], [1, 1], [2, 1, 3, 2, 2, 2]])
@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("greater", [True, False])
def test_it_stops_when_transformers_own_callback_does(values, patience, greater):
    args = SimpleNamespace(**{**vars(ARGS), "greater_is_better": greater})
    theirs, ours = EarlyStoppingCallback(patience), StopEarly(patience, "eval_accuracy", greater)
    best, stopped = None, []
    for i in range(len(values)):
        state = state_of(*({"eval_accuracy": value} for value in values[: i + 1]))
        state.best_metric = best  # as the Trainer keeps it, of the evaluations before
        controls = TrainerControl(), TrainerControl()
        theirs.on_evaluate(args, state, controls[0], metrics={"eval_accuracy": values[i]})
        ours.on_evaluate(args, state, controls[1])
        stopped.append((controls[0].should_training_stop, controls[1].should_training_stop))
        if best is None or (values[i] > best if greater else values[i] < best):
            best = values[i]
        if any(stopped[-1]):
            break

    assert all(their == our for their, our in stopped)


def test_a_patience_of_0_never_stops():
    entries = [{"eval_accuracy": 0.5}] * 9

    assert not StopEarly(0, "eval_accuracy", True).is_reached(state_of(*entries))
    assert StopEarly(8, "eval_accuracy", True).is_reached(state_of(*entries))


def test_sigterm_saves_and_stops_at_the_end_of_the_step_and_is_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    callback, control = SaveOnSignal(), TrainerControl()
    callback.on_train_begin(ARGS, None, control)
    callback.on_step_end(ARGS, None, control)
    assert not control.should_save and not control.should_training_stop

    os.kill(os.getpid(), signal.SIGTERM)
    callback.on_step_end(ARGS, None, control)

    assert callback.received and control.should_save and control.should_training_stop
    callback.restore()
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_log_is_written_as_a_whole_each_time(tmp_path):
    log = LogToFile(tmp_path)
    log.on_log(ARGS, state_of({"loss": 2.0}, {"loss": 1.0}), None)
    log.on_log(ARGS, state_of({"loss": 2.0}, {"loss": 1.5}), None)

    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["loss"] for entry in entries] == [2.0, 1.5]
