"""Trained model -> what was measured, on what, and with what: the content of metrics.json."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from training.arguments import DataArguments, ModelArguments
from training.card import inherited_licence
from training.collators import MaskingCollator
from training.dataset import SequenceData
from training.evaluation import classification_metrics
from training.run_folder import CHECKPOINT
from training.tuning import count_parameters

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


def collect_results(
    trainer: Trainer, model_args: ModelArguments, data_args: DataArguments, data: SequenceData
) -> dict[str, Any]:
    """
    Measure the model on validation and, once, on test data; to be called by all processes.

    Returns:
        A dictionary that `json.dumps` takes, with the sections `validation`, `test` (`None` without such a split),
        `model`, `dataset` and `training`.
    """
    measure = _measure_classification if model_args.task == "classification" else _measure_masked_lm
    args, state = trainer.args, trainer.state
    trained, total = count_parameters(trainer.model)
    return {
        "task": model_args.task,
        "repo_id": args.hub_model_id or str(Path(args.output_dir) / CHECKPOINT),
        "licence": inherited_licence(model_args.model_name_or_path, model_args.model_revision),
        "validation": measure(trainer, data, "validation", data_args.max_length),
        "test": measure(trainer, data, "test", data_args.max_length) if "test" in data.splits else None,
        "model": {
            "base": model_args.model_name_or_path,
            "revision": model_args.model_revision,
            "from_scratch": model_args.from_scratch,
            "hidden_size": trainer.model.config.hidden_size,
            "max_tokens": trainer.model.config.max_tokens,
            "parameters": total,
            "parameters_trained": trained,
            "label_names": data.label_names,
        },
        "dataset": {
            "name": data_args.dataset_name,
            "config": data_args.dataset_config_name,
            "revision": data_args.dataset_revision,
            "synthetic": data.build.get("synthetic"),
            "bayes_optimal_accuracy": data.build.get("bayes_optimal_accuracy"),
            "rows": {split: len(rows) for split, rows in data.splits.items()},
        },
        "training": {
            "tuning": model_args.tuning,
            **({"lora_r": model_args.lora_r, "lora_alpha": model_args.lora_alpha} if _is_lora(model_args) else {}),
            **{name: _plain(args.to_dict()[name]) for name in HYPERPARAMETERS},
            "max_length": data_args.max_length,
            "steps": state.global_step,
            "best_step": state.best_global_step,
            "chosen_by": args.metric_for_best_model if state.best_global_step else None,
            "seconds": next((entry["train_runtime"] for entry in state.log_history if "train_runtime" in entry), None),
            "processes": args.world_size,
            "hardware": _hardware(),
            "versions": {name: version(name) for name in LIBRARIES},
        },
    }


def _measure_classification(
    trainer: Trainer, data: SequenceData, split: str, max_length: int | None
) -> dict[str, Any]:
    output = trainer.predict(data.splits[split], metric_key_prefix=split)
    metrics = classification_metrics(output.predictions, output.label_ids, data.label_names)
    return {"loss": output.metrics[f"{split}_loss"], **metrics}


def _measure_masked_lm(trainer: Trainer, data: SequenceData, split: str, max_length: int | None) -> dict[str, Any]:
    masking = MaskingCollator(trainer.processing_class, max_length, seed=trainer.args.seed)
    metrics = trainer.evaluate(masking.mask_once(data.splits[split]), metric_key_prefix=split)
    loss = metrics[f"{split}_loss"]
    return {
        "loss": loss,
        "perplexity": float(torch.tensor(loss, dtype=torch.float64).exp()),
        "masked_accuracy": metrics[f"{split}_masked_accuracy"],
    }


def _is_lora(model_args: ModelArguments) -> bool:
    return model_args.tuning == "lora"


def _plain(value: Any) -> Any:
    return str(value) if not isinstance(value, (int, float, bool, str, type(None))) else value


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
