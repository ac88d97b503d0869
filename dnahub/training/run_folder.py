"""Output folder -> whose run it is, and where it resumes if it was interrupted."""

import hashlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, metadata_load
from transformers import TrainerState

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import find_checkpoint
from dnahub.hub.downloading import download
from dnahub.machine.files import write_text
from dnahub.machine.locks import locked_folder
from dnahub.machine.processes import from_first
from dnahub.machine.script import is_first_process
from dnahub.training.arguments import Arguments, deciding
from dnahub.training.results import LIBRARIES, hardware

CHECKPOINT = "checkpoint"  # the finished one; the Trainer's own, to resume from, are `checkpoint-STEP`
RECORD = "run.json"  # what the run was begun with
DIGITS = 16  # of a digest: 64 bits, and two files are alike by chance once in 10^19
# What a run leaves behind, so that another one is not begun on top of it.
SAVED = r"checkpoint(-\d+)?|seed-\d+|search\.json"


@contextmanager
def opened(
    folder: Path, args: Arguments, command: Sequence[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]]:
    """
    Within it, no other process works in the folder of a run that is not finished.

    Args:
        folder: The run's folder, made if it is not there.
        args: The flags.
        command: The command line.

    Yields:
        The record of this run for `begin`; the record of the interrupted run that it resumes, if any; and what
        `read_results` gives.

    Raises:
        ValueError: If the folder is a file, or holds another run, or another process works there.
    """
    with ExitStack() as stack:

        def look() -> list[Any]:
            arguments = identity(args)
            begun = find_run(folder, arguments)
            if not is_finished(read_results(folder)):
                stack.enter_context(locked_folder(folder, "train.py"))
                begun = find_run(folder, arguments)  # another process may have ended meanwhile
            return [arguments, begun, read_results(folder)]

        arguments, begun, results = from_first(look)
        environment = {
            "command": shlex.join(["train.py", *command]),
            "python": sys.version.split()[0],
            "versions": {name: version(name) for name in LIBRARIES},
            "hardware": hardware(),
        }
        if begun and not is_finished(results):
            _note_versions(begun["environment"]["versions"], environment["versions"])
        yield {"arguments": arguments, "environment": environment}, begun, results


def identity(args: Arguments) -> dict[str, Any]:
    """All that decides the result of a run, by name: it resumes, and its result stands, only if all is the same."""
    data, training = args.data, args.training
    files = [name for each in (data.train_file, data.validation_file, data.test_file) for name in each or ()]
    found = deciding(args) | contents(files or [data.dataset_name])
    found |= {"processes": training.world_size, "bf16": training.bf16, "fp16": training.fp16}
    base = args.model.model_name_or_path
    if base and Path(base).is_dir():  # for the Hub, a commit says it
        files = find_checkpoint(base, args.model.model_revision, args.model.allow_pickle)
        found["content of the base model"] = checkpoint_digest(files)
    return json.loads(json.dumps(found))


def find_run(folder: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """
    What the run in a folder was begun with, if it is this one.

    Args:
        folder: The run's folder.
        arguments: From `identity`.

    Returns:
        What `begin` wrote; None for a new run, or if another has saved nothing yet.

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
            f"{folder} contains {', '.join(saved[:3])} of another run but no {RECORD}; give another --output_dir."
        )
    before = found["arguments"]
    differing = sorted(name for name in arguments.keys() | before.keys() if arguments.get(name) != before.get(name))
    if differing:
        told = ", ".join(f"{name} {_shown(before.get(name))}, not {_shown(arguments.get(name))}" for name in differing)
        raise ValueError(
            f"{folder} contains a run that was begun with {told}; give another --output_dir, or the same flags to "
            "resume it."
        )
    return found


def begin(folder: Path, record: dict[str, Any]) -> None:
    """
    Write down what a run is begun with, once; a resumed run keeps its record.

    Args:
        folder: The run's folder, made if it is not there.
        record: "arguments", "environment", and "commits" of data set and base model.
    """
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        found = _read(folder / RECORD)
        if not isinstance(found, dict) or found["arguments"] != record["arguments"]:
            write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def commits(args: Arguments, begun: dict[str, Any] | None, api: HfApi) -> dict[str, str | None]:
    """
    The commits on the Hub of data set and base model, the same for all processes.

    Args:
        begun: The record of the run that is resumed, whose commits stay; None for a new run.

    Returns:
        "dataset" and "model" -> the commit; for a folder the revision that was given, which is refused later.
    """

    def resolved(name: str | None, kind: str, revision: str | None) -> str | None:
        if not name or Path(name).is_dir():
            return revision
        known = begun["commits"].get(kind) if begun else None
        return known or download(name, kind, revision, ("README.md",), api=api)[1]

    data, model = args.data, args.model
    return from_first(
        lambda: {
            "dataset": resolved(data.dataset_name, "dataset", data.dataset_revision),
            "model": resolved(model.model_name_or_path, "model", model.model_revision),
        }
    )


def contents(names: Iterable[str]) -> dict[str, str]:
    """
    Digests of a run's data, by which changed files are recognised.

    Args:
        names: Files and folders. In a folder, hidden files and texts do not count, but the metadata of README.md that
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
    What is known of a run's checkpoint and, if it was `measured`, its scores; None if there is no checkpoint yet, or
    it was damaged since.
    """
    checkpoint = folder / CHECKPOINT
    if not (checkpoint / "config.json").is_file() or not any(checkpoint.glob("*.safetensors")):
        return None
    return _read(checkpoint / "metrics.json")


def is_finished(results: dict[str, Any] | None) -> bool:
    """Whether these results of `read_results` are complete."""
    return bool(results and results.get("measured"))


def resume_point(folder: Path) -> Path | None:
    """
    The last complete checkpoint of an interrupted run, or None; one that was cut off while it was written is removed:
    its state, which is written last, is missing or cut off.
    """
    complete = {}
    for path in folder.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        state = _read(path / "trainer_state.json")
        if step.isdecimal() and isinstance(state, dict) and state.get("global_step") == int(step):
            complete[int(step)] = path
        elif step.isdecimal():
            print(f"{path} was cut off while it was written, and is skipped")
            shutil.rmtree(path)
    return complete[max(complete)] if complete else None


def state_at(point: Path) -> TrainerState:
    """What the Trainer wrote when it saved that checkpoint; the folder may have been moved since."""
    state = TrainerState.load_from_json(str(point / "trainer_state.json"))
    if state.best_model_checkpoint:
        state.best_model_checkpoint = str(point.parent / Path(state.best_model_checkpoint).name)
    return state


def _note_versions(before: dict[str, str], now: dict[str, str]) -> None:
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed and is_first_process():
        print(
            f"note: the run was begun with {', '.join(changed)}; an undisturbed run may differ in the last digits",
            file=sys.stderr,
        )


def _shown(value: Any) -> str:
    """A value as the user gives it."""
    if value is None:
        return "(not given)"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: cut off by a kill
        return None
