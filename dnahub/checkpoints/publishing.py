"""Checkpoint folder -> one commit on the Hub."""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import HfApi

from dnahub.hub.downloading import download
from dnahub.hub.faults import HubError
from dnahub.hub.publishing import Publication, Target, check_target, publish
from dnahub.hub_code import NucleotideTransformerConfig

# What a card calls the checkpoint that it lies in; on the Hub its name stands there.
THIS_CHECKPOINT = "PATH_OF_THIS_FOLDER"
METRICS = "metrics.json"
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", METRICS, "README.md")
NEEDED_BY_NT = ("pipeline_dna_embedding.py",)
# What an earlier checkpoint may have left there that this one lacks: more shards, an adapter, other code.
VARYING = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "*_nucleotide_transformer.py",
    "pipeline_dna_*.py",
)
PUBLISHED = (*NEEDED, *VARYING)


def check_model(target: Target, api: HfApi) -> Target:
    """
    Check that one may publish there, before the training: `dnahub.hub.publishing.check_target`.

    Raises:
        HubError: If one may not, or the repository contains a model that `train.py` did not make.
    """
    target = check_target(target, lambda path: path == METRICS, api)
    if target.commit is not None:
        folder, _ = download(target.repo_id, "model", target.commit, (METRICS,), api=api)
        if (folder / METRICS).exists() and not _is_ours((folder / METRICS).read_bytes()):
            raise HubError(
                f"{target.repo_id} already contains a model that train.py did not make ({METRICS} is not one of its); "
                "name another repository, or delete it on the Hub."
            )
    return target


def _is_ours(metrics: bytes) -> bool:
    """Other projects publish a metrics.json, too; ours has these sections."""
    try:
        found = json.loads(metrics)
    except ValueError:
        return False
    return isinstance(found, dict) and {"task", "licence", "model", "training"} <= found.keys()


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
    needed = NEEDED
    if "config.json" in files:
        model_type = json.loads(files["config.json"].read_bytes()).get("model_type")
        needed += NEEDED_BY_NT if model_type == NucleotideTransformerConfig.model_type else ()
    missing = [name for name in needed if name not in files]
    missing += [] if any(path.startswith("model") and path.endswith(".safetensors") for path in files) else ["weights"]
    if missing:
        raise ValueError(f"{folder} is no finished checkpoint: there is no {', '.join(missing)} in it.")
    if json.loads(files[METRICS].read_text(encoding="utf-8")).get("measured") is False:
        raise ValueError(f"{folder} is not evaluated yet; the command that trained it does so when it is given again.")
    return files


def push_checkpoint(folder: Path, target: Target, api: HfApi) -> Publication:
    """
    One commit of a finished checkpoint; its weights, adapter and code take the place of an earlier one's.

    Args:
        folder: What `dnahub.checkpoints.saving.save_checkpoint` wrote; it stays as it is.
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
