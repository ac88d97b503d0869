"""Arguments -> the engine, and a record of what decides and describes the embeddings."""

from pathlib import Path
from typing import Any

import torch

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import find_checkpoint, load_checkpoint
from dnahub.hub_code import NucleotideTransformerModel
from dnahub.inference.arguments import EmbedArguments, OutputArguments
from dnahub.inference.engine import Engine
from dnahub.sequences.arguments import InputArguments

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_engine(args: EmbedArguments, output: OutputArguments, device: torch.device) -> tuple[Engine, dict[str, Any]]:
    """The engine on this device, and all settings that decide the vectors; parts of others are never mixed."""
    files = find_checkpoint(args.model_name_or_path, args.model_revision, args.allow_pickle)
    model, tokenizer = load_checkpoint(NucleotideTransformerModel, files)
    engine = Engine(model.to(device, DTYPES[args.dtype]), tokenizer, output.backend, output.batch_tokens)
    engine.plan(["A"], **args.plan_settings)  # finds settings out of range before anything is read
    settings = {
        "model": files.published_name,
        "revision": files.commit,
        "weights": checkpoint_digest(files),
        **args.plan_settings,
        "max_length": args.max_length or model.config.max_tokens,
        "dtype": args.dtype,
        "output_dtype": output.output_dtype,
        "hidden_size": model.config.hidden_size,
    }
    return engine, settings


def data_set(inputs: InputArguments, commit: str | None) -> dict[str, str | None]:
    """What the output says of the data set that it was made from; nothing for files."""
    if not inputs.dataset_name:
        return {}
    return {
        "dataset_name": inputs.dataset_name if commit else Path(inputs.dataset_name).resolve().name,
        "dataset_config_name": inputs.dataset_config_name,
        "dataset_split": inputs.dataset_split,
        "dataset_revision": commit,
    }
