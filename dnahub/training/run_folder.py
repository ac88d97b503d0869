"""Output folder -> whose run it is, and where it resumes if it was interrupted."""

import hashlib
import io
import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import HfApi, metadata_load

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import find_checkpoint
from dnahub.checkpoints.publishing import METRICS, checkpoint_files
from dnahub.hub.downloading import download
from dnahub.machine.files import check_folder_name, remove_scratch, write_text
from dnahub.machine.locks import locked_folder
from dnahub.machine.processes import from_first
from dnahub.machine.script import is_first_process
from dnahub.sequences.opening import STANDARD_INPUT
from dnahub.training.arguments import Arguments, deciding
from dnahub.training.results import LIBRARIES, hardware

CHECKPOINT = "checkpoint"  # the finished one; the Trainer's own, to resume from, are `checkpoint-STEP`
RECORD = "run.json"  # what the run was begun with
SKIPPED = "skipped.tsv"  # the bad records that were left out
DIGITS = 16  # of a digest: 64 bits, and two files are alike by chance once in 10^19
# What a run leaves behind, so that another one is not begun on top of it.
SAVED = r"checkpoint(-\d+)?|seed-\d+|search\.json"
WRITTEN = ("", "seed-*/", "checkpoint/**/", "seed-*/checkpoint/**/")  # where files are replaced as a whole


@contextmanager
def opened(
    folder: Path, args: Arguments, command: Sequence[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]]:
    """
    Within it, no other process works in the folder of a run that is not finished; ValueError if one does.

    Yields the record of this run for `begin`; that of the interrupted run that it resumes, if any; and `read_results`.
    """
    with ExitStack() as stack:

        def look() -> list[Any]:
            arguments = identity(args)
            begun = find_run(folder, arguments)
            if not is_done(read_results(folder), args):
                stack.enter_context(locked_folder(folder, "train.py"))
                remove_scratch(folder, WRITTEN)
            return [arguments, begun, read_results(folder)]

        arguments, begun, results = from_first(look)
        environment = {
            "command": shlex.join(["train.py", *command]),
            "python": sys.version.split()[0],
            "versions": {name: version(name) for name in LIBRARIES},
            "hardware": hardware(args.training.device),
        }
        before = begun["environment"]["versions"] if begun and not is_finished(results) else environment["versions"]
        if before != environment["versions"] and is_first_process():
            names = ", ".join(f"{name} {number}" for name, number in before.items())
            print(f"note: the run was begun with {names}; its last digits may differ now", file=sys.stderr)
        yield {"arguments": arguments, "environment": environment}, begun, results


def identity(args: Arguments) -> dict[str, Any]:
    """All that decides the result of a run, by name: it resumes, and its result stands, only if all is the same."""
    data, training = args.data, args.training
    files = [name for each in (data.train_file, data.validation_file, data.test_file) for name in each or ()]
    found = deciding(args) | contents([*(files or [data.dataset_name]), *(data.unlabelled_file or ())])
    found |= {"processes": training.world_size, "bf16": training.bf16, "fp16": training.fp16}
    base = args.model.model_name_or_path
    if base and Path(base).is_dir():  # for the Hub, a commit says it
        files = find_checkpoint(base, args.model.model_revision, args.model.allow_pickle)
        found["content of the base model"] = checkpoint_digest(files)
    return json.loads(json.dumps(found))


def find_run(folder: Path, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The record of the run in a folder, None if nothing is saved there yet; ValueError if it is another run."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output_dir {folder} is a file; name a folder.")
    check_folder_name(folder)
    saved = sorted(path.name for path in folder.glob("*") if re.fullmatch(SAVED, path.name))
    if not saved:
        return None
    found = read_json(folder / RECORD)
    if found is None:
        raise ValueError(
            f"{folder} contains {', '.join(saved[:3])} of another run but no {RECORD}; give another --output_dir."
        )
    before = found["arguments"]
    differing = sorted(name for name in arguments.keys() | before.keys() if arguments.get(name) != before.get(name))
    if differing:
        pairs = ", ".join(
            f"another {name}"
            if name.startswith("content of") and {name} <= before.keys() & arguments.keys()
            else f"{name} {_shown(before.get(name))}, not {_shown(arguments.get(name))}"
            for name in differing
        )
        raise ValueError(
            f"{folder} contains a run that was begun with {pairs}; give another --output_dir, or the same flags to "
            "resume it."
        )
    return found


