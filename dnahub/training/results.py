"""Trained model -> what was measured, on what, and with what: the content of metrics.json."""

import os
import platform
import resource
import sys
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import Trainer

from dnahub.checkpoints.licence import inherited_licence
from dnahub.checkpoints.loading import CheckpointFiles, max_tokens
from dnahub.metrics.calibration import calibration
from dnahub.reports.baselines import MAX_ROWS, SELF_TRAINED, measure_baselines
from dnahub.reports.comparison import compare
from dnahub.reports.intervals import Predictions, bootstrap_intervals, num_resamples
from dnahub.reports.predictions import PredictedRows
from dnahub.tasks.task import Labels, RowResults, Task
from dnahub.training.arguments import Arguments, DataArguments
from dnahub.training.crops import Crops, tile
from dnahub.training.dataset import SequenceData
from dnahub.training.sequence_trainer import SequenceTrainer
from dnahub.training.tokens import num_tokens
from dnahub.training.tuning import count_parameters

# What says more of a tuning.
OF_TUNING = {
    "frozen": ("trainable_layers",),
    "lora": ("lora_r", "lora_alpha", "lora_dropout", "lora_targets"),
}
LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "peft")
HYPERPARAMETERS = (
    "learning_rate",
    "lr_scheduler_type",
    "train_sampling_strategy",
    "warmup_steps",
    "weight_decay",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "bf16",
    "fp16",
    "seed",
)


def describe(
    args: Arguments,
    trainer: SequenceTrainer,
    data: SequenceData,
    tokenised: DatasetDict,
    base: CheckpointFiles | None,
    seconds: float,
    resumed_at: int | None,
) -> dict[str, Any]:
    """What is known of a trained model before it is measured, for JSON; to be called by all processes."""
    settings, state = trainer.args.to_dict(), trainer.state
    settings["num_train_epochs" if settings["max_steps"] > 0 else "max_steps"] = None  # the other one counted
    trained, total = count_parameters(trainer.model)
    of_model = vars(args.model) | {"lora_targets": ", ".join(args.model.lora_targets or ()) or None}
    return {
        "task": args.model.task,
        "licence": inherited_licence(base),
        "measured": False,
        "validation": None,
        "test": None,
        "baselines": None,
        "comparison": None,
        "report": None,
        "model": {
            "base": base and base.published_name,
            "revision": base and base.commit,
            "from_scratch": args.model.from_scratch,
            "init": args.model.init,
            "hidden_size": trainer.model.config.hidden_size,
            "max_tokens": max_tokens(trainer.model),
            "type": trainer.model.config.model_type,
            "parameters": total,
            "parameters_trained": trained,
            "label_names": data.labels.names,
            "outputs": data.labels.num_outputs,
        },
        "dataset": {
            "name": data.name,
            "config": data.config,
            "revision": data.commit,
            "filter": args.data.dataset_filter,
            "synthetic": data.build.get("synthetic"),
            "bayes_optimal_accuracy": data.build.get("bayes_optimal_accuracy"),
            "rows": {split: len(rows) for split, rows in data.splits.items() if isinstance(rows, Dataset)},
            "cut_off": data.cut_off,
            "group_column": data.group_column,
            "num_replaced": data.num_replaced,
            "skipped": dict(data.bad.counts),
        },
        "training": {
            "tuning": args.model.tuning,
            **{name: of_model[name] for name in OF_TUNING.get(args.model.tuning, ())},
            **{name: settings[name] for name in HYPERPARAMETERS},
            "class_weights": args.data.class_weights,
            "class_sampling": args.data.class_sampling,
            "mask_fraction": args.data.mask_fraction,
            **_of_crops(tokenised["train"]),
            "max_length": args.data.max_length,
            **_of_windows(args.data, tokenised),
            "sequences_cut": _num_cut(tokenised, args.data, max_tokens(trainer.model)),
            "steps": state.global_step,
            "best_step": best_step(trainer),
            "chosen_by": args.training.metric_for_best_model if best_step(trainer) else None,
            "resumed_at_step": resumed_at,
            "seconds_since_then" if resumed_at else "seconds": round(seconds, 1),
            "tokens_per_second": _tokens_per_second(trainer, tokenised, seconds, resumed_at or 0),
            "peak_memory_mib": _peak_memory_mib(args.training.device),
            "processes": args.training.world_size,
            "hardware": hardware(args.training.device),
            "versions": {name: version(name) for name in LIBRARIES},
        },
    }


def _of_crops(train: Any) -> dict[str, int]:
    if not isinstance(train, Crops):
        return {}
    return {
        "crop_nt": train.crop_nt,
        "crop_step": train.crop_step,
        "windows_per_epoch": len(train),
        "rows_used_whole": train.num_whole,
    }


def best_step(trainer: Trainer) -> int | None:
    """The step whose weights validation chose; None if those of the last step are kept."""
    return trainer.state.best_global_step if trainer.args.load_best_model_at_end else None


