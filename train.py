"""Data set or files + base model -> fine-tuned checkpoint, and the Hub.

    accelerate launch --quiet --config_file accelerate_config.yaml train.py recipes/demo.yaml
    accelerate launch --quiet --config_file accelerate_config.yaml train.py recipes/species_nt_v2_50m_lora.yaml \\
        --dataset_name data/nt-species --output_dir runs/my-run --learning_rate 1e-4
    accelerate launch --quiet --config_file accelerate_config.yaml train.py \\
        --train_file promoters.csv --from_scratch tiny --output_dir runs/promoters

    python train.py --push_only --output_dir runs/my-run --hub_model_id user/nt-species-classifier

OUTPUT_DIR/checkpoint/ is the result: weights, configuration, tokenizer, code, metrics.json and card, and with --report
true report/report.html; next to it are run.json (flags and environment), log.jsonl, learning_curve.png and
predictions.parquet (validation and test, row by row). The same command resumes an interrupted run, and prints the
results of a finished one.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dnahub.machine.script import is_first_process, run
from dnahub.machine.text import printable
from dnahub.training.arguments import HubArguments, parse_arguments

GOES_ON = "the same command goes on from what was saved"
LESS_MEMORY = (
    "a smaller --per_device_train_batch_size (and --gradient_accumulation_steps) or --per_device_eval_batch_size, "
    "--gradient_checkpointing, or --baselines false"
)


def main(argv: Sequence[str] | None = None, api=None) -> None:
    """
    Run the program.

    Args:
        argv: Default: the command line.
        api: A `huggingface_hub.HfApi`, which says as whom to use which Hub; default: as the user is logged in.

    Raises:
        ValueError, OSError: What is wrong with the input or the surroundings, in one sentence.
        Stopped: If SIGTERM came during the training, whose state is saved.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_arguments(__doc__, argv)

    # Only now: these imports take seconds, and a wrong flag needs none of them.
    from huggingface_hub import HfApi

    from dnahub.checkpoints.loading import find_checkpoint
    from dnahub.machine.faults import limits_explained
    from dnahub.machine.processes import leave_processes, share_cores
    from dnahub.reports.report import render_report
    from dnahub.tasks import TASKS
    from dnahub.training import run_folder
    from dnahub.training.dataset import load_sequences
    from dnahub.training.run import train_once
    from dnahub.training.search import search
    from dnahub.training.seeds import train_seeds
    from dnahub.training.self_training import add_unlabelled, describe
    from dnahub.training.trainer_arguments import training_arguments

    quieten()
    api, folder = api or HfApi(), Path(args.trainer.output_dir)
    checkpoint = folder / run_folder.CHECKPOINT
    target = check_target(args.hub, checkpoint, api)  # before hours are spent on what is to be published
    if args.hub.push_only:
        push(checkpoint, target, api)
        return

    args = replace(args, training=training_arguments(args))
    if args.training.device.type == "cpu":
        share_cores()
    with limits_explained(folder, LESS_MEMORY), run_folder.opened(folder, args, argv) as (record, begun, results):
        if not run_folder.is_done(results, args):
            # All processes take one commit, whatever is pushed meanwhile, and a resumed run the one it began with.
            commits = run_folder.commits(args, begun, api)
            with args.training.main_process_first(desc="loading the data"):  # the others take it from the cache
                data = load_sequences(args.data, args.model.task, commits["dataset"], api)
            extra = {}
            if args.data.unlabelled_file:
                data, extra["self_training"] = add_unlabelled(data, args.data, TASKS[args.model.task])
                if is_first_process():
                    print(f"note: {describe(extra['self_training'])}", file=sys.stderr)
            if data.bad.counts and is_first_process():
                print(f"{data.bad.summary()}, listed in {folder / run_folder.SKIPPED}", file=sys.stderr)
                data.bad.write(folder / run_folder.SKIPPED)
            base = args.model.model_name_or_path
            if base is not None:
                with args.training.main_process_first(desc="fetching the model"):
                    base = find_checkpoint(base, commits["model"], args.model.allow_pickle, api)
            record["commits"] = commits
            if args.run.hyperparameter_search:
                extra["search"] = search(args, data, base, record)
            train = train_seeds if args.run.seeds > 1 else train_once
            results = train(args, data, base, record, extra)  # trained, saved, then measured
    leave_processes()
    if is_first_process():
        print("\n" + render_report(results, checkpoint))
        if target is not None:
            push(checkpoint, target, api)


def quieten() -> None:
    """No progress bar for each file, and no warnings about what is handled here."""
    import logging
    import warnings

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading weights; the training keeps its own
    # Without the line that it is from; names in the data may contain anything.
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(str(message))}\n"
    if not is_first_process():
        warnings.simplefilter("ignore", UserWarning)
    warnings.filterwarnings("ignore", message="Could not find a config file", module="peft")
    # Of checkpoints within a second, which it goes on to order by their numbers; and of a resumed run, all of whose
    # flags were compared, a fraction of all steps that it takes for another number of steps.
    said = ("mtime may not be reliable", "Warning: The following arguments do not match")
    logging.getLogger("transformers.trainer_utils").addFilter(lambda record: not record.getMessage().startswith(said))
    warnings.filterwarnings("ignore", message="A single label was found", module="sklearn")  # of rare classes


def check_target(hub: HubArguments, checkpoint: Path, api):
    """Where to publish, checked; None if nowhere."""
    from dnahub.checkpoints.publishing import check_model, checkpoint_files
    from dnahub.hub.publishing import Target

    if hub.hub_model_id is None or not is_first_process():
        return None
    if hub.push_only:
        checkpoint_files(checkpoint)
    return check_model(Target(hub.hub_model_id, "model", hub.hub_private_repo, hub.hub_revision), api)


def push(checkpoint: Path, target, api) -> None:
    """Publish a finished checkpoint; if that fails, say how to do it later."""
    from dnahub.checkpoints.publishing import push_checkpoint

    if not is_first_process():
        return
    try:
        published = push_checkpoint(checkpoint, target, api)
    except (ValueError, OSError) as error:
        raise ValueError(f"{error} {how_to_push(checkpoint, target)}") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(how_to_push(checkpoint, target)) from stop
    print(f"{'published' if published.changed else 'already there, unchanged'}: {published.address}")
    print(f"commit: {published.commit}")


def how_to_push(checkpoint: Path, target) -> str:
    command = ["python", "train.py", "--push_only", "--output_dir", str(checkpoint.parent)]
    command += ["--hub_model_id", target.repo_id, *["--hub_private_repo"] * target.private]
    command += ["--hub_revision", target.branch] if target.branch != "main" else []
    return f"The checkpoint is complete in {checkpoint}; to publish it later: {shlex.join(command)}"


if __name__ == "__main__":
    run("train.py", main, GOES_ON)
