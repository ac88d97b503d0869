"""Scores of a probe -> table and figures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dnahub.metrics.names import name_of, number
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
        FINE_TUNED: report["fine_tuned"],
    }
    if report["bayes_optimal_accuracy"] is not None:
        methods["Bayes-optimal (synthetic data)"] = {"accuracy": report["bayes_optimal_accuracy"]}
    width = max(map(len, methods))
    names = [name_of(metric) for metric in METRICS]
    lines = [f"{'method':<{width}}  {names[0]}  {'95 % interval':<16}  {names[1]:>8}  {names[2]:>7}"]
    for name, scores in methods.items():
        if scores is None:
            continue
        accuracy, macro_f1, mcc = (number(scores[metric]) if metric in scores else "-" for metric in METRICS)
        interval = " to ".join(map(number, scores.get("intervals", {}).get("accuracy", ()))) or "-"
        line = f"{name:<{width}}  {accuracy:>8}  {interval:<16}  {macro_f1:>8}  {mcc:>7}"
        lines.append(line if scores.get("converged", True) else f"{line}  not converged")
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
    low, high = scores["intervals"]["accuracy"]
    title = (
        f"{synthetic}{classifier}{model}\n{len(labels):,} test rows of {data.name}: "
        f"accuracy {scores['accuracy']:.3f} (95% interval {low:.3f} to {high:.3f})"
    )
    path = folder / "confusion_matrix.png"
    draw_confusion_matrix(np.array(scores["confusion_matrix"]), names, title, path)
    yield str(path)

    path = folder / "umap.png"
    if len(labels) < MIN_POINTS:
        path.unlink(missing_ok=True)  # of an earlier report
        yield f"(no {path}: a UMAP needs {MIN_POINTS} or more test rows)"
        return
    drawn = np.sort(np.random.default_rng(report["seed"]).permutation(len(labels))[:MAX_UMAP_POINTS])
    some = "" if len(drawn) == len(labels) else f"{len(drawn):,} of "
    title = (
        f"{synthetic}UMAP of embeddings{model}\n{some}{len(labels):,} test rows of {data.name}: "
        f"accuracy of a linear probe {report['linear_probe']['accuracy']:.3f}"
    )
    draw_points(project(data.vectors["test"][drawn], report["seed"]), labels[drawn], names, title, path)
    yield str(path)