def measure_all(
    trainer: Trainer,
    task: Task,
    data: SequenceData,
    tokenised: DatasetDict,
    baselines: bool,
    threshold: float | None,
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """
    Measure the model on validation and, once, on test data, and baselines; to be called by all processes.

    `threshold` is that of two classes; None: 0.5.

    Returns what is added to the results, and the predictions for "validation" and, if there is such a split, "test".
    """
    measured: dict[str, Any] = {"measured": True, "validation": None, "test": None}
    measured |= {"baselines": None, "comparison": None, "baselines_left_out": not baselines}
    predictions = {}
    for split in ("validation", "test"):
        if split in tokenised:
            measured[split], predictions[split] = _measure(trainer, task, data, tokenised, split, threshold)
    if baselines and task.fits_classes is not None and "test" in data.splits and trainer.is_world_process_zero():
        metric, names = trainer.args.metric_for_best_model, data.labels.names
        compared, is_shown = task.compared_by(metric)[0], not trainer.args.disable_tqdm
        rows = data.splits["train"]
        labelled = rows.select(range(len(rows) - data.num_pseudo))
        of_train = {"train": labelled} | ({SELF_TRAINED: rows} if data.num_pseudo else {})
        windows = {split: _windows(each, tokenised["train"]) for split, each in of_train.items()}
        splits = DatasetDict(data.splits | windows)
        of_test = {split: groups for split, groups in data.groups.items() if split == "test"}
        found = measure_baselines(task, splits, data.labels, compared, of_test, is_shown)
        measured["baselines"] = found.scores
        of_test = (measured["test"], predictions["test"])
        measured["comparison"] = compare(task, metric, *of_test, found, names, data.group_column)
    return measured, predictions


def rows_of_split(task: Task, data: SequenceData, split: str, predictions: Predictions) -> PredictedRows:
    groups = data.groups.get(split)
    return PredictedRows(
        data.ids[split].to_pylist(),
        data.group_column,
        None if groups is None else groups.to_pylist(),
        _rows_of(task, predictions, data.labels),
    )


def _rows_of(task: Task, predictions: Predictions, meaning: Labels) -> RowResults | None:
    rows = task.rows_of(predictions.outputs, predictions.labels, meaning)
    if predictions.threshold is None:
        return rows
    return replace(rows, predicted=task.rows_of(predictions.decided, predictions.labels, meaning).predicted)


def _measure(
    trainer: Trainer, task: Task, data: SequenceData, tokenised: DatasetDict, split: str, threshold: float | None
) -> tuple[dict[str, Any], Predictions]:
    rows = task.evaluation_rows(tokenised[split], trainer.processing_class, trainer.args.seed)
    output = trainer.predict(rows, metric_key_prefix=split)
    outputs, labels = output.predictions, output.label_ids
    predictions = Predictions(outputs, labels, data.groups.get(split), threshold)
    measured = task.measure(predictions.decided, labels, data.labels.names)
    metrics = {"loss": output.metrics[f"{split}_loss"], **measured}
    of_rows = _rows_of(task, predictions, data.labels)
    if of_rows and of_rows.probabilities is not None:
        finite = np.isfinite(of_rows.probabilities).all()
        found = calibration(of_rows.probabilities, of_rows.has_label) if finite else {}
        metrics["expected_calibration_error"] = found.get("expected_calibration_error")
    special_ids = trainer.processing_class.all_special_ids
    metrics |= task.references(labels, tokenised["train"], trainer.model.config.vocab_size, special_ids)
    if split == "test" and trainer.is_world_process_zero():
        metrics["intervals"] = bootstrap_intervals(task, predictions, data.labels.names)
        metrics["resamples"] = num_resamples(outputs.size)
    return metrics, predictions


def _windows(rows: Dataset, train: Dataset | Crops) -> Dataset:
    """The rows, or windows of them where the model sees crops, of the same length and in the same frame."""
    return tile(rows, train.crop_nt, train.crop_step, MAX_ROWS)[0] if isinstance(train, Crops) else rows


def _of_windows(args: DataArguments, tokenised: DatasetDict) -> dict[str, Any]:
    if args.long != "windows":
        return {}
    windows = {split: len(rows) for split, rows in tokenised.items() if not isinstance(rows, Crops)}
    return {"long": args.long, "window_nt": args.window_nt, "stride_nt": args.stride_nt, "windows": windows}


def _num_cut(tokenised: DatasetDict, args: DataArguments, limit: int) -> int | None:
    """How many sequences of all splits lost their end."""
    if args.long != "truncate":
        return None
    lengths = [num_tokens(rows) for rows in tokenised.values() if isinstance(rows, Dataset)]
    return sum(int((each > (args.max_length or limit)).sum()) for each in lengths)


def _tokens_per_second(trainer: Trainer, tokenised: DatasetDict, seconds: float, first_step: int) -> int | None:
    """Of training, by the mean length of a row, padding not counted; the time is that of all, evaluations included."""
    args, steps = trainer.args, trainer.state.global_step - first_step
    train = tokenised["train"]
    if not isinstance(train, Dataset | Crops) or not steps:
        return None
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    mean = (
        train.mean_tokens
        if isinstance(train, Crops)
        else float(np.minimum(num_tokens(train), max_tokens(trainer.model)).mean())
    )
    return round(steps * rows * mean / seconds)


def _peak_memory_mib(device: torch.device) -> int:
    """Of this process: of its GPU, or of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() // 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere: getrusage(2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


def hardware(device: torch.device) -> str:
    """Name of the GPU, or the kind of CPU and how many cores it has."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
