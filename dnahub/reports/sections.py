"""What was measured, and outputs for each sequence -> the sections of a report's page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    PlainText,
    Span,
)
from bokeh.palettes import Blues256, Cividis256
from bokeh.plotting import figure
from bokeh.transform import transform
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from dnahub.machine.text import printable
from dnahub.metrics.calibration import calibration
from dnahub.metrics.names import LOWER_IS_BETTER, name_of, number
from dnahub.reports.page import Key, Section, write_page
from dnahub.reports.plots import COLOURS, MORE_COLOURS, OTHERS, class_colours, is_species, readable
from dnahub.reports.predictions import PredictedRows

Figure = figure
MODEL, BASELINE, TRAINING, VALIDATION, BEST = COLOURS[0], COLOURS[1], COLOURS[0], COLOURS[1], COLOURS[2]
MAX_POINTS = 3000  # of a UMAP: two of them take ten seconds, and more show no more
POINTS_OF_CURVE = 400
MAX_CELLS_WITH_NUMBERS = 10 * 10
MAX_CLASSES = 100  # of a confusion matrix


@dataclass(frozen=True)
class Report:
    """What a page can show; what is empty or None is left out of it."""

    title: str
    facts: Sequence[str]
    split: str  # which rows the model was measured on
    scores: Mapping[str, Any]  # of the model, there
    class_names: Sequence[str] = ()
    warnings: Sequence[str] = ()
    verdict: str | None = None
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the scores of each, the model's first
    compared: Sequence[str] = ()  # metrics by which methods are compared
    best_possible: Mapping[str, float] = field(default_factory=dict)  # by metrics
    rows: PredictedRows | None = None
    # Of each method, by the number of labelled rows: "rows", and "mean", "lowest" and "highest" of each metric.
    curve: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    metric_of_curve: str = ""
    log: Sequence[Mapping[str, Any]] = ()  # the Trainer's log_history
    metrics_of_log: Sequence[str] = ()  # whose course over the training is shown, the one that chose first
    best_step: int | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)  # caption -> points, (drawn, 2)
    drawn: np.ndarray | None = None  # which rows they are


def write_report(report: Report, path: Path) -> None:
    """Write the page, with the sections of `SECTIONS` that the report has data for."""
    sections = [section for make in SECTIONS if (section := make(report)) is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(report.title, report.warnings, report.facts, sections, path)


def compare_methods(report: Report) -> Section | None:
    """Dots with intervals, of each metric by which methods are compared."""
    figures = {}
    for metric in report.compared:
        found = {name: scores for name, scores in report.methods.items() if scores.get(metric) is not None}
        if found:
            direction = " (lower is better)" if metric in LOWER_IS_BETTER else ""
            figures[name_of(metric) + direction] = _dot_plot(found, metric, report.best_possible.get(metric))
    if not figures:
        return None
    over = "rows" if report.rows is None or report.rows.groups is None else f"{report.rows.group_column} groups"
    text = f"On the {report.split} split. The bar is the 95 % interval of a bootstrap over {over}."
    if report.best_possible:
        text += " The dashed line is the best possible classifier of this synthetic data."
    return Section("scores", "Model and baselines", text, figures, verdict=report.verdict)


def _dot_plot(methods: Mapping[str, Mapping[str, Any]], metric: str, best_possible: float | None) -> Figure:
    names, values = list(methods), [scores[metric] for scores in methods.values()]
    ends = [
        scores.get("intervals", {}).get(metric) or (value, value)
        for scores, value in zip(methods.values(), values, strict=True)
    ]
    low, high = np.transpose(ends)
    texts = [
        f"{name}\n{number(value, 3)}" + (f"   {number(start, 3)} to {number(end, 3)}" if end > start else "")
        for name, value, (start, end) in zip(names, values, ends, strict=True)
    ]
    rows = -np.arange(len(names))
    extremes = [*low, *high, *([best_possible] if best_possible is not None else [])]
    left, right = min(extremes), max(extremes)
    margin = 0.05 * (right - left) or 0.05
    start, end = left - margin, right + margin
    plot = _figure(62 * len(names) + 70, x_range=(start, end), y_range=(-len(names) + 0.55, 0.85))
    plot.yaxis.visible = plot.ygrid.visible = False
    colours = [MODEL, *[BASELINE] * (len(names) - 1)]
    source = ColumnDataSource(
        {"name": names, "x": values, "low": low, "high": high, "y": rows, "text": texts, "colour": colours}
    )
    plot.text(start, "y", "text", source=source, text_font_size="14px", x_offset=4, y_offset=-9)
    plot.segment("low", "y", "high", "y", source=source, color="colour", line_width=3)
    dots = plot.scatter("x", "y", source=source, color="colour", size=10)
    if best_possible is not None:
        plot.add_layout(Span(location=best_possible, dimension="height", line_color="#555555", line_dash="dashed"))
    _hover(plot, dots, method="@name", value="@x{0.0000}", interval="@low{0.0000} to @high{0.0000}")
    return plot


def confusion_matrix(report: Report) -> Section | None:
    counts = report.scores.get("confusion_matrix")
    if counts is None or not 2 <= len(counts) <= MAX_CLASSES:
        return None
    counts = np.array(counts)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (true, predicted)
    num_labels = len(counts)
    true, predicted = (each.ravel() for each in np.indices(counts.shape))
    values, names = fractions.ravel(), list(map(printable, report.class_names))
    source = ColumnDataSource(
        {
            "true": [names[i] for i in true],
            "predicted": [names[i] for i in predicted],
            "x": predicted,
            "y": -true,
            "count": counts.ravel(),
            "fraction": values,
            "text": [f"{count:,}\n{fraction:.0%}" for count, fraction in zip(counts.ravel(), values, strict=True)],
            "ink": np.where(values > 0.55, "white", "black"),
        }
    )
    side = int(np.clip(56 * num_labels, 300, 760))
    ends = (-0.5, num_labels - 0.5)
    plot = _figure(side + 130, x_range=ends, y_range=(-ends[1], -ends[0]))
    plot.grid.visible = False
    colours = LinearColorMapper(Blues256[::-1], low=0, high=1)
    cells = plot.rect("x", "y", 1, 1, source=source, color=transform("fraction", colours))
    if num_labels**2 <= MAX_CELLS_WITH_NUMBERS:
        plot.text(
            *("x", "y", "text"), source=source, text_color="ink", text_font_size="11px", text_align="center",
            text_baseline="middle", text_line_height=1.1,
        )  # fmt: skip
    else:
        plot.add_layout(ColorBar(color_mapper=colours, width=8, major_label_text_font_size="11px"), "right")
    shown = range(0, num_labels, max(1, num_labels // 40))
    for axis, sign in ((plot.xaxis, 1), (plot.yaxis, -1)):
        axis.ticker = [sign * i for i in shown]
        axis.major_label_overrides = {sign * i: PlainText(text=readable(names[i], 22)) for i in shown}
        axis.major_tick_line_color = None
    plot.xaxis.major_label_orientation = 0.9
    plot.xaxis.axis_label, plot.yaxis.axis_label = "Predicted", "True"
    _hover(plot, cells, true="@true", predicted="@predicted", rows="@count{0,0}", fraction="@fraction{0.0 %}")
    text = f"Of the {report.split} split: numbers, and fractions of the true label, which is the row and the colour."
    title = ": ".join(["Confusion matrix", *list(report.methods)[:1]])  # whose it is
    return Section("confusion", title, text, {"": plot})


def ranking_curves(report: Report) -> Section | None:
    """ROC and precision-recall curves, one class against the rest."""
    of_rows = report.rows and report.rows.of_rows
    if not of_rows or of_rows.probabilities is None or not np.isfinite(of_rows.probabilities).all():
        return None
    colours = class_colours(of_rows.has_label.sum(axis=0))
    roc, recall = (_figure(400, x_range=(-0.02, 1.02), y_range=(-0.02, 1.02)) for _ in range(2))
    roc.line([0, 1], [0, 1], color="#999999", line_dash="dashed")
    roc.xaxis.axis_label, roc.yaxis.axis_label = "False positive rate", "True positive rate"
    recall.xaxis.axis_label, recall.yaxis.axis_label = "Recall", "Precision"
    keys = []
    for i, colour in colours.items():
        true, scores = of_rows.has_label[:, i], of_rows.probabilities[:, i]
        if true.all() or not true.any():
            continue
        false_rate, true_rate, _ = roc_curve(true, scores)
        precision, recalled, _ = precision_recall_curve(true, scores, drop_intermediate=True)
        areas = roc_auc_score(true, scores), average_precision_score(true, scores)
        name = printable(report.class_names[i])
        renderers = []
        for plot, kind, x, y, area in (
            (roc, "roc", false_rate, true_rate, areas[0]),
            (recall, "pr", recalled, precision, areas[1]),
        ):
            kept = np.unique(np.linspace(0, len(x) - 1, POINTS_OF_CURVE).round().astype(int))
            x, y = (each[kept].astype(np.float32) for each in (x, y))
            source = ColumnDataSource({"x": x, "y": y, "name": [name] * len(x), "area": [area] * len(x)})
            line = plot.line("x", "y", source=source, color=colour, line_width=2, name=f"{kind} {i}")
            x_name, y_name = plot.xaxis.axis_label, plot.yaxis.axis_label
            area_name = {"roc": "AUROC", "pr": "AUPRC"}[kind]
            _hover(
                plot, line, **{"label": "@name", area_name: "@area{0.0000}", x_name: "@x{0.00}", y_name: "@y{0.00}"}
            )
            renderers.append(line.name)
        keys.append(
            Key(
                f"{readable(name)} (AUROC {number(areas[0], 3)}, AUPRC {number(areas[1], 3)})",
                *(colour, renderers, is_species(name)),
            )
        )
    if not keys:
        return None
    text = f"Each label against the rest, by its probability, on the {report.split} split."
    text += _left_out(len(report.class_names) - len(keys))
    return Section(
        "curves", "ROC and precision-recall curves", text, {"ROC": roc, "Precision and recall": recall}, keys
    )


def _left_out(number: int) -> str:
    return f" The curves of {number} other labels, rare or without rows, are left out." if number else ""


def reliability(report: Report) -> Section | None:
    of_rows = report.rows and report.rows.of_rows
    if not of_rows or of_rows.probabilities is None or not np.isfinite(of_rows.probabilities).all():
        return None
    found = calibration(of_rows.probabilities, of_rows.has_label)
    plot = _figure(400, x_range=(-0.02, 1.02), y_range=(-0.02, 1.02))
    plot.line([0, 1], [0, 1], color="#999999", line_dash="dashed")
    bins = [each for each in found["bins"] if each["rows"]]
    columns = {
        name: np.array([each[name] for each in bins]) for name in ("low", "high", "rows", "confidence", "accuracy")
    }
    columns["fraction"] = columns["rows"] / columns["rows"].sum()
    source = ColumnDataSource(columns)
    plot.quad("low", "high", "fraction", 0, source=source, color=OTHERS, line_color="white")
    plot.line("confidence", "accuracy", source=source, color=MODEL, line_width=2)
    dots = plot.scatter("confidence", "accuracy", source=source, color=MODEL, size=9)
    plot.xaxis.axis_label, plot.yaxis.axis_label = "Predicted probability", "Fraction that was right"
    _hover(
        *(plot, dots), probability="@confidence{0.000}", right="@accuracy{0.000}", rows="@rows{0,0}",
    )  # fmt: skip
    text = (
        f"Expected calibration error {number(found['expected_calibration_error'])}, on the {report.split} split, over "
        f"{len(found['bins'])} bins of equal width of {found['of']}. On the dashed line, probabilities are right; "
        "below it, the model is overconfident. The grey bars are the fraction of rows in each bin."
    )
    return Section("reliability", "Reliability", text, {"": plot})


def predicted_and_true(report: Report) -> Section | None:
    """Of numbers."""
    of_rows = report.rows and report.rows.of_rows
    if not of_rows or of_rows.probabilities is not None:
        return None
    true, predicted = (np.reshape(each, (len(report.rows.ids), -1)) for each in (of_rows.label, of_rows.predicted))
    if not np.isfinite(predicted).all():
        return None
    drawn = np.random.default_rng(0).permutation(len(true))[:MAX_POINTS]
    figures = {}
    for i in range(min(true.shape[1], len(COLOURS))):
        plot = _figure(400)
        columns = {"true": true[drawn, i], "predicted": predicted[drawn, i], **_names_of(report.rows, drawn)}
        ends = [float(true[:, i].min()), float(true[:, i].max())]
        plot.line(ends, ends, color="#999999", line_dash="dashed")
        dots = plot.scatter("true", "predicted", source=ColumnDataSource(columns), color=MODEL, size=6, alpha=0.5)
        plot.xaxis.axis_label, plot.yaxis.axis_label = "True", "Predicted"
        _hover(plot, dots, id="@id", **_group_of(report.rows), true="@true", predicted="@predicted")
        figures[f"Output {i + 1}" if true.shape[1] > 1 else ""] = plot
    return Section("numbers", "Predicted and true", f"{len(drawn):,} rows of the {report.split} split.", figures)


def curve_of_labels(report: Report) -> Section | None:
    """A score by the number of labelled rows of train."""
    if not report.curve:
        return None
    plot = _figure(400, x_axis_type="log")
    colours = [*COLOURS, *MORE_COLOURS]
    keys = []
    for i, (name, points) in enumerate(report.curve.items()):
        of_metric = [point[report.metric_of_curve] for point in points]
        columns = {each: [point[each] for point in of_metric] for each in ("mean", "lowest", "highest")}
        columns |= {"rows": [point["rows"] for point in points], "name": [name] * len(points)}
        source, colour = ColumnDataSource(columns), colours[i % len(colours)]
        band = plot.varea("rows", "lowest", "highest", source=source, color=colour, alpha=0.15)
        line = plot.line("rows", "mean", source=source, color=colour, line_width=3 if i == 0 else 1.5)
        dots = plot.scatter("rows", "mean", source=source, color=colour, size=7)
        for kind, renderer in (("band", band), ("line", line), ("dots", dots)):
            renderer.name = f"curve {kind} {i}"
        _hover(
            plot,
            dots,
            method="@name",
            rows="@rows{0,0}",
            mean="@mean{0.0000}",
            draws="@lowest{0.0000} to @highest{0.0000}",
        )
        keys.append(Key(name, colour, [renderer.name for renderer in (band, line, dots)]))
    plot.xaxis.axis_label, plot.yaxis.axis_label = "Labelled rows of train", name_of(report.metric_of_curve)
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.xaxis.ticker = sorted({point["rows"] for points in report.curve.values() for point in points})
    text = f"On the {report.split} split; the band is the range of several draws of the rows."
    return Section("labels", "Learning curve", text, {"": plot}, keys)


def training_curves(report: Report) -> Section | None:
    training = _by_step(report.log, "loss")
    figures = {}
    for metric in report.metrics_of_log:
        values = _by_step(report.log, f"eval_{metric}")
        if not values and not (metric == "loss" and training):
            continue
        plot = _figure(340)
        if metric == "loss" and training:
            line = plot.line(
                list(training), list(training.values()), color=TRAINING, line_width=2, legend_label="training"
            )
            _hover(plot, line, step="@x{0,0}", training="@y{0.0000}")
        if values:
            steps, numbers = list(values), list(values.values())
            plot.line(steps, numbers, color=VALIDATION, line_width=2)
            dots = plot.scatter(steps, numbers, color=VALIDATION, size=7, legend_label="validation")
            _hover(plot, dots, step="@x{0,0}", validation="@y{0.0000}")
        if report.best_step in values:
            best = {"x": [report.best_step], "y": [values[report.best_step]], "color": BEST}
            plot.scatter(**best, marker="star", size=20, legend_label=f"best, step {report.best_step:,}")
        plot.xaxis.axis_label = "Step"
        plot.add_layout(plot.legend[0], "above")
        plot.legend.orientation, plot.legend.border_line_color, plot.legend.padding = "horizontal", None, 0
        figures[name_of(metric)] = plot
    if not figures:
        return None
    text = "The training loss is a mean over the steps since the last one logged."
    if report.best_step is not None:
        metric = report.metrics_of_log[0].replace("_", " ")
        text += f" The weights of step {report.best_step:,} were kept, the best by validation {metric}."
    return Section("training", "Training", text, figures)


def _by_step(log: Sequence[Mapping[str, Any]], name: str) -> dict[int, float]:
    """The last value logged at each step, in order, without NaN and infinity."""
    found = {entry["step"]: entry[name] for entry in log if entry.get(name) is not None and np.isfinite(entry[name])}
    return dict(sorted(found.items()))


def maps(report: Report) -> Section | None:
    """UMAPs of the same rows side by side, in the colours of classes or numbers."""
    if not report.maps:
        return None
    rows, of_rows, drawn = report.rows, report.rows.of_rows, report.drawn
    columns = _names_of(rows, drawn)
    for i, points in enumerate(report.maps.values()):
        columns |= {f"x{i}": points[:, 0].astype(np.float32), f"y{i}": points[:, 1].astype(np.float32)}
    hover = {"id": "@id", **_group_of(rows)}
    if of_rows:
        hover |= {"label": "@label", "predicted": "@predicted"}
        for name in ("label", "predicted"):
            columns[name] = [_shown(getattr(of_rows, name)[row]) for row in drawn]
    plots = {caption: _figure(440, match_aspect=True) for caption in report.maps}
    # Class -> its rows; one for all where there are none.
    keys, of_class = [], {None: np.arange(len(drawn))}
    colour: Any = MODEL
    if of_rows and of_rows.has_label is not None:
        of_class = _classes_of(of_rows.has_label[drawn])
        colours = class_colours(of_rows.has_label.sum(axis=0))
    elif of_rows and np.ndim(of_rows.label) == 1:
        columns["value"] = np.array(of_rows.label)[drawn]
        mapper = LinearColorMapper(Cividis256, low=columns["value"].min(), high=columns["value"].max())
        colour = transform("value", mapper)
    for label, places in of_class.items():
        source = ColumnDataSource(
            {
                name: [values[i] for i in places] if isinstance(values, list) else values[places]
                for name, values in columns.items()
            }
        )
        if label is not None:
            colour = colours.get(label, OTHERS)
        renderers = []
        for i, plot in enumerate(plots.values()):
            dots = plot.scatter(
                f"x{i}",
                f"y{i}",
                source=source,
                color=colour,
                size=_size(len(drawn)),
                alpha=0.65,
                line_color=None,
                name=f"map {label} {i}",
            )
            _hover(plot, dots, **hover)
            renderers.append(dots.name)
        if label is not None:
            name = report.class_names[label] if label >= 0 else "other labels, or several"
            keys.append(Key(f"{readable(name)} ({len(places):,})", colour, renderers, is_species(name)))
    for plot in plots.values():
        plot.axis.visible = plot.grid.visible = False
    text = (
        f"{len(drawn):,} of {len(rows.ids):,} rows of the {report.split} split, placed by their embeddings. Point at "
        "one to see which it is. Distances between groups, and directions, mean nothing."
    )
    if keys:
        text += " Click a label to hide or show it."
    return Section("umap", "UMAP of the embeddings", text, plots, keys)


def _classes_of(has_label: np.ndarray) -> dict[int, np.ndarray]:
    """The rows of each class; -1 is for rows of none or several, and for classes without a colour."""
    colours = class_colours(has_label.sum(axis=0))
    classes = np.where(has_label.sum(axis=1) == 1, has_label.argmax(axis=1), -1)
    classes = np.where(np.isin(classes, list(colours)), classes, -1)
    found = {int(each): np.flatnonzero(classes == each) for each in np.unique(classes)}
    return {each: found[each] for each in sorted(found, key=lambda each: (each < 0, each))}


def _names_of(rows: PredictedRows, drawn: np.ndarray) -> dict[str, list[str]]:
    """Columns of what a pointer shows."""
    columns = {"id": [printable(rows.ids[row]) for row in drawn]}
    if rows.groups is not None:
        columns["group"] = [printable(str(rows.groups[row])) for row in drawn]
    return columns


def _group_of(rows: PredictedRows) -> dict[str, str]:
    return {} if rows.groups is None else {printable(rows.group_column): "@group"}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return printable(value)
    return f"{value:.4g}" if isinstance(value, float) else ", ".join(map(_shown, value)) or "none"


def _size(num_points: int) -> float:
    return float(np.clip(10_000 / num_points, 4, 9))


def _figure(height: int, **options: Any) -> Figure:
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_drag=None,  # or a finger on a phone would move the plot instead of the page
        active_scroll=None,
        toolbar_location="above",
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.outline_line_color = None
    plot.grid.grid_line_color = "#e8e8e8"
    plot.axis.axis_label_text_font_style = "normal"
    return plot


def _hover(plot: Figure, renderer: Any, **shown: str) -> None:
    plot.add_tools(HoverTool(renderers=[renderer], tooltips=list(shown.items()), visible=False))


SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    compare_methods,
    confusion_matrix,
    ranking_curves,
    reliability,
    predicted_and_true,
    curve_of_labels,
    training_curves,
    maps,
)
