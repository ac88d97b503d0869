"""What the Trainer tells -> when it stops: divergence, constant answers, no progress, SIGTERM."""

import json
import math
import os
import signal
from types import SimpleNamespace

import pytest
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState

from dnahub.training.callbacks import DivergenceError, LogToFile, SaveOnSignal, StopEarly, StopOnDivergence

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
    with pytest.raises(DivergenceError, match=r"step 0 .*--learning_rate \(now 0.0001\)"):
        StopOnDivergence().on_log(ARGS, state_of(), None, logs)


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
        ours.on_evaluate(args, state, controls[1], metrics={"eval_accuracy": values[i]})
        stopped.append((controls[0].should_training_stop, controls[1].should_training_stop))
        if best is None or (values[i] > best if greater else values[i] < best):
            best = values[i]
        if any(stopped[-1]):
            break

    assert all(their == our for their, our in stopped)


def test_the_signals_handler_is_as_before_after_the_training():
    before, callback = signal.getsignal(signal.SIGTERM), SaveOnSignal()
    with callback.listening():
        os.kill(os.getpid(), signal.SIGTERM)

    assert callback.received and signal.getsignal(signal.SIGTERM) == before


def test_undefined_metrics_count_for_no_patience_and_are_null_in_the_log(tmp_path):
    entries = [{"eval_accuracy": value} for value in (math.nan, 0.1, 0.2, 0.3)]
    assert not StopEarly(2, "eval_accuracy", True).is_reached(state_of(*entries))
    assert not StopEarly(0, "eval_accuracy", True).is_reached(state_of(*[{"eval_accuracy": 0.5}] * 9))

    LogToFile(tmp_path).on_log(ARGS, state_of(*entries), None)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0], parse_constant=pytest.fail)
    assert first["eval_accuracy"] is None


@pytest.mark.parametrize(
    ("strategy", "epoch", "saves", "evaluates"),
    [
        ("epoch", 1.5, True, False),  # an undisturbed run makes no evaluation there
        ("epoch", 2.0, False, True),  # it is saved after the evaluation that ends the epoch
        ("steps", 2.0, True, False),
        ("no", 2.0, True, False),
    ],
)
def test_sigterm_saves_and_stops_without_an_evaluation_that_no_undisturbed_run_makes(
    strategy, epoch, saves, evaluates
):
    args = SimpleNamespace(world_size=1, save_strategy=strategy)
    callback, control = SaveOnSignal(), TrainerControl()
    state = TrainerState(global_step=3, max_steps=9, epoch=epoch)
    callback.on_step_end(args, state, control)
    assert not control.should_save and not control.should_training_stop

    callback.received = True
    callback.on_step_end(args, state, control)
    assert control.should_training_stop and control.should_save is saves

    control.should_evaluate = True  # as the Trainer takes a stop for the end of an epoch
    callback.on_epoch_end(args, state, control)
    assert control.should_evaluate is evaluates
