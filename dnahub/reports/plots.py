"""Confusion matrix, or points and their labels -> PNG."""

import re
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from dnahub.machine.files import replacing

DPI = 160

# Okabe & Ito, distinguishable by the colour-blind (https://jfly.uni-koeln.de/color/); yellow, faint on white, is last
# but one.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "v")  # one more round of the colours each
MAX_STYLES = len(COLOURS) * len(MARKERS)
OTHERS = "0.8"  # grey, of labels without a style of their own

MAX_LABELS_WITH_NUMBERS = 20  # in the cells of a confusion matrix
MAX_LABELS_WITH_NAMES = 150  # beside it; of more, they would be smaller than 4 points
MAX_NAME = 30  # letters

_SPECIES_NAME = re.compile(r"[A-Z][a-z]+ [a-z]+")


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """An empty figure that needs no display."""
    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG; an older one is replaced only when the new one is whole."""
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=DPI)


def draw_confusion_matrix(confusion: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """
    Draw a confusion matrix, coloured by the share of each true label.

    Counts and shares are written into the cells of up to `MAX_LABELS_WITH_NUMBERS` labels, names beside up to
    `MAX_LABELS_WITH_NAMES`.

    Args:
        confusion: Counts, (true, predicted), in the order of `label_names`.
        label_names: One name a label; species are set in italics.
        title: Any text.
        path: The PNG.

    Raises:
        ValueError: A matrix that is not (labels, labels).
    """
    num_labels = len(label_names)
    if confusion.shape != (num_labels, num_labels):
        raise ValueError(f"Got a confusion matrix of shape {confusion.shape} for {num_labels} label names.")
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)  # (true, predicted)

    side_inch = float(np.clip(0.8 * num_labels, 4, 14))
    figure = new_figure(side_inch + 3.2, side_inch + 2.0)
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    if num_labels <= MAX_LABELS_WITH_NUMBERS:
        font_size = min(9, 0.22 * 72 * side_inch / num_labels)
        for (true, predicted), share in np.ndenumerate(shares):
            text = f"{confusion[true, predicted]:,}\n{share:.0%}"
            colour = "white" if share > 0.65 else "black"
            axes.text(predicted, true, text, ha="center", va="center", fontsize=font_size, color=colour)
    kind = "species" if any(map(_is_species, label_names)) else "label"
    if num_labels <= MAX_LABELS_WITH_NAMES:
        font_size = min(10, 0.65 * 72 * side_inch / num_labels)
        names = list(map(_readable, label_names))
        rotation = 35 if num_labels <= MAX_LABELS_WITH_NUMBERS else 90
        anchor = {"ha": "right", "va": "center" if rotation == 90 else "top", "rotation_mode": "anchor"}
        axes.set_xticks(range(num_labels), names, rotation=rotation, fontsize=font_size, **anchor)
        axes.set_yticks(range(num_labels), names, fontsize=font_size)
        for tick_labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            _style(tick_labels, label_names)
        order = ""
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        order = f", {num_labels} in the order of label_names"
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"Predicted {kind}{order}")
    axes.set_ylabel(f"True {kind}{order}")
    colour_bar = figure.colorbar(image, ax=axes, shrink=0.8, format="{x:.0%}")
    colour_bar.set_label("Share of the row")
    colour_bar.outline.set_visible(False)
    figure.suptitle(title, fontsize=11, parse_math=False)
    save_figure(figure, path)


def draw_points(points: np.ndarray, labels: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """
    Draw the points of a UMAP, one colour (beyond eight labels: colour and marker) for each label.

    With more than `MAX_STYLES` labels, the most frequent ones have styles and all others are grey. Points are drawn in
    a random order, always the same one, so that no label hides another.

    Args:
        points: (points, 2).
        labels: (points,), indices into `label_names`.
        label_names: One name a label; species are set in italics.
        title: Any text.
        path: The PNG.

    Raises:
        ValueError: Points and labels of different numbers.
    """
    if len(points) != len(labels):
        raise ValueError(f"Got {len(points)} points and {len(labels)} labels.")
    counts = np.bincount(labels, minlength=len(label_names))
    shown = np.arange(len(label_names))
    if len(shown) > MAX_STYLES:
        shown = np.sort(np.argsort(-counts, kind="stable")[: MAX_STYLES - 1])
    style = np.full(len(label_names), -1)
    style[shown] = np.arange(len(shown))

    figure = new_figure(8.8, 6.4)
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(points))
    points, styles = points[order], style[labels[order]]
    looks = {"s": float(np.clip(30_000 / max(len(points), 1), 5, 40)), "alpha": 0.65, "linewidths": 0}
    axes.scatter(*points[styles < 0].T, color=OTHERS, **looks)
    for i, marker in enumerate(MARKERS):
        of_marker = styles // len(COLOURS) == i
        axes.scatter(
            *points[of_marker].T, c=np.array(COLOURS)[styles[of_marker] % len(COLOURS)], marker=marker, **looks
        )
    names = [label_names[label] for label in shown]
    handles = [
        axes.scatter([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i // len(COLOURS)], s=45, linewidths=0)
        for i in range(len(names))
    ]
    if len(shown) < len(label_names):
        names.append(f"{len(label_names) - len(shown)} other labels")
        handles.append(axes.scatter([], [], color=OTHERS, s=45, linewidths=0))
    font_size = min(10, 300 / len(names))
    legend = figure.legend(
        handles, list(map(_readable, names)), loc="outside right center", frameon=False, fontsize=font_size
    )
    _style(legend.get_texts(), names)
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    figure.suptitle(title, fontsize=11, parse_math=False)
    save_figure(figure, path)


def _readable(name: str) -> str:
    """On one line, the middle of a long name left out."""
    name = " ".join(name.replace("_", " ").split())
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 15]}…{name[-14:]}"


def _is_species(name: str) -> bool:
    return _SPECIES_NAME.fullmatch(_readable(name)) is not None


def _style(texts: list[Text], names: list[str]) -> None:
    """Species in italics, and `$` as it is."""
    for text, name in zip(texts, names, strict=True):
        text.set_parse_math(False)
        text.set_fontstyle("italic" if _is_species(name) else "normal")
