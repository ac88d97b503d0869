"""The Trainer's log -> learning curve as PNG."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dnahub.metrics.names import name_of, number
from dnahub.reports.plots import COLOURS, save_figure

TRAINING, VALIDATION, BEST = COLOURS[:3]


def draw_learning_curve(log_history: list[dict[str, Any]], metric: str, best_step: int | None, path: Path) -> None:
    """
    Draw training and validation loss by step, and beside them the metric that chose the best checkpoint.

    Args:
        log_history: The Trainer's `state.log_history`; without evaluations, only the training loss is drawn.
        metric: The metric that chose; for the loss there is one panel.
        best_step: The step of the best checkpoint, a line in each panel and a star in that of the metric; `None` if
            none was chosen.
        path: The PNG.
    """
    training, losses, scores = (_by_step(log_history, name) for name in ("loss", "eval_loss", f"eval_{metric}"))
    panels = {"Loss": losses}
    if metric != "loss" and scores:
        panels[f"{name_of(metric)} (validation)"] = scores
    figure = Figure(figsize=(1.6 + 4.6 * len(panels), 4.4), layout="constrained")
    axes_of_panels = figure.subplots(1, len(panels), squeeze=False)[0]
    style = {"color": TRAINING, "linewidth": 1.2, "alpha": 0.8, "marker": "o" if len(training) == 1 else None}
    axes_of_panels[0].plot(training.keys(), training.values(), label="training", **style)
    for axes, (title, values) in zip(axes_of_panels, panels.items(), strict=True):
        style = {"color": VALIDATION, "linewidth": 1.6, "marker": "o", "markersize": 4}
        if values:
            axes.plot(values.keys(), values.values(), label="validation", **style)
        if best_step in scores:
            axes.axvline(best_step, color=BEST, linewidth=1, linestyle="--", zorder=1.5)
        axes.set_ylabel(title)
        axes.set_xlabel("Step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if best_step in scores:  # in the panel of the metric that chose it, the last one
        label = f"best checkpoint: {name_of(metric)} {number(scores[best_step])} at step {best_step:,}"
        style = {"color": BEST, "marker": "*", "markersize": 13, "linestyle": "--", "linewidth": 1}
        axes_of_panels[-1].plot(best_step, scores[best_step], label=label, **style)
    entries = {}  # label -> line, of all panels; above them, where no line is hidden
    for axes in axes_of_panels:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, line)
    figure.legend(entries.values(), entries, loc="outside upper center", ncols=1 + len(panels), frameon=False)
    save_figure(figure, path)


def _by_step(log_history: list[dict[str, Any]], name: str) -> dict[int, float]:
    """The last value logged at each step, in order; matplotlib leaves a gap for NaN and infinity."""
    return dict(sorted({entry["step"]: entry[name] for entry in log_history if name in entry}.items()))
