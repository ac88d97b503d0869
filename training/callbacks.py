"""What the Trainer tells while it trains -> when it stops before its last step."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState

from training.collators import MaskingCollator
from training.run_folder import write_text

# A run whose evaluations end like this is over: so many in a row that give every row the same answer.
CONSTANT_EVALUATIONS = 2


class CollapseError(ValueError):
    """Training that leads nowhere; the message says what to do."""


class StopOnCollapse(TrainerCallback):
    """
    Stops a training whose loss is no number, or whose model gives the same answer for every validation sequence: in
    two evaluations in a row, or in the last, after a whole epoch.
    """

    def on_log(self, args, state, control, logs: dict[str, Any], **kwargs):
        for name in ("loss", "eval_loss"):
            if not math.isfinite(logs.get(name, 0)):
                raise CollapseError(
                    f"The training diverged: at step {state.global_step} the {name} is {logs[name]}; give a smaller "
                    f"--learning_rate (now {args.learning_rate:g}), longer --warmup_steps, or no --fp16."
                )

    def on_evaluate(self, args, state, control, **kwargs):
        # `on_log` has put this evaluation into the history already, and a resumed run has those before.
        evaluations = [entry for entry in state.log_history if "eval_constant" in entry]
        last = evaluations[-CONSTANT_EVALUATIONS:]
        at_end = state.global_step >= state.max_steps
        enough = len(last) == CONSTANT_EVALUATIONS or at_end
        if enough and last and all(entry["eval_constant"] and entry["epoch"] >= 1 for entry in last):
            raise CollapseError(
                f"The model gives every validation sequence the same answer, at step {state.global_step}; give "
                f"another --learning_rate (now {args.learning_rate:g}), longer --warmup_steps or more epochs, or look "
                "at the labels."
            )


class StopEarly(TrainerCallback):
    """
    Stops after so many evaluations that are no better than the best before them.

    As transformers' EarlyStoppingCallback, but counted from the log: that one begins at 0 again in a resumed run,
    which then would not end as an undisturbed one.
    """

    def __init__(self, patience: int, metric: str, greater_is_better: bool):
        self.patience = patience
        self.metric = metric
        self.greater_is_better = greater_is_better

    def on_evaluate(self, args, state, control, **kwargs):
        if self.is_reached(state):
            control.should_training_stop = True

    def is_reached(self, state: TrainerState) -> bool:
        values = [entry[self.metric] for entry in state.log_history if self.metric in entry]
        if not values or not self.patience:
            return False
        best = max(values) if self.greater_is_better else min(values)
        return len(values) - 1 - values.index(best) >= self.patience


class SaveOnSignal(TrainerCallback):
    """On SIGTERM, as job schedulers send it before they kill, saves at the end of the step and stops."""

    def __init__(self):
        self.received = False
        self._before = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._before = signal.signal(signal.SIGTERM, self._receive)

    def on_train_end(self, args, state, control, **kwargs):
        self.restore()

    def restore(self) -> None:
        """Signals are as they were before."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:  # all stop at one step, whichever was told
            told = torch.tensor([self.received], dtype=torch.int32, device=args.device)
            torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
            self.received = bool(told.item())
        if self.received:
            control.should_save = True
            control.should_training_stop = True

    def _receive(self, number, frame) -> None:
        self.received = True


class LogToFile(TrainerCallback):
    """Writes all that was logged so far to log.jsonl of the run's folder, an entry a line."""

    def __init__(self, folder: Path):
        self.path = folder / "log.jsonl"

    def on_log(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            # As a whole: a resumed run goes on from a checkpoint, behind which more may have been logged.
            lines = [json.dumps(entry) + "\n" for entry in state.log_history]
            write_text(self.path, "".join(lines))


class NewMasksEachEpoch(TrainerCallback):
    """Tells the masking collator which epoch it is."""

    def __init__(self, collator: MaskingCollator):
        self.collator = collator

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.collator.epoch = int(round(state.epoch, 6))  # a resumed run begins within one
