"""Checkpoint folder -> one commit on the Hub."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import HfApi

from hub_client.publishing import Publication, Target, check_target, publish

# What a card calls the checkpoint that it lies in; on the Hub its name stands there.
THIS_CHECKPOINT = "PATH_OF_THIS_FOLDER"
NEEDED = ("config.json", "tokenizer.json", "metrics.json", "README.md", "pipeline_dna_embedding.py")
# What an earlier checkpoint may have left there that this one lacks: more shards, an adapter, other code.
VARYING = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "*_nucleotide_transformer.py",
    "pipeline_dna_*.py",
)
PUBLISHED = (*NEEDED, *VARYING, "tokenizer_config.json")


def check_model(target: Target, api: HfApi) -> Target:
    """See that one may publish there: `hub_client.publishing.check_target`."""
    return check_target(target, lambda path: path == "pipeline_dna_embedding.py", api)


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """
    The files that make up a finished checkpoint, by their paths in it; anything else in the folder is left out.

    Raises:
        ValueError: If it is not whole.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; give the --output_dir of a run that came to its end.")
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {path: file for path, file in paths.items() if _is_one_of(PUBLISHED, path)}
    missing = [name for name in NEEDED if name not in files]
    missing += [] if any(path.startswith("model") and path.endswith(".safetensors") for path in files) else ["weights"]
    if missing:
        raise ValueError(f"{folder} is no finished checkpoint: there is no {', '.join(missing)} in it.")
    return files


def push_checkpoint(folder: Path, target: Target, api: HfApi) -> Publication:
    """
    One commit of a finished checkpoint; its weights, adapter and code take the place of an earlier one's.

    Args:
        folder: What `checkpoints.saving.save_checkpoint` wrote; it stays as it is.
        target: What `check_model` returned.
        api: Who publishes, and on which Hub.

    Raises:
        ValueError: If the folder is no finished checkpoint, or the Hub finds its card wrong.
        HubError: If the Hub refuses or does not answer; the branch stands as before.
    """
    files = checkpoint_files(folder)
    card = files["README.md"].read_text(encoding="utf-8").replace(THIS_CHECKPOINT, target.repo_id)
    return publish(target, lambda _: {**files, "README.md": card.encode()}, _varies, "Checkpoint", api)


def _varies(path: str) -> bool:
    return _is_one_of(VARYING, path)


def _is_one_of(patterns: Sequence[str], path: str) -> bool:
    """As fnmatch, but * stands for no /."""
    return any(path.count("/") == pattern.count("/") and fnmatchcase(path, pattern) for pattern in patterns)
