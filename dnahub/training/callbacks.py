"""What the Trainer tells while it trains -> when it stops before its last step."""

import json
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState

from dnahub.machine.files import write_text


class DivergenceError(ValueError):
    """A loss or weights that are NaN or infinite; the message says what to do."""


class StopOnDivergence(TrainerCallback):
    def on_log(self, args, state, control, logs: dict[str, Any], **kwargs):
        for name in ("loss", "eval_loss"):
            if not math.isfinite(logs.get(name, 0)):
                raise DivergenceError(
                    f"The training diverged: at step {state.global_step} the {name} is {logs[name]}; give a smaller "
                    f"--learning_rate (now {args.learning_rate:g}), longer --warmup_steps, or no --fp16."
                )


class StopEarly(TrainerCallback):
    """As transformers' EarlyStoppingCallback, but counted from the log: that one begins at 0 in a resumed run."""

    def __init__(self, patience: int, metric: str, greater_is_better: bool):
        self.patience = patience
        self.metric = metric
        self.greater_is_better = greater_is_better

    def on_evaluate(self, args, state, control, metrics: dict[str, float], **kwargs):
        if math.isnan(metrics[self.metric]):
            raise ValueError(
                f"--metric_for_best_model {self.metric.removeprefix('eval_')} is undefined on validation, as where "
                "all rows have one label; give another metric, or other validation data."
            )
        if self.is_reached(state):
            control.should_training_stop = True

    def is_reached(self, state: TrainerState) -> bool:
        values = [entry[self.metric] for entry in state.log_history if math.isfinite(entry.get(self.metric, math.nan))]
        if not values or not self.patience:
            return False
        best = max(values) if self.greater_is_better else min(values)
        return len(values) - 1 - values.index(best) >= self.patience


class SaveOnSignal(TrainerCallback):
    """
    On SIGTERM, as job schedulers send it before they kill, saves at the end of the step and stops.

    The Trainer takes a stop for the end of an epoch, and would evaluate there: an evaluation that no undisturbed run
    makes, which could choose the checkpoint or end the run early.
    """

    def __init__(self):
        self.received = False
        self._within_epoch = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it, SIGTERM is noted."""
        before = signal.signal(signal.SIGTERM, self._receive)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _receive(self, number, frame) -> None:
        self.received = True

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:  # all processes stop at one step, whichever received the signal
            received = torch.tensor([self.received], dtype=torch.int32, device=args.device)
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
            self.received = bool(received.item())
        if self.received and state.global_step < state.max_steps:
            control.should_training_stop = True
            if args.save_strategy == "epoch" and state.epoch % 1 == 0:
                return  # saved after the evaluation that ends this epoch
            control.should_save = self._within_epoch = True

    def on_epoch_end(self, args, state, control, **kwargs):
        if self._within_epoch:
            control.should_evaluate = control.should_save = False


class UsualPermissions(TrainerCallback):
    """Weights in the Trainer's checkpoints get those of the files next to them; safetensors writes 0600."""

    def on_save(self, args, state, control, **kwargs):
        point = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        for file in point.glob("*.safetensors") if state.is_world_process_zero else ():
            file.chmod((point / "trainer_state.json").stat().st_mode)


class BestCheckpointMoved(TrainerCallback):
    """The best checkpoint so far of a resumed run is looked for where the run's folder is now."""

    def on_train_begin(self, args, state, control, **kwargs):
        if state.best_global_step:
            state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{state.best_global_step}")


class LogToFile(TrainerCallback):
    """Writes all that was logged so far to log.jsonl of the run's folder, an entry a line."""

    def __init__(self, folder: Path):
        self.path = folder / "log.jsonl"

    def on_log(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            # As a whole: a resumed run goes on from a checkpoint, behind which more may have been logged.
            entries = [{name: _json(value) for name, value in entry.items()} for entry in state.log_history]
            lines = [json.dumps(entry) + "\n" for entry in entries]
            write_text(self.path, "".join(lines))


def _json(value: Any) -> Any:
    """JSON has no NaN, which an undefined metric is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
