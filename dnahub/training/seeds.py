"""Runs of several seeds -> mean and deviation, and the best of them as the result."""

import copy
import shutil
import statistics
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.checkpoints.saving import write_results
from dnahub.machine.files import replacing, replacing_folder
from dnahub.reports.card import render_card
from dnahub.reports.predictions import PREDICTIONS
from dnahub.tasks import TASKS
from dnahub.training.arguments import Arguments
from dnahub.training.dataset import SequenceData
from dnahub.training.run import train_once
from dnahub.training.run_folder import CHECKPOINT, begin, is_done, is_finished, read_results


def train_seeds(
    args: Arguments,
    data: SequenceData,
    base: CheckpointFiles | None,
    record: dict[str, Any],
    extra: dict[str, Any],
) -> dict[str, Any]:
    """Train once for each of `--seeds`, in seed-SEED/; the best by validation becomes checkpoint/."""
    folder = Path(args.training.output_dir)
    seeds = [args.training.seed + i for i in range(args.run.seeds)]
    runs = []
    if is_finished(read_results(folder)):  # without the report that is asked for now
        for seed in seeds:
            if not (of_seed := folder / f"seed-{seed}" / CHECKPOINT).is_dir():
                raise ValueError(
                    f"--report true: {of_seed} was removed; leave it out, or train in another --output_dir."
                )
    begin(folder, record)  # first, or the folders of seeds would be another run's
    for seed in seeds:
        training = copy.copy(args.training)  # the Trainer's settings of one seed do not reach the next
        training.seed, training.output_dir = seed, str(folder / f"seed-{seed}")
        if training.should_save:
            print(f"seed {seed}")
        of_seed = record | {"arguments": record["arguments"] | {"seed": seed, "seeds": 1}}
        runs.append(train_once(replace(args, training=training), data, base, of_seed, extra))
    finished = read_results(folder)
    if is_done(finished, args):
        return finished
    task = TASKS[args.model.task]
    metric = (args.trainer.metric_for_best_model or task.metrics[0]).removeprefix("eval_")
    sign = 1 if task.greater_is_better(metric) else -1
    values = [run["validation"][metric] for run in runs]
    # One that is undefined is never the best.
    best = max(range(len(runs)), key=lambda i: -inf if values[i] is None else sign * values[i])
    results = runs[best] | {"seeds": {"seeds": seeds, "chosen": seeds[best], **_spread(runs)}}
    if args.training.should_save:
        if (of_seed := folder / f"seed-{seeds[best]}" / PREDICTIONS).is_file():
            with replacing(folder / PREDICTIONS) as scratch:
                shutil.copyfile(of_seed, scratch)
        # Last, for with it the run is finished.
        with replacing_folder(folder / CHECKPOINT) as whole:
            shutil.copytree(folder / f"seed-{seeds[best]}" / CHECKPOINT, whole, dirs_exist_ok=True)
            write_results(whole, results, render_card(results))
    return results


def _spread(runs: list[dict]) -> dict[str, Any]:
    spread = {}
    for split in ("validation", "test"):
        if runs[0][split] is None:
            continue
        names = [name for name, value in runs[0][split].items() if isinstance(value, float)]
        columns = {name: [run[split][name] for run in runs] for name in names}
        spread[split] = {
            name: {"mean": statistics.fmean(values), "deviation": statistics.stdev(values), "values": values}
            for name, values in columns.items()
            if None not in values
        }
    return spread
