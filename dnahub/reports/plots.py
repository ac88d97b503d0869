"""Confusion matrix, or points and their labels -> PNG."""

import re
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dnahub.machine.files import replacing

DPI = 160

# Okabe & Ito, colours that the colour-blind tell apart (https://jfly.uni-koeln.de/color/); yellow, faint on white,
# last but black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "v")  # one more round of the colours each

_SPECIES_NAME = re.compile(r"[A-Z][a-z]+ [a-z]+")


def draw_confusion_matrix(confusion: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """
    Draw a confusion matrix, coloured by the share of each true label; counts and shares stand in the cells.

    Args:
        confusion: Counts, (true, predicted), in the order of `label_names`.
        label_names: One name a label; species are set in italics.
        title: What, of which data, of how many examples, how good.
        path: The PNG; replaced, if there is one, only when the new one is whole.

    Raises:
        ValueError: A matrix that is not (labels, labels).
    """
    confusion = np.asarray(confusion)
    num_labels = len(label_names)
    if confusion.shape != (num_labels, num_labels):
        raise ValueError(f"Got a confusion matrix of shape {confusion.shape} for {num_labels} label names.")
    examples = confusion.sum(axis=1, keepdims=True)  # (true, 1)
    shares = confusion / np.maximum(examples, 1)

    side_inch = max(4.0, 0.8 * num_labels)
    figure = Figure(figsize=(side_inch + 3.2, side_inch + 2.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for true, predicted in np.ndindex(*confusion.shape):
        share = shares[true, predicted]
        axes.text(
            predicted,
            true,
            f"{confusion[true, predicted]:,}\n{share:.0%}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share > 0.65 else "black",
        )
    styles = [_font_style(name) for name in label_names]
    names = [_readable(name) for name in label_names]
    axes.set_xticks(range(num_labels), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(num_labels), names)
    for tick_labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for tick_label, style in zip(tick_labels, styles, strict=True):
            tick_label.set_fontstyle(style)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Predicted species" if "italic" in styles else "Predicted label")
    axes.set_ylabel("True species" if "italic" in styles else "True label")
    colour_bar = figure.colorbar(image, ax=axes, shrink=0.8, format="{x:.0%}")
    colour_bar.set_label("Share of the row")
    colour_bar.outline.set_visible(False)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def draw_points(points: np.ndarray, labels: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """
    Draw the points of a UMAP, one colour (beyond eight labels: colour and marker) a label.

    Points are drawn in a random order (always the same one), so that no label hides another.

    Args:
        points: (points, 2).
        labels: (points,), indices into `label_names`.
        label_names: One name a label; species are set in italics.
        title: What, of which data, of how many examples.
        path: The PNG; replaced, if there is one, only when the new one is whole.

    Raises:
        ValueError: Points and labels of different numbers, or more labels than can be told apart.
    """
    if len(points) != len(labels):
        raise ValueError(f"Got {len(points)} points and {len(labels)} labels.")
    if len(label_names) > len(COLOURS) * len(MARKERS):
        raise ValueError(f"Got {len(label_names)} labels; {len(COLOURS) * len(MARKERS)} can be told apart.")

    figure = Figure(figsize=(8.8, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(points))
    labels = np.asarray(labels)[order]
    points = np.asarray(points)[order]
    point_colours = np.array(COLOURS)[labels % len(COLOURS)]
    size = float(np.clip(30_000 / max(len(points), 1), 5, 40))
    for i, marker in enumerate(MARKERS):
        of_marker = labels // len(COLOURS) == i
        axes.scatter(*points[of_marker].T, c=point_colours[of_marker], marker=marker, s=size, alpha=0.65, linewidths=0)
    handles = [
        axes.scatter([], [], c=COLOURS[i % len(COLOURS)], marker=MARKERS[i // len(COLOURS)], s=45, linewidths=0)
        for i in range(len(label_names))
    ]
    legend = figure.legend(
        handles, [_readable(name) for name in label_names], loc="outside right center", frameon=False, fontsize=10
    )
    for text, name in zip(legend.get_texts(), label_names, strict=True):
        text.set_fontstyle(_font_style(name))
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _font_style(name: str) -> str:
    return "italic" if _SPECIES_NAME.fullmatch(_readable(name)) else "normal"


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=DPI)
