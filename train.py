"""Data set + base model -> fine-tuned checkpoint, and the Hub.

    accelerate launch --config_file accelerate_config.yaml train.py recipes/demo.yaml
    accelerate launch --config_file accelerate_config.yaml train.py recipes/species_nt_v2_50m_lora.yaml \
        --dataset_name data/nt-species --output_dir runs/my-run --learning_rate 1e-4
    accelerate launch --config_file accelerate_config.yaml train.py \
        --dataset_name data/nt-species --from_scratch tiny --task mlm --output_dir runs/tiny

    python train.py --push_only --output_dir runs/my-run --hub_model_id user/nt-species-clf

OUTPUT_DIR/checkpoint/ is the result: weights, configuration, tokenizer, code, metrics.json and card; beside it lie
run.json (arguments and environment), log.jsonl and learning_curve.png. OUTPUT_DIR/checkpoint-STEP/ are the Trainer's
own: the same command goes on from the last of them, and prints the result of a run that is finished.
"""

import os
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NoReturn

from accelerate import PartialState
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi
from transformers import TrainingArguments
from transformers.utils.logging import disable_progress_bar

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import find_checkpoint
from dnahub.checkpoints.publishing import check_model, checkpoint_files, push_checkpoint
from dnahub.hub.downloading import download
from dnahub.hub.publishing import Target
from dnahub.machine.locks import locked_folder
from dnahub.machine.processes import from_first, is_first_process
from dnahub.reports.report import render_report
from dnahub.training.arguments import Arguments, check_processes, hub_target, parse_arguments
from dnahub.training.dataset import load_sequences
from dnahub.training.faults import limits_told
from dnahub.training.results import LIBRARIES, hardware
from dnahub.training.run import Interrupted, train_once
from dnahub.training.run_folder import CHECKPOINT, contents, deciding, find_run, is_finished, read_results
from dnahub.training.search import apply, check_search, search
from dnahub.training.seeds import train_seeds
from dnahub.training.trainer import use_all_cores


def fail(error: Exception | str, status: int = 2) -> NoReturn:
    """One sentence, by the first process alone, and the status."""
    if is_first_process():
        print(f"train.py: error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(status)


def push(folder: Path, target: Target, api: HfApi) -> None:
    """Publish a finished checkpoint, which is on the disk whatever comes of it."""
    try:
        published = push_checkpoint(folder, target, api)
    except (ValueError, OSError) as error:
        fail(f"{error} {not_pushed(folder, target)}")
    except KeyboardInterrupt:
        fail(f"interrupted. {not_pushed(folder, target)}", status=130)
    print(f"{'published' if published.changed else 'already there, unchanged'}: {published.address}")
    print(f"commit: {published.commit}")


def not_pushed(folder: Path, target: Target) -> str:
    """What to do when the checkpoint is there, but not on the Hub."""
    command = ["python", "train.py", "--push_only", "--output_dir", str(folder.parent)]
    command += ["--hub_model_id", target.repo_id, *["--hub_private_repo", "true"] * target.private]
    command += ["--hub_revision", target.branch] if target.branch != "main" else []
    return f"The checkpoint is whole in {folder}; to publish it later: {shlex.join(command)}"


def resolved(
    name: str | None, kind: Literal["model", "dataset"], revision: str | None, commits: dict[str, str], api: HfApi
) -> str | None:
    """
    The commit on the Hub that all processes shall take, whatever is pushed meanwhile; a folder has none.

    Args:
        commits: Those that an interrupted run began with.
    """
    if not name or Path(name).is_dir():
        return revision
    return from_first(lambda: commits.get(kind) or download(name, kind, revision, ("README.md",), api=api)[1])


def environment(args: TrainingArguments, arguments: Sequence[str]) -> dict[str, Any]:
    """With what a run is made: kept beside its arguments."""
    return {
        "command": shlex.join(["train.py", *arguments]),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in LIBRARIES},
        "hardware": hardware(),
        "processes": args.world_size,
    }


