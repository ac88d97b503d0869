"""Arguments -> the engine that embeds, and what the output says of it."""

from typing import Any

import torch

from dnahub.checkpoints.loading import CheckpointFiles, find_checkpoint, load_checkpoint
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerModel
from dnahub.inference.arguments import EmbedArguments, RunArguments
from dnahub.inference.engine import Engine
from dnahub.inference.processes import Processes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_for_all(args: EmbedArguments, processes: Processes) -> CheckpointFiles:
    """The checkpoint's files, of the commit that the first process found, whatever is pushed meanwhile."""
    revision = args.revision
    if processes.count > 1:
        first = find_checkpoint(args.model, revision, args.allow_pickle) if processes.is_first else None
        revision = processes.from_first(first and first.commit)
        if first is not None:
            return first
    return find_checkpoint(args.model, revision, args.allow_pickle)


def load_engine(files: CheckpointFiles, args: EmbedArguments, run: RunArguments, device: torch.device) -> Engine:
    """
    Load the checkpoint onto the device, for the settings of the run.

    Raises:
        ValueError: If the checkpoint is none of an NT, its weights are damaged, or the settings are out of its range.
    """
    model, tokenizer = load_checkpoint(NucleotideTransformerModel, files)
    engine = Engine(model.to(device, DTYPES[args.dtype]), tokenizer, run.backend, run.batch_tokens)
    engine.plan(["A"], **args.plan_settings)  # says what is out of range before anything is read
    return engine


def deciding(files: CheckpointFiles, weights: str, args: EmbedArguments, run: RunArguments) -> dict[str, Any]:
    """
    What two runs must have in common for the blocks of one to be of use to the other, as JSON has it.

    Args:
        weights: From `dnahub.checkpoints.identity.checkpoint_digest`.
    """
    return {
        "model": files.published_name,
        "weights": weights,
        **args.plan_settings,
        "dtype": args.dtype,
        "output_dtype": run.output_dtype,
    }


def made_by(
    files: CheckpointFiles,
    weights: str,
    args: EmbedArguments,
    run: RunArguments,
    config: NucleotideTransformerConfig,
    backend: str,
) -> dict[str, Any]:
    """What the output says of itself."""
    return {
        "model": files.published_name,
        "revision": files.commit,
        "weights": weights,
        **args.plan_settings,
        "max_length": args.max_length or config.max_tokens,
        "dtype": args.dtype,
        "output_dtype": run.output_dtype,
        "backend": backend,
        "hidden_size": config.hidden_size,
    }
