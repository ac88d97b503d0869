"""Scores of a probe, and its outputs for the test rows -> report.html."""

from pathlib import Path
from typing import Any

import numpy as np

from dnahub.reports.comparison import describe
from dnahub.reports.embeddings import LabelledEmbeddings
from dnahub.reports.predictions import PredictedRows
from dnahub.reports.sections import Report, write_report
from dnahub.tasks import TASKS

PAGE = "report.html"


def write_probe_page(
    report: dict[str, Any],
    methods: dict[str, dict[str, Any]],
    data: LabelledEmbeddings,
    outputs: np.ndarray,
    drawn: np.ndarray | None,
    points: np.ndarray | None,
    folder: Path,
) -> Path:
    """
    Write the page of `write_report`, with all but training curves and embeddings before a training; returns its path.

    Args:
        report: Content of probe.py's metrics.json.
        methods: Name -> scores on test, those of the probe first.
        outputs: Logits of the probe for the test rows.
        drawn, points: Which test rows the UMAP has, and where, (drawn, 2); None without one.
    """
    task, groups = TASKS["classification"], data.groups.get("test")
    of_rows = task.rows_of(outputs, data.labels["test"], data.meaning)
    name = "embeddings" if report["model"] is None else "/".join(Path(report["model"]).parts[-2:])  # RUN/checkpoint
    possible = report["bayes_optimal_accuracy"]
    page = Report(
        title=f"Linear probe on {name}",
        facts=[
            f"Data: {data.name}, {len(data.ids):,} test rows.",
            *([report["labels_seen"]] if report["labels_seen"] else []),
        ],
        split="test",
        scores=report["linear_probe"],
        class_names=data.meaning.names,
        warnings=["Measured on synthetic data."] * bool(report["synthetic"]),
        verdict=describe(report["comparison"], "The linear probe"),
        methods=methods,
        compared=list(report["comparison"]["metrics"]),
        best_possible={} if possible is None else {"accuracy": possible},
        rows=PredictedRows(data.ids, data.group_column, None if groups is None else groups.to_pylist(), of_rows),
        curve=report["learning_curve"],
        metric_of_curve="balanced_accuracy",
        maps={} if points is None else {"": points},
        drawn=drawn,
    )
    write_report(page, folder / PAGE)
    return folder / PAGE
