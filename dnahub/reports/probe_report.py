"""Scores of a probe -> table and figures."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dnahub.machine.text import printable
from dnahub.metrics.names import interval, name_of, number
from dnahub.reports.comparison import describe
from dnahub.reports.embeddings import LabelledEmbeddings
from dnahub.reports.labelled_rows import SIZES
from dnahub.reports.plots import COLOURS, draw_confusion_matrix, draw_points, save_figure
from dnahub.reports.probe_page import write_probe_page
from dnahub.reports.probing import PROBE
from dnahub.reports.projection import MIN_POINTS, project
from dnahub.reports.sections import MAX_POINTS

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "auprc")
NEIGHBOURS, FINE_TUNED = "nearest neighbours of embeddings", "fine-tuned classifier"


def render_table(report: dict[str, Any]) -> str:
    """One aligned line for each method of metrics.json, and below them the comparison and the calibration."""
    methods = {**report["baselines"], NEIGHBOURS: report["nearest_neighbours"], PROBE: report["linear_probe"]}
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
    if not report["has_sequences"]:
        lines.append("(no baselines but the majority: the embeddings have no column 'sequence')")
    over = f"the values of {printable(report['group_column'])}" if report["group_column"] else "rows"
    lines.append(f"Intervals: bootstrap over {over}.")
    lines.append(describe(report["comparison"], "The linear probe"))
    lines += [report["labels_seen"]] if report["labels_seen"] else []
    error = report["calibration"]["expected_calibration_error"]
    lines.append(f"Expected calibration error of the linear probe: {number(error)}.")
    return "\n".join(lines)


def draw(report: dict[str, Any], data: LabelledEmbeddings, outputs: np.ndarray, folder: Path) -> Iterator[str]:
    """Draw all figures, and the page that has them all; yields the path of each, or why it was not drawn."""
    synthetic = "SYNTHETIC DATA: " if report["synthetic"] else ""
    model = "" if report["model"] is None else ", " + "/".join(Path(report["model"]).parts[-2:])  # RUN/checkpoint
    names, labels, data_name = data.meaning.names, data.labels["test"], printable(data.name)

    path = folder / "labelled_rows.png"
    title = f"{synthetic}linear probe{model}, and baselines\n{len(labels):,} test rows of {data_name}"
    draw_label_curve(report["learning_curve"], report["labels_seen"] or "", title, path)
    yield str(path)
    if len(names) > min(SIZES):
        yield f"(no points of fewer rows than the {len(names):,} classes in the learning curve)"

    path = folder / "reliability.png"
    error = number(report["calibration"]["expected_calibration_error"])
    draw_reliability(
        report["calibration"], f"{synthetic}linear probe{model}\nexpected calibration error {error}", path
    )
    yield str(path)

    classifier, scores = PROBE, report["linear_probe"]
    if report["fine_tuned"] is not None:
        classifier, scores = FINE_TUNED, report["fine_tuned"]
    title = (
        f"{synthetic}{classifier}{model}\n{len(labels):,} test rows of {data_name}: "
        f"accuracy {number(scores['accuracy'])} (95 % interval {interval(scores, 'accuracy')})"
    )
    path = folder / "confusion_matrix.png"
    if "confusion_matrix" in scores:
        draw_confusion_matrix(np.array(scores["confusion_matrix"]), names, title, path)
        yield str(path)
    else:
        path.unlink(missing_ok=True)  # of an earlier report
        yield f"(no {path}: {len(names):,} classes are too many)"

    drawn, points, path = None, None, folder / "umap.png"
    if len(labels) < MIN_POINTS:
        path.unlink(missing_ok=True)  # of an earlier report
        yield f"(no {path}: a UMAP needs {MIN_POINTS} or more test rows)"
    else:
        drawn = np.random.default_rng(report["seed"]).permutation(len(labels))[:MAX_POINTS]
        points = project(data.vectors["test"][drawn], report["seed"])
        title = (
            f"{synthetic}UMAP of embeddings{model}\n{len(drawn):,} of {len(labels):,} test rows of {data_name}: "
            f"accuracy of a linear probe {number(report['linear_probe']['accuracy'])}"
        )
        draw_points(points, labels[drawn], names, title, path)
        yield str(path)

    fine_tuned = {} if report["fine_tuned"] is None else {FINE_TUNED: report["fine_tuned"]}
    methods = {PROBE: report["linear_probe"], **fine_tuned, NEIGHBOURS: report["nearest_neighbours"]}
    yield str(write_probe_page(report, methods | report["baselines"], data, outputs, drawn, points, folder))


def draw_label_curve(curves: dict[str, list[dict[str, Any]]], note: str, title: str, path: Path) -> None:
    """
    Balanced accuracy by the number of labelled rows: means, and bars from the lowest draw to the highest.

    A note stands in small letters below the title.
    """
    figure = Figure(figsize=(7.6, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
        rows = [point["rows"] for point in points]
        mean, low, high = (
            np.array([point["balanced_accuracy"][end] for point in points]) for end in ("mean", "lowest", "highest")
        )
        style = {"color": colour, "marker": "o", "markersize": 4, "linewidth": 1.6, "capsize": 3}
        axes.errorbar(rows, mean, yerr=[mean - low, high - mean], label=name, **style)
    axes.set_xscale("log")
    ticks = sorted({point["rows"] for points in curves.values() for point in points})
    axes.set_xticks(ticks, [f"{rows:,}" for rows in ticks])
    axes.minorticks_off()
    axes.set_xlabel("Labelled training rows")
    axes.set_ylabel("Balanced accuracy on test")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, fontsize=11)
    axes.set_title(fill(note, 110), fontsize=8)
    save_figure(figure, path)


def draw_reliability(calibration: dict[str, Any], title: str, path: Path) -> None:
    """Accuracy by the top probability, in bins; the area of a dot is the share of the rows."""
    bins = [each for each in calibration["bins"] if each["rows"]]
    confidence, accuracy, rows = (np.array([each[key] for each in bins]) for key in ("confidence", "accuracy", "rows"))
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    axes.scatter(confidence, accuracy, s=20 + 400 * rows / rows.sum(), color=COLOURS[0], alpha=0.7, linewidths=0)
    axes.set_xlabel("Top probability (mean of the bin)")
    axes.set_ylabel("Accuracy")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11)
    save_figure(figure, path)