def identity(args: Arguments) -> dict[str, Any]:
    """All that decides the result of a run, by name: it goes on, and its result stands, only where all is the same."""
    files = [args.data.train_file, args.data.validation_file, args.data.test_file]
    files = [args.data.dataset_name] if args.data.dataset_name else [name for each in files for name in each or ()]
    found = deciding([asdict(args.model), asdict(args.data), asdict(args.run), args.training.to_dict()])
    found |= contents(files)
    found |= {"processes": args.training.world_size, "mixed precision": args.training.mixed_precision}
    found |= {name: os.environ.get(name) for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")}
    base = args.model.model_name_or_path
    if base and Path(base).is_dir():  # on the Hub, a commit says it
        files = find_checkpoint(base, args.model.model_revision, args.model.allow_pickle)
        found["content of the base model"] = checkpoint_digest(files)
    return found


def run(args: Arguments, command: Sequence[str], api: HfApi) -> dict[str, Any]:
    """Load, search if asked to, train with one seed or several: the results; a finished checkpoint is on the disk."""
    folder = Path(args.training.output_dir)
    with ExitStack() as stack:

        def look() -> list[Any]:
            arguments = identity(args)
            found = find_run(folder, arguments)
            if is_finished(read_results(folder)):
                return [arguments, found, read_results(folder)]
            stack.enter_context(locked_folder(folder, "train.py"))
            return [arguments, find_run(folder, arguments), read_results(folder)]  # another may have ended meanwhile

        arguments, found, results = from_first(look)
        if is_finished(results):
            return results
        return _run(args, {"arguments": arguments, "environment": environment(args.training, command)}, found, api)


def _run(args: Arguments, record: dict[str, Any], found: dict[str, Any] | None, api: HfApi) -> dict[str, Any]:
    """A run that is not finished; `found` is what it was begun with, if it was interrupted."""
    folder = Path(args.training.output_dir)
    commits = {}
    if found:
        commits = found["commits"]
        _note_versions(found["environment"]["versions"], record["environment"]["versions"])
    commit = resolved(args.data.dataset_name, "dataset", args.data.dataset_revision, commits, api)
    with args.training.main_process_first(desc="loading the data"):  # of each node; the others take it from the cache
        data = load_sequences(args.data, args.model.task, commit, api)
    base, base_commit = None, None
    if args.model.model_name_or_path:
        name = args.model.model_name_or_path
        base_commit = resolved(name, "model", args.model.model_revision, commits, api)
        with args.training.main_process_first(desc="fetching the model"):
            base = find_checkpoint(name, base_commit, args.model.allow_pickle, api)
    record["commits"] = {"dataset": commit, "model": base_commit}
    extra = {}
    with limits_told(folder):
        if args.run.hyperparameter_search:
            extra["search"] = search(args, data, base, record)
            apply(extra["search"], args.training)
        return (train_seeds if args.run.seeds > 1 else train_once)(args, data, base, record, extra)


def _note_versions(before: dict[str, str], now: dict[str, str]) -> None:
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed and is_first_process():
        print(
            f"note: the run was begun with {', '.join(changed)}; an undisturbed run may differ in the last digits",
            file=sys.stderr,
        )


def quieten() -> None:
    """No bar for each file that is read or written (the training keeps its own), nor peft's doubt of a base model."""
    disable_progress_bar()
    warnings.filterwarnings("ignore", message="Could not find a config file", module="peft")
    warnings.filterwarnings("ignore", message="A single label was found", module="sklearn")  # as of rare classes


def stopped(number: int, frame: object) -> NoReturn:
    """SIGTERM before and after the training, which saves first."""
    fail("stopped by SIGTERM; the same command goes on with what was saved.", status=128 + number)


def main(arguments: Sequence[str] | None = None, api: HfApi | None = None) -> None:
    """
    Run the program.

    Args:
        arguments: Default those of the command line.
        api: Who reads from and pushes to which Hub; default the user of the environment.
    """
    quieten()
    api, arguments = api or HfApi(), sys.argv[1:] if arguments is None else arguments
    try:
        args = Arguments(*parse_arguments(arguments))
        folder = Path(args.training.output_dir) / CHECKPOINT
        target = None
        if args.training.push_to_hub or args.run.push_only:
            if args.run.push_only:
                checkpoint_files(folder)
            target = hub_target(args.training)
            target = check_model(target, api) if is_first_process() else target
            args.training.push_to_hub = False  # the Trainer's own, which also pushes what is not finished
        if args.run.hyperparameter_search:
            check_search()
    except (ValueError, OSError, ImportError) as error:  # ImportError: --deepspeed without its package
        fail(error)
    if args.run.push_only:
        if is_first_process():
            push(folder, target, api)
        return
    try:
        check_processes(args.training)
        use_all_cores(args.training)
        results = run(args, arguments, api)
        PartialState().wait_for_everyone()  # the first was writing
        PartialState().destroy_process_group()  # or gloo may abort when one process ends before another
    except (ValueError, OSError, DatasetsError) as error:
        fail(error)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from what was saved.", status=130)
    except Interrupted as stop:
        fail(f"{stop}; the same command goes on from there.", status=128 + signal.SIGTERM)
    if is_first_process():
        print("\n" + render_report(results, folder))
        if target is not None:
            push(folder, target, api)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stopped)
    main()
