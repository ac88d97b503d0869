"""The Trainer's log -> learning curve as PNG."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dnahub.reports.plots import COLOURS, new_figure, save_figure

TRAINING, VALIDATION, BEST = COLOURS[0], COLOURS[1], COLOURS[2]


def draw_learning_curve(log_history: list[dict[str, Any]], metric: str, best_step: int | None, path: Path) -> None:
    """
    Draw training and validation loss by step, and beside them the metric that chose the best checkpoint.

    Args:
        log_history: The Trainer's `state.log_history`; without evaluations, only the training loss is drawn.
        metric: The metric that chose, with or without `eval_`; for the loss there is one panel.
        best_step: The step of the best checkpoint, which is marked; `None` if none was chosen.
        path: The PNG.
    """
    metric = metric.removeprefix("eval_")
    scores = _by_step(log_history, f"eval_{metric}") if metric != "loss" else {}
    figure = new_figure(10.4 if scores else 6.4, 4.2)
    panels = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    training = _by_step(log_history, "loss")
    marker = "o" if len(training) == 1 else None  # one point makes no line
    panels[0].plot(*_points(training), color=TRAINING, linewidth=1.2, alpha=0.8, marker=marker, label="training")
    panels[0].set_ylabel("Loss")
    _draw_evaluations(panels[0], _by_step(log_history, "eval_loss"), best_step)
    if scores:
        panels[1].set_ylabel(f"Validation {metric.replace('_', ' ')}")
        _draw_evaluations(panels[1], scores, best_step)
    for axes in panels:
        axes.set_xlabel("Step")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(framealpha=0.9, edgecolor="none")  # opaque: lines must not cross the text
    save_figure(figure, path)


def _draw_evaluations(axes: Axes, values: dict[int, float], best_step: int | None) -> None:
    if values:
        axes.plot(*_points(values), color=VALIDATION, linewidth=1.6, marker="o", markersize=4, label="validation")
    if best_step in values:
        axes.axvline(best_step, color=BEST, linewidth=1, linestyle="--", zorder=1.5)
        label = f"best checkpoint: {values[best_step]:.4g} at step {best_step:,}"
        axes.plot(best_step, values[best_step], color=BEST, marker="*", markersize=13, linestyle="", label=label)


def _by_step(log_history: list[dict[str, Any]], name: str) -> dict[int, float]:
    """The last value logged at each step, in order; matplotlib leaves a gap for NaN and infinity."""
    return dict(sorted({entry["step"]: entry[name] for entry in log_history if name in entry}.items()))


def _points(values: dict[int, float]) -> tuple[list[int], list[float]]:
    return list(values), list(values.values())
