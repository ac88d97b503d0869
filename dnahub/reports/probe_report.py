"""Scores of a probe -> table and figures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dnahub.metrics.names import interval, name_of, number
from dnahub.reports.embeddings import LabelledEmbeddings
from dnahub.reports.plots import draw_confusion_matrix, draw_points
from dnahub.reports.projection import MIN_POINTS, project

# A UMAP of more points takes long and shows no more; all test rows of the default data set are drawn.
MAX_UMAP_POINTS = 6000

METRICS = ("accuracy", "macro_f1", "mcc")
PROBE, FINE_TUNED = "linear probe on embeddings", "fine-tuned classifier"


def render_table(report: dict[str, Any]) -> str:
    """One aligned line for each method of metrics.json."""
    methods = {
        "chance (most frequent label)": report["chance"],
        **{f"{name}, logistic regression": scores for name, scores in report["baselines"].items()},
        PROBE: report["linear_probe"],
    }
    if report["fine_tuned"] is not None:
        methods[FINE_TUNED] = report["fine_tuned"]
    if report["bayes_optimal_accuracy"] is not None:
        methods["Bayes-optimal (synthetic data)"] = {"accuracy": report["bayes_optimal_accuracy"]}
    rows = [("method", "Accuracy", "95 % interval", *map(name_of, METRICS[1:]), "")]
    for name, scores in methods.items():
        accuracy, *others = (number(scores[metric]) if metric in scores else "-" for metric in METRICS)
        note = "" if scores.get("converged", True) else "not converged"
        rows.append((name, accuracy, interval(scores, "accuracy") or "-", *others, note))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if not report["baselines"]:
        lines.append("(no k-mer baselines: the embeddings have no column 'sequence')")
    return "\n".join(lines)


def draw(report: dict[str, Any], data: LabelledEmbeddings, folder: Path) -> Iterator[str]:
    """Draw confusion_matrix.png and umap.png; yields the path of each, or why it was not drawn."""
    synthetic = "SYNTHETIC DATA: " if report["synthetic"] else ""
    model = "" if report["model"] is None else ", " + "/".join(Path(report["model"]).parts[-2:])  # RUN/checkpoint
    names, labels = data.meaning.names, data.labels["test"]

    classifier, scores = PROBE, report["linear_probe"]
    if report["fine_tuned"] is not None:
        classifier, scores = FINE_TUNED, report["fine_tuned"]
    title = (
        f"{synthetic}{classifier}{model}\n{len(labels):,} test rows of {data.name}: "
        f"accuracy {number(scores['accuracy'])} (95 % interval {interval(scores, 'accuracy')})"
    )
    path = folder / "confusion_matrix.png"
    draw_confusion_matrix(np.array(scores["confusion_matrix"]), names, title, path)
    yield str(path)

    path = folder / "umap.png"
    if len(labels) < MIN_POINTS:
        path.unlink(missing_ok=True)  # of an earlier report
        yield f"(no {path}: a UMAP needs {MIN_POINTS} or more test rows)"
        return
    drawn = np.random.default_rng(report["seed"]).permutation(len(labels))[:MAX_UMAP_POINTS]
    title = (
        f"{synthetic}UMAP of embeddings{model}\n{len(drawn):,} of {len(labels):,} test rows of {data.name}: "
        f"accuracy of a linear probe {number(report['linear_probe']['accuracy'])}"
    )
    draw_points(project(data.vectors["test"][drawn], report["seed"]), labels[drawn], names, title, path)
    yield str(path)
