"""Output folder -> whose run it is, and where that goes on, if it was interrupted."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load
from transformers import TrainerState

from dnahub.machine.files import write_text

CHECKPOINT = "checkpoint"  # the finished one; the Trainer's own, to resume from, are `checkpoint-STEP` beside it
RECORD = "run.json"  # what the run was begun with
DIGITS = 16  # of a digest: 64 bits, and two files are alike by chance once in 10^19
# What a run is not begun over.
SAVED = r"checkpoint(-\d+)?|seed-\d+|search\.(json|db)"
# Arguments that may be others when a run goes on: where it is, what is shown, kept and published, and the machine's.
NOT_DECIDING = (
    "output_dir|baselines|per_device_eval_batch_size|eval_accumulation_steps|logging_.*|log_level.*|log_on_each_node|report_to|run_name|project|trackio_.*|disable_tqdm|push_.*|hub_.*"
    "|save_total_limit|dataloader_(num_workers|pin_memory|prefetch_factor|persistent_workers)|use_cpu|local_rank|ddp_.*"
)


def find_run(folder: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """
    What a run in that folder was begun with, if it is this one.

    Args:
        folder: The run's folder.
        arguments: All that decides of the result, by name: `deciding`.

    Returns:
        What `begin` wrote; None for a new run, and where another has saved nothing yet.

    Raises:
        ValueError: If the folder is a file, or holds what another run has saved.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output_dir {folder} is a file; name a folder.")
    found = _read(folder / RECORD)
    saved = sorted(path.name for path in folder.glob("*") if re.fullmatch(SAVED, path.name))
    if not saved:
        return None
    if not isinstance(found, dict):
        raise ValueError(
            f"{folder} holds {', '.join(saved[:3])} of another run, and no {RECORD}; name another --output_dir."
        )
    before = found["arguments"]
    differing = sorted(name for name in arguments.keys() | before.keys() if arguments.get(name) != before.get(name))
    if differing:
        told = ", ".join(f"{name} {before.get(name)!r}, not {arguments.get(name)!r}" for name in differing)
        raise ValueError(
            f"{folder} holds a run that was begun with {told}; name another --output_dir, or give the same arguments "
            "to go on with it."
        )
    return found


def begin(folder: Path, record: dict[str, Any]) -> None:
    """
    Note down what a run is begun with; of one that goes on, the old note stays.

    Args:
        folder: The run's folder, made if it is not there.
        record: "arguments", "environment", and "commits" of data set and base model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _read(folder / RECORD)
    if not isinstance(found, dict) or found["arguments"] != record["arguments"]:
        write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def deciding(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Of all arguments those that decide of the result, as JSON has them."""
    values = {name: value for part in parts for name, value in part.items()}
    kept = {name: value for name, value in values.items() if not re.fullmatch(NOT_DECIDING, name)}
    return json.loads(json.dumps(kept, default=str))


def contents(names: Iterable[str]) -> dict[str, str]:
    """
    Digests of a run's data, by which changed files are recognised.

    Args:
        names: Files and folders. Of a folder, hidden files and texts do not count, but the metadata of README.md that
            define splits and columns do.
    """
    found = {}
    for name in names:
        path = Path(name)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inside = file.relative_to(path).parts if path.is_dir() else ()
            if not file.is_file() or any(part.startswith(".") for part in inside):
                continue
            if file.name == "README.md":
                metadata = metadata_load(file) or {}
                content = [metadata.get(key) for key in ("configs", "dataset_info")]
                digest = hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()
            elif file.suffix == ".md":
                continue
            else:
                with file.open("rb") as binary:
                    digest = hashlib.file_digest(binary, "sha256").hexdigest()
            found[f"content of {file}"] = f"sha256 {digest[:DIGITS]}"
    return found


def read_results(folder: Path) -> dict[str, Any] | None:
    """
    What is known of a run's checkpoint, and, where that says that it was `measured`, all that was measured; None if
    there is no checkpoint yet, or it was damaged since.
    """
    checkpoint = folder / CHECKPOINT
    if not (checkpoint / "config.json").is_file() or not any(checkpoint.glob("*.safetensors")):
        return None
    return _read(checkpoint / "metrics.json")


def is_finished(results: dict[str, Any] | None) -> bool:
    """Whether these results of `read_results` are all that there will be."""
    return bool(results and results.get("measured"))


def resume_point(folder: Path) -> Path | None:
    """
    The last whole checkpoint of an interrupted run, None if there is none; one that was cut off while it was written
    is removed: it lacks the state, which is written at its end, or that is cut off.
    """
    whole = {}
    for path in folder.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        state = _read(path / "trainer_state.json")
        if step.isdecimal() and isinstance(state, dict) and state.get("global_step") == int(step):
            whole[int(step)] = path
        elif step.isdecimal():
            print(f"{path} was cut off while it was written, and is passed over")
            shutil.rmtree(path)
    return whole[max(whole)] if whole else None


def state_at(point: Path) -> TrainerState:
    """What the Trainer noted when it saved that checkpoint; the folder may have been moved since."""
    state = TrainerState.load_from_json(str(point / "trainer_state.json"))
    if state.best_model_checkpoint:
        state.best_model_checkpoint = str(point.parent / Path(state.best_model_checkpoint).name)
    return state


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: cut off by a kill
        return None
