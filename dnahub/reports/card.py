"""What was measured -> the checkpoint's README.md, by `model_card.md`."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dnahub.checkpoints.publishing import THIS_CHECKPOINT
from dnahub.checkpoints.saving import travelling_files
from dnahub.machine.text import markdown, markdown_code
from dnahub.metrics.names import interval, name_of, number
from dnahub.reports.comparison import describe
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels, Task

TEMPLATE = Path(__file__).parents[2] / "model_card.md"


def render_card(results: dict[str, Any]) -> str:
    """
    The card of a checkpoint, which is called `THIS_CHECKPOINT` in it.

    Args:
        results: `dnahub.training.results.describe` with `measure_all`.
    """
    task, model = TASKS[results["task"]], results["model"]
    labels = Labels(list(map(markdown, model["label_names"])), model["outputs"])
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
            verdict=describe(results["comparison"]) if results.get("comparison") else None,
            only_class=_only_class(results["test"] or results["validation"] or {}),
            name_of=name_of,
            number=number,
            interval=interval,
            markdown=markdown,
            markdown_code=markdown_code,
            **results,
        )
    )


def metrics_of(measured: dict[str, Any], task: Task) -> list[str]:
    """What was measured of a split that is one number, in the order of the task's metrics."""
    names = [name for name, value in measured.items() if value is None or isinstance(value, float)]
    return sorted(names, key=lambda name: task.metrics.index(name) if name in task.metrics else len(task.metrics))


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
