"""What was measured -> the checkpoint's README.md, by `model_card.md`."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.checkpoints.publishing import THIS_CHECKPOINT
from dnahub.checkpoints.saving import travelling_files
from dnahub.hub.cards import LICENCE
from dnahub.metrics.names import interval, name_of, number
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels, Task

TEMPLATE = Path(__file__).parents[2] / "model_card.md"
# Of test, below which no baseline is called better: with 5, a two-sided sign test of rows that it all wins gives 0.06;
# and the bootstrap of one row has an interval without width.
FEWEST_ROWS = 6


def inherited_licence(base: CheckpointFiles | None) -> dict[str, str]:
    """
    The licence of a checkpoint, which is that of the weights it began from, as the Hub's metadata have it.

    Args:
        base: The base model; `None` for random weights.

    Returns:
        `license`, "unknown" where the base model's card has none, and its `license_name` and `license_link`, if any.
    """
    if base is None:
        return {"license": "apache-2.0"}
    if base.name.startswith("InstaDeepAI/"):
        return {"license": "cc-by-nc-sa-4.0"}
    card, found = base.folder / "README.md", {"license": "unknown"}
    if card.is_file():
        data = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict()
        found |= {name: data[name] for name in LICENCE if data.get(name)}
    return found


def render_card(results: dict[str, Any]) -> str:
    """
    The card of a checkpoint, which is called `THIS_CHECKPOINT` in it.

    Args:
        results: `dnahub.training.results.describe` with `measure_all`.
    """
    task, model = TASKS[results["task"]], results["model"]
    labels = Labels(model["label_names"], model["outputs"])
    return str(
        ModelCard.from_template(
            _metadata(results, task),
            template_path=str(TEMPLATE),
            repo_id=THIS_CHECKPOINT,
            code={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in travelling_files()},
            of_task=task,
            title=task.title(labels),
            summary=task.summary(labels),
            ours=model["type"] == "nucleotide_transformer",
            shown=metrics_of(results["validation"] or {}, task),
            verdict=compare(results, task),
            only_class=_only_class(results["test"] or results["validation"] or {}),
            name_of=name_of,
            number=number,
            interval=interval,
            **results,
        )
    )


def metrics_of(measured: dict[str, Any], task: Task) -> list[str]:
    """What was measured of a split that is one number, in the order of the task's metrics."""
    names = [name for name, value in measured.items() if value is None or isinstance(value, float)]
    return sorted(names, key=lambda name: task.metrics.index(name) if name in task.metrics else len(task.metrics))


def compare(results: dict[str, Any], task: Task) -> dict[str, Any] | None:
    """
    The best baseline by the metric that chose the checkpoint; the loss is not measured of baselines.

    A baseline is better only where its interval lies wholly on the better side of the model's, for each metric of
    `task.compared_by`, or where the model's metric is undefined; and never on fewer than `FEWEST_ROWS` test rows. One
    that is better goes before one that is not.

    Returns:
        `metrics` (those compared, the one that chose first), `best` (a baseline's name), `is_better`, `direction`
        ("higher" or "lower"); None without baselines.
    """
    baselines, test, metric = results["baselines"], results["test"], results["training"]["chosen_by"]
    if not baselines:
        return None
    if metric == "loss" or metric not in test:
        metric = task.metrics[0]
    rises = task.greater_is_better(metric)

    def goodness(name: str) -> float:
        value = baselines[name][metric]
        return -math.inf if value is None else value if rises else -value

    def is_better(name: str) -> bool:
        if results["dataset"]["rows"]["test"] < FEWEST_ROWS:
            return False
        if test[metric] is None and baselines[name][metric] is not None:
            return True
        for compared in task.compared_by(metric):
            theirs, ours = (scores.get("intervals", {}).get(compared) for scores in (baselines[name], test))
            if not theirs or not ours:
                return False
            if theirs[0] <= ours[1] if task.greater_is_better(compared) else theirs[1] >= ours[0]:
                return False
        return True

    better = list(filter(is_better, baselines))
    return {
        "metrics": task.compared_by(metric),
        "best": max(better or baselines, key=goodness),
        "is_better": bool(better),
        "direction": "higher" if rises else "lower",
    }


def _metadata(results: dict[str, Any], task: Task) -> ModelCardData:
    dataset, model, test = results["dataset"], results["model"], results["test"] or {}
    of_nt = ["nucleotide-transformer", "dna-embedding"] if model["type"] == "nucleotide_transformer" else []
    eval_results = [
        EvalResult(
            task_type=task.hub_tag or results["task"],
            dataset_type=dataset["name"],
            dataset_name=f"{Path(dataset['name']).name}, test split",
            dataset_config=dataset["config"],
            dataset_split="test",
            dataset_revision=dataset["revision"],
            metric_type=name,
            metric_name=name_of(name),
            metric_value=round(test[name], 4),
        )
        for name in task.metrics
        if name != "loss" and test.get(name) is not None
    ]
    return ModelCardData(
        library_name="transformers",
        **results["licence"],
        base_model=model["base"] if model["revision"] else None,
        datasets=[dataset["name"]] if dataset["revision"] else None,
        pipeline_tag=task.hub_tag,
        tags=["biology", "genomics", "dna", *of_nt],
        model_name=f"{Path(dataset['name']).name}-{results['task'].replace('_', '-')}" if eval_results else None,
        eval_results=eval_results or None,
    )


def _only_class(measured: dict[str, Any]) -> str | None:
    """The class that is predicted for every sequence or token, if there is one."""
    predicted = np.flatnonzero(np.any(measured.get("confusion_matrix", []), axis=0))
    return list(measured["recall_per_label"])[predicted[0]] if len(predicted) == 1 else None
