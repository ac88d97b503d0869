"""Trained model -> what was measured, on what, and with what: the content of metrics.json."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from datasets import DatasetDict
from transformers import Trainer

from checkpoints.loading import CheckpointFiles
from probing.baselines import baseline_features
from probing.linear_probe import fit_linear_probe
from training.arguments import DataArguments, ModelArguments
from training.card import inherited_licence
from training.collators import MaskingCollator
from training.dataset import SequenceData
from training.evaluation import METRIC_MODULE, classification_metrics
from training.tokens import num_tokens
from training.tuning import count_parameters

# Rows of train that the k-mer baselines are fitted on at most: 60,000 windows of 60 nt took 5 s of CPU time.
MAX_BASELINE_ROWS = 100_000
# What says more of a tuning.
OF_TUNING = {
    "frozen": ("trainable_layers",),
    "lora": ("lora_r", "lora_alpha", "lora_dropout", "lora_targets"),
}
LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "peft")
HYPERPARAMETERS = (
    "learning_rate",
    "lr_scheduler_type",
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


@dataclass(frozen=True)
class Timing:
    """
    Args:
        seconds: What this process spent on training, evaluations and activations of frozen layers included.
        resumed_at: At which step it took up an interrupted run; None for a whole run.
    """

    seconds: float
    resumed_at: int | None


def collect_results(
    trainer: Trainer,
    model_args: ModelArguments,
    data_args: DataArguments,
    data: SequenceData,
    tokenised: DatasetDict,
    base: CheckpointFiles | None,
    timing: Timing,
) -> dict[str, Any]:
    """
    Measure the model on validation and, once, on test data; to be called by all processes.

    Returns:
        A dictionary that `json.dumps` takes, with the sections `validation`, `test` (`None` without such a split),
        `baselines` (by the first process, for classes and a test split), `model`, `dataset` and `training`. Names in
        it are Hub ids, with the commit as revision, or those of folders, without their places.
    """
    measure = _measure_classification if model_args.task == "classification" else _measure_masked_lm
    args, state = trainer.args, trainer.state
    trained, total = count_parameters(trainer.model)
    return {
        "task": model_args.task,
        "licence": inherited_licence(base),
        "validation": measure(trainer, tokenised, "validation", data.label_names),
        "test": measure(trainer, tokenised, "test", data.label_names) if "test" in tokenised else None,
        "baselines": _measure_baselines(data) if _has_baselines(trainer, model_args, data) else None,
        "model": {
            "base": base and base.published_name,
            "revision": base and base.commit,
            "from_scratch": model_args.from_scratch,
            "hidden_size": trainer.model.config.hidden_size,
            "max_tokens": trainer.model.config.max_tokens,
            "parameters": total,
            "parameters_trained": trained,
            "label_names": data.label_names,
        },
        "dataset": {
            "name": data_args.dataset_name if data.commit else Path(data_args.dataset_name).resolve().name,
            "config": data.splits["train"].info.config_name,
            "revision": data.commit,
            "synthetic": data.build.get("synthetic"),
            "bayes_optimal_accuracy": data.build.get("bayes_optimal_accuracy"),
            "rows": {split: len(rows) for split, rows in data.splits.items()},
        },
        "training": {
            "tuning": model_args.tuning,
            **{name: _plain(vars(model_args)[name]) for name in OF_TUNING.get(model_args.tuning, ())},
            **{name: _plain(args.to_dict()[name]) for name in HYPERPARAMETERS},
            "max_length": data_args.max_length,
            "sequences_cut": _num_cut(tokenised, data_args.max_length),
            "steps": state.global_step,
            "best_step": state.best_global_step,
            "chosen_by": args.metric_for_best_model if state.best_global_step else None,
            "resumed_at_step": timing.resumed_at,
            "seconds_since_then" if timing.resumed_at else "seconds": round(timing.seconds, 1),
            "processes": args.world_size,
            "hardware": _hardware(),
            "versions": {name: version(name) for name in LIBRARIES},
        },
    }


def _measure_classification(
    trainer: Trainer, tokenised: DatasetDict, split: str, label_names: list[str]
) -> dict[str, Any]:
    output = trainer.predict(tokenised[split], metric_key_prefix=split)
    metrics = classification_metrics(output.predictions, output.label_ids, label_names)
    return {"loss": output.metrics[f"{split}_loss"], **metrics}


def _has_baselines(trainer: Trainer, model_args: ModelArguments, data: SequenceData) -> bool:
    return model_args.task == "classification" and "test" in data.splits and trainer.is_world_process_zero()


def _measure_baselines(data: SequenceData) -> dict[str, Any]:
    """What k-mer counts reach on the same test split: `fit_linear_probe` for each of `baseline_features`."""
    rows = dict(data.splits)
    if len(rows["train"]) > MAX_BASELINE_ROWS:
        rows["train"] = rows["train"].shuffle(seed=0).select(range(MAX_BASELINE_ROWS))
    labels = {split: np.array(rows[split]["label"]) for split in ("train", "validation", "test")}
    counts = {split: baseline_features(list(rows[split]["sequence"])) for split in labels}
    metric = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)  # from its path: nothing is fetched
    measured = {}
    for name in counts["train"]:
        fit = fit_linear_probe({split: counts[split][name] for split in labels}, labels)
        scores = metric.compute(predictions=fit.predictions, references=labels["test"], label_names=data.label_names)
        measured[name] = {"rows": len(labels["train"]), "C": fit.C, **scores}
    return measured


def _measure_masked_lm(trainer: Trainer, tokenised: DatasetDict, split: str, _: list[str]) -> dict[str, Any]:
    masking = MaskingCollator(trainer.processing_class, seed=trainer.args.seed)
    metrics = trainer.evaluate(masking.mask_once(tokenised[split]), metric_key_prefix=split)
    loss = metrics[f"{split}_loss"]
    return {
        "loss": loss,
        "perplexity": float(torch.tensor(loss, dtype=torch.float64).exp()),
        "masked_accuracy": metrics[f"{split}_masked_accuracy"],
    }


def _num_cut(tokenised: DatasetDict, max_length: int | None) -> int | None:
    """How many sequences of all splits lost their end."""
    if max_length is None:
        return None
    return sum(int((num_tokens(rows) > max_length).sum()) for rows in tokenised.values())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if not isinstance(value, (int, float, bool, str, type(None))) else value


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
