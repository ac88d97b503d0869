"""One run: data set and base model -> trained, saved, measured checkpoint."""

import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, TrainerState

from dnahub.checkpoints.loading import CheckpointFiles, load_saved
from dnahub.checkpoints.publishing import REPORT
from dnahub.checkpoints.saving import save_checkpoint, write_results
from dnahub.machine.processes import from_first
from dnahub.machine.script import Stopped
from dnahub.machine.text import printable
from dnahub.reports.card import render_card
from dnahub.reports.learning_curve import draw_learning_curve
from dnahub.reports.predictions import PREDICTIONS, write_predictions
from dnahub.tasks import TASKS
from dnahub.training import tuning
from dnahub.training.arguments import Arguments
from dnahub.training.calibration import calibrate
from dnahub.training.callbacks import (
    BestCheckpointMoved,
    DivergenceError,
    LogToFile,
    SaveOnSignal,
    StopEarly,
    StopOnDivergence,
    UsualPermissions,
)
from dnahub.training.crops import Crops
from dnahub.training.dataset import SequenceData
from dnahub.training.results import best_step, describe, measure_all, rows_of_split
from dnahub.training.run_folder import CHECKPOINT, begin, is_done, read_results, resume_point
from dnahub.training.sequence_trainer import SequenceTrainer, check_best, check_point
from dnahub.training.trainer import build_trainer, training_context, whole_model

LEARNING_CURVE = "learning_curve.png"


def train_once(
    args: Arguments,
    data: SequenceData,
    base: CheckpointFiles | None,
    record: dict[str, Any],
    extra: dict[str, Any],
) -> dict[str, Any]:
    """
    Train, save and measure one model, or resume it; a finished one is left as it is. Returns the results.

    The checkpoint is complete on disk before anything is measured: whatever happens then, the same command measures
    what was saved. `record` is what the run is begun with, `extra` are sections of the results. Raises ValueError if
    the training diverges, and Stopped if SIGTERM came.
    """
    folder = Path(args.training.output_dir)
    results = from_first(lambda: read_results(folder))
    if is_done(results, args):
        return results
    task = TASKS[args.model.task]
    trainer, tokenised = build_trainer(args.model, args.data, args.training, data, base)
    first = trainer.is_world_process_zero()
    if results:
        _measure_with(trainer, load_saved(folder / CHECKPOINT, task.head))
        if first:
            print(f"measuring what was saved in {folder / CHECKPOINT}")
    else:
        if first:
            begin(folder, record)
            print("parameters: {:,} trained, {:,} in all".format(*tuning.count_parameters(trainer.model)))
            rows, crops = data.splits["train"], tokenised["train"]
            note = task.note_on_labels(rows) if isinstance(rows, Dataset) else None
            for text in (note, crops.note() if isinstance(crops, Crops) else None):
                if text:
                    print(f"note: {printable(text)}", file=sys.stderr)
        seconds, resumed_at = train(trainer, args)
        results = describe(args, trainer, data, tokenised, base, seconds, resumed_at) | extra
        results["training"] |= calibrate(trainer, task, data.labels)
        save(trainer, whole_model(trainer, args, data, base), results, folder)
    threshold = results["training"]["decision_threshold"]
    measured, predictions = measure_all(trainer, task, data, tokenised, args.run.baselines, threshold)
    results |= measured
    if not math.isfinite(results["validation"]["loss"]):
        raise DivergenceError("The validation loss is NaN or infinite; give a smaller --learning_rate, or no --fp16.")
    if first:
        rows = {split: rows_of_split(task, data, split, each) for split, each in predictions.items()}
        if all(each.of_rows for each in rows.values()):
            write_predictions(rows, data.labels, folder / PREDICTIONS)
        write_results(folder / CHECKPOINT, results, render_card(results))
        if args.run.report:
            from dnahub.training.report import write_report_of_run  # here, for loading bokeh takes a second

            write_report_of_run(args, data, base, tokenised, results, rows, trainer.windows, folder)
            results["report"] = REPORT
            write_results(folder / CHECKPOINT, results, render_card(results))
    return results


def train(trainer: SequenceTrainer, args: Arguments) -> tuple[float, int | None]:
    """Train to the end, or resume; returns the seconds of this process and the step at which it resumed, if so."""
    folder, keeps_best = Path(args.training.output_dir), args.training.load_best_model_at_end
    # The first process removes what was cut off, before the others look.
    point = from_first(lambda: resume_point(folder))
    # Read now, for the checkpoint is removed when there are later ones.
    state = TrainerState.load_from_json(str(point / "trainer_state.json")) if point else None
    started = time.perf_counter()
    on_signal = SaveOnSignal()
    early = StopEarly(
        args.trainer.early_stopping_patience,
        f"eval_{args.training.metric_for_best_model}",
        args.training.greater_is_better,
    )
    others = (StopOnDivergence(), UsualPermissions(), BestCheckpointMoved(), *[early] * keeps_best)
    for callback in (LogToFile(folder), on_signal, *others):
        trainer.add_callback(callback)
    if state:
        if trainer.is_world_process_zero():
            print(f"going on from {point}")
        check_point(trainer, point)
        best = folder / f"checkpoint-{state.best_global_step}" if keeps_best and state.best_global_step else None
        if best:
            check_best(trainer, best)
        if state.global_step >= state.max_steps or (keeps_best and early.is_reached(state)):
            # It was cut off after its last step, and `train` would make a further one. Private: transformers has no
            # other way to read a Trainer's checkpoint, whole, sharded or of an adapter.
            trainer._load_from_checkpoint(str(best or point))
            trainer.state = state
            return time.perf_counter() - started, state.global_step
    with training_context(trainer, args.model), on_signal.listening():
        trainer.train(resume_from_checkpoint=point and str(point))
    if on_signal.received and trainer.state.global_step < trainer.state.max_steps:
        raise Stopped(f"stopped by SIGTERM at step {trainer.state.global_step}, which is saved")
    return time.perf_counter() - started, state and state.global_step


def save(
    trainer: SequenceTrainer, model: PreTrainedModel | PeftModel | None, results: dict[str, Any], folder: Path
) -> None:
    """
    Draw the learning curve, write the checkpoint and give it to the trainer; `model` is whole, on the first process.
    """

    def write() -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            raise DivergenceError("The training diverged: its weights are not finite; give a smaller --learning_rate.")
        metric, best = trainer.args.metric_for_best_model, best_step(trainer)
        draw_learning_curve(trainer.state.log_history, metric, best, folder / LEARNING_CURVE)
        for name in ("decision_threshold", "window_nt", "stride_nt"):
            setattr(model.config, name, results["training"].get(name))
        saved = save_checkpoint(folder / CHECKPOINT, model, trainer.processing_class, results, render_card(results))
        if model is trainer.accelerator.unwrap_model(trainer.model) and saved is not model:
            _measure_with(trainer, saved)  # an adapter was merged in place

    from_first(write)


def _measure_with(trainer: SequenceTrainer, model: PreTrainedModel) -> None:
    """Evaluate another model than the one that the trainer was made with."""
    trainer.accelerator.free_memory()  # or it would take the other for prepared
    trainer.is_deepspeed_enabled = trainer.is_fsdp_enabled = False  # the model is whole
    trainer.model = trainer.model_wrapped = model.to(trainer.args.device)
