"""A measured run -> report/report.html of its checkpoint."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from dnahub.checkpoints.loading import CheckpointFiles, load_saved
from dnahub.checkpoints.publishing import REPORT
from dnahub.hub_code.pipeline_dna_embedding import BATCH_TOKENS, DEFAULTS, batches_of, pool
from dnahub.reports.comparison import describe
from dnahub.reports.predictions import PredictedRows
from dnahub.reports.projection import MIN_POINTS, project
from dnahub.reports.sections import MAX_POINTS, Report, write_report
from dnahub.tasks import TASKS
from dnahub.tasks.collators import pad
from dnahub.tasks.task import Task
from dnahub.training.arguments import Arguments
from dnahub.training.dataset import SequenceData
from dnahub.training.run_folder import CHECKPOINT
from dnahub.training.tokens import IDS
from dnahub.training.trainer import build_model
from dnahub.training.windows import Windows

LOG = "log.jsonl"


def write_report_of_run(
    args: Arguments,
    data: SequenceData,
    base: CheckpointFiles | None,
    tokenised: DatasetDict,
    results: dict[str, Any],
    rows: dict[str, PredictedRows],
    windows: dict[str, Windows],
    folder: Path,
) -> None:
    """Of the test split, or of validation where there is none; `rows`, and `windows` if there are any, are of both."""
    task, split = TASKS[args.model.task], "test" if "test" in rows else "validation"
    num_rows, log, chosen_by = len(rows[split].ids), folder / LOG, results["training"]["chosen_by"]
    drawn, maps = np.sort(np.random.default_rng(0).permutation(num_rows)[:MAX_POINTS]), {}
    if num_rows >= MIN_POINTS:
        print(f"report: UMAPs of {len(drawn):,} {split} sequences, before and after training", file=sys.stderr)
        before, tokenizer = build_model(args.model, args.training, data, base)
        after = load_saved(folder / CHECKPOINT, task.head)
        chosen, of_drawn = drawn, None
        if split in windows:
            chosen, of_drawn = windows[split].of(drawn)
        ids = tokenised[split].select(chosen)[IDS]
        models = {"Before training": before, "After training": after}
        embedded = {
            name: _embed(model.to(args.training.device).eval(), tokenizer, ids) for name, model in models.items()
        }
        if of_drawn is not None:
            embedded = {name: of_drawn.join(vectors) for name, vectors in embedded.items()}
        # Afterwards: once a UMAP was computed, torch took ten times as long in the same process.
        maps = {name: project(each, args.training.seed) for name, each in embedded.items() if np.isfinite(each).all()}
    dataset, comparison = results["dataset"], results["comparison"]
    report = Report(
        title=_title(task, data, results),
        facts=_facts(results),
        split=split,
        scores=results[split],
        class_names=data.labels.names,
        warnings=["Trained and measured on synthetic data."] * bool(dataset["synthetic"]),
        methods={"this model": results[split], **(results["baselines"] or {})},
        verdict=describe(comparison) if comparison else None,
        compared=sorted(comparison["metrics"], key=task.metrics.index) if comparison else [],
        best_possible={"accuracy": dataset["bayes_optimal_accuracy"]} if dataset["bayes_optimal_accuracy"] else {},
        rows=rows[split],
        log=[json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else [],
        metrics_of_log=list(dict.fromkeys([chosen_by or task.metrics[0], "loss"])),
        best_step=results["training"]["best_step"],
        maps=maps,
        drawn=drawn,
    )
    write_report(report, folder / CHECKPOINT / REPORT)


def _title(task: Task, data: SequenceData, results: dict[str, Any]) -> str:
    is_nt = results["model"]["type"] == "nucleotide_transformer"
    return f"{'Nucleotide Transformer' if is_nt else 'DNA language model'}, {task.title(data.labels)}"


def _facts(results: dict[str, Any]) -> list[str]:
    model, dataset, training = (results[name] for name in ("model", "dataset", "training"))
    rows = ", ".join(f"{number:,} {split}" for split, number in dataset["rows"].items())
    if self_training := results.get("self_training"):
        rows += f"; {self_training['sequences']:,} of train were labelled by self-training"
    crops = f" Windows of {training['crop_nt']} nt are drawn from the rows of train." if "crop_nt" in training else ""
    base = model["base"] or f"none, random weights of size {model['from_scratch']}"
    return [
        f"Data set: {dataset['name']} (rows: {rows}).{crops}",
        f"Base model: {base}. {training['steps']:,} steps, tuning: {training['tuning']}, seed {training['seed']}.",
    ]


@torch.no_grad()
def _embed(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """As the pipeline does by default, of any encoder: float32, (rows, hidden)."""
    device = model.device
    vectors: dict[int, np.ndarray] = {}
    for rows in batches_of(list(map(len, ids)), BATCH_TOKENS.get(device.type, BATCH_TOKENS["other"])):
        batch = {name: each.to(device) for name, each in pad(tokenizer, [ids[row] for row in rows]).items()}
        hidden_states_BTH = model(**batch, output_hidden_states=True).hidden_states[DEFAULTS["layer"]]
        pooled = pool(hidden_states_BTH, batch["attention_mask"], DEFAULTS["pooling"])  # (batch, hidden)
        vectors |= dict(zip(rows, pooled.cpu().numpy(), strict=True))
    return np.stack([vectors[row] for row in range(len(ids))])
