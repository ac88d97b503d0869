"""The learning curve: what it shows, and that a file is whole or not there."""

import math

import matplotlib.image
import numpy as np
import pytest

from dnahub.reports.learning_curve import BEST, TRAINING, VALIDATION, draw_learning_curve

# As the Trainer logs: losses by `logging_steps`, evaluations by `eval_steps`, a summary at the end.
HISTORY = [
    {"loss": 1.5, "grad_norm": 2.0, "learning_rate": 1e-4, "epoch": 0.5, "step": 5},
    {"loss": 1.2, "grad_norm": 2.0, "learning_rate": 5e-5, "epoch": 1.0, "step": 10},
    {"eval_loss": 1.3, "eval_accuracy": 0.4, "eval_runtime": 1.0, "epoch": 1.0, "step": 10},
    {"loss": 0.9, "grad_norm": 2.0, "learning_rate": 0.0, "epoch": 2.0, "step": 20},
    {"eval_loss": 1.4, "eval_accuracy": 0.5, "eval_runtime": 1.0, "epoch": 2.0, "step": 20},
    {"train_runtime": 9.0, "train_loss": 1.2, "epoch": 2.0, "step": 20},
]


def lines(axes) -> dict[str, tuple[list, list]]:
    """Colour, kind of line and * of a star -> its points."""
    return {
        line.get_color() + line.get_linestyle() + "*" * (line.get_marker() == "*"): tuple(map(list, line.get_data()))
        for line in axes.lines
    }


def test_losses_and_the_metric_that_chose_are_drawn_by_step_and_the_best_is_marked_by_the_metric(tmp_path, drawn):
    path = tmp_path / "learning_curve.png"
    draw_learning_curve(HISTORY, "accuracy", 20, path)
    loss, score = drawn[0].axes
    assert lines(loss) == {
        TRAINING + "-": ([5, 10, 20], [1.5, 1.2, 0.9]),
        VALIDATION + "-": ([10, 20], [1.3, 1.4]),
        BEST + "--": ([20, 20], [0, 1]),
    }
    assert lines(score) == {
        VALIDATION + "-": ([10, 20], [0.4, 0.5]),
        BEST + "--": ([20, 20], [0, 1]),
        BEST + "--*": ([20], [0.5]),
    }
    assert (loss.get_ylabel(), score.get_ylabel()) == ("Loss", "Accuracy (validation)")
    assert matplotlib.image.imread(path).std() > 0.01  # something is drawn
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("metric", "step", "value"), [("loss", 10, "Loss 1.3000"), ("accuracy", 20, "Accuracy 0.5000")]
)
def test_the_legend_names_the_best_and_lies_above_the_panels(tmp_path, drawn, metric, step, value):
    draw_learning_curve(HISTORY, metric, step, tmp_path / "learning_curve.png")
    (figure,) = drawn
    assert lines(figure.axes[-1])[BEST + "--*"][0] == [step] and len(figure.axes) == (1 if metric == "loss" else 2)
    (legend,) = figure.legends
    best = f"best checkpoint: {value} at step {step}"
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", best]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert all(axes.get_legend() is None and box.y0 >= axes.get_window_extent().y1 for axes in figure.axes)
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


@pytest.mark.parametrize(("losses", "steps"), [([], []), ([1.0], [0]), ([1.0, math.nan, math.inf, 2.0], [0, 1, 2, 3])])
def test_a_run_without_evaluations_shows_its_training_losses_finite_or_not(tmp_path, drawn, losses, steps):
    history = [*({"loss": value, "step": step} for step, value in enumerate(losses)), HISTORY[-1]]
    draw_learning_curve(history, "accuracy", None, tmp_path / "learning_curve.png")
    (loss,) = drawn[0].axes
    assert list(lines(loss)) == [TRAINING + "-"] and lines(loss)[TRAINING + "-"][0] == steps
    assert np.isfinite(loss.get_ylim()).all()


def test_a_step_evaluated_again_shows_the_last_value(tmp_path, drawn):
    again = {"eval_loss": 1.1, "eval_accuracy": 0.6, "step": 10}
    draw_learning_curve([*HISTORY, again], "accuracy", 20, tmp_path / "learning_curve.png")
    assert lines(drawn[0].axes[1])[VALIDATION + "-"] == ([10, 20], [0.6, 0.5])
