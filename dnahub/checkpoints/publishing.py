"""Checkpoint folder -> one commit on the Hub."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import HfApi
from safetensors import SafetensorError, safe_open

from dnahub.hub.publishing import Publication, Target, check_target, publish

# What a card calls its own checkpoint; replaced by the repository's name on the Hub.
THIS_CHECKPOINT = "PATH_OF_THIS_FOLDER"
METRICS = "metrics.json"
SINGLE = {"model.safetensors"}  # weights that are not in shards
ADAPTER = "adapter/adapter_config.json"
REPORT = "report/report.html"
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json", METRICS, "README.md")
# Files that only some checkpoints have: shards, adapter, code, report. A push deletes those that it does not replace.
VARYING = (
    "model*.safetensors",
    "model.safetensors.index.json",
    REPORT,
    ADAPTER,
    "adapter/adapter_model.safetensors",
    "*_nucleotide_transformer.py",
    "pipeline_dna_*.py",
    "handler.py",
)


def check_model(target: Target, api: HfApi) -> Target:
    """Check, before the training, that the user may publish there and that train.py made the model there, if any."""
    return check_target(target, (METRICS,), _is_ours, api)


def _is_ours(folder: Path) -> bool:
    """Other projects publish a metrics.json, too; ours names its task and has a section on the training."""
    try:
        found = json.loads((folder / METRICS).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"task", "training"} <= found.keys()


def checkpoint_files(folder: Path, measured: bool = True) -> dict[str, Path]:
    """The files of a finished checkpoint, by their paths in it; ValueError if it is damaged, or not `measured`."""
    found = [path for pattern in (*NEEDED, *VARYING) for path in folder.glob(pattern)]
    files = {path.relative_to(folder).as_posix(): path for path in found}
    missing = [name for name in NEEDED if name not in files]
    weights = {path.name for path in folder.glob("model*.safetensors")}
    index = files.get("model.safetensors.index.json")
    missing += sorted((set(json.loads(index.read_bytes())["weight_map"].values()) if index else SINGLE) - weights)
    if missing:
        raise ValueError(
            f"{folder} is not a finished checkpoint: {', '.join(missing)} is missing; give the --output_dir of a "
            "finished run."
        )
    for path in files.values():
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".safetensors":
                with safe_open(path, "pt"):
                    pass
        except (ValueError, SafetensorError) as error:
            raise ValueError(f"{path} is damaged: {error}; run the command that trained it again.") from error
    if measured and json.loads(files[METRICS].read_bytes()).get("measured") is False:
        raise ValueError(f"{folder} was not evaluated; run the command that trained it again.")
    return files


def push_checkpoint(folder: Path, target: Target, api: HfApi) -> Publication:
    """
    Publish what `save_checkpoint` wrote as one commit; weights, adapter and code replace those of an earlier one.

    Raises:
        ValueError: If the folder is not a finished checkpoint, or the Hub rejects its card.
        HubError: If the Hub refuses or does not answer; the branch is unchanged.
    """
    files = checkpoint_files(folder)
    card = files["README.md"].read_text(encoding="utf-8").replace(THIS_CHECKPOINT, target.repo_id)
    published = {**files, "README.md": card.encode()}
    if ADAPTER in files:
        adapter = json.loads(files[ADAPTER].read_text(encoding="utf-8"))
        if (base := Path(adapter["base_model_name_or_path"])).is_absolute():  # the place of a folder is private
            published[ADAPTER] = json.dumps(adapter | {"base_model_name_or_path": base.name}, indent=2).encode()
    return publish(target, lambda _: published, _varies, "Checkpoint", api)


def _varies(path: str) -> bool:
    """As fnmatch, but * does not match /."""
    return any(path.count("/") == pattern.count("/") and fnmatchcase(path, pattern) for pattern in VARYING)