def _shown(value: Any) -> str:
    return "(not given)" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def begin(folder: Path, record: dict[str, Any]) -> None:
    """Write down "arguments", "environment" and "commits" that a run is begun with; a resumed run keeps its record."""
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        found = read_json(folder / RECORD)
        if found is None or found["arguments"] != record["arguments"]:
            write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def commits(args: Arguments, begun: dict[str, Any] | None, api: HfApi) -> dict[str, str | None]:
    """The commits on the Hub of "dataset" and "model", which a resumed run keeps; of a folder the given revision."""
    sources = {
        "dataset": (args.data.dataset_name, args.data.dataset_revision),
        "model": (args.model.model_name_or_path, args.model.model_revision),
    }

    def resolved(kind: str) -> str | None:
        name, revision = sources[kind]
        if not name or Path(name).is_dir():
            return revision
        known = begun["commits"].get(kind) if begun else None
        return known or download(name, kind, revision, ("README.md",), api=api)[1]

    return from_first(lambda: {kind: resolved(kind) for kind in sources})


def contents(names: Iterable[str]) -> dict[str, str]:
    """Digests of files and folders: of texts only the metadata on splits and columns, of hidden files none."""
    found = {}
    for name in names:
        path = Path(name)
        for file in sorted(path.rglob("[!.]*")) if path.is_dir() else [path]:
            hidden = path.is_dir() and any(part.startswith(".") for part in file.relative_to(path).parts)
            if hidden or not (file.is_file() or name == STANDARD_INPUT):
                continue
            if file.suffix == ".md":
                metadata = metadata_load(file) or {}
                texts = json.dumps([metadata.get(key) for key in ("configs", "dataset_info")], default=str)
                digest = hashlib.sha256(texts.encode())
            else:
                with _kept_input() if name == STANDARD_INPUT else file.open("rb") as binary:
                    digest = hashlib.file_digest(binary, "sha256")
            found[f"content of {file}"] = f"sha256 {digest.hexdigest()[:DIGITS]}"
    return found


@contextmanager
def _kept_input() -> Iterator[BinaryIO]:
    """Standard input, which can be read again afterwards."""
    kept = tempfile.TemporaryFile()
    shutil.copyfileobj(sys.stdin.buffer, kept)
    kept.seek(0)
    yield kept
    kept.seek(0)
    sys.stdin = io.TextIOWrapper(kept)


def read_results(folder: Path) -> dict[str, Any] | None:
    """metrics.json of a run's checkpoint; None if there is no checkpoint yet, or it was damaged since."""
    try:
        return read_json(checkpoint_files(folder / CHECKPOINT, measured=False)[METRICS])
    except ValueError:
        return None


def is_finished(results: dict[str, Any] | None) -> bool:
    """Whether these results of `read_results` are complete."""
    return bool(results and results.get("measured"))


def is_done(results: dict[str, Any] | None, args: Arguments) -> bool:
    """Whether nothing is left to do: a report or baselines that are asked for and were not before are."""
    if not is_finished(results):
        return False
    lacks_report = args.run.report and not results.get("report")
    return not lacks_report and not (args.run.baselines and results.get("baselines_left_out"))


def resume_point(folder: Path) -> Path | None:
    """The last complete checkpoint of an interrupted run, or None; one without its state, written last, is removed."""
    complete = {}
    for path in folder.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        if not step.isdecimal():
            continue
        if read_json(path / "trainer_state.json") is not None:
            complete[int(step)] = path
        else:
            print(f"{path} was cut off while it was written, and is skipped")
            shutil.rmtree(path)
    return complete[max(complete)] if complete else None


def read_json(path: Path) -> Any:
    """The content; None if there is no such file, or it was cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
