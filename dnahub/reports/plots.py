"""Confusion matrix, or points and their labels -> PNG."""

import re
import warnings
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from dnahub.machine.files import replacing
from dnahub.machine.text import printable

matplotlib.rcParams["text.parse_math"] = False  # a `$` in a label or path is a `$`

DPI = 160
# Okabe & Ito, distinguishable by the colour-blind (https://jfly.uni-koeln.de/color/); yellow is late, faint on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MORE_COLOURS = tuple(
    map(matplotlib.colors.to_hex, matplotlib.colormaps["tab20"].colors)
)  # for more labels than COLOURS
OTHERS = "#cccccc"  # grey, of labels without a colour of their own

MAX_LABELS_WITH_NUMBERS = 20  # in the cells of a confusion matrix
MAX_LABELS_WITH_NAMES = 150  # beside it; of more, they would be smaller than 4 points
MAX_NAME = 30  # letters

_SPECIES_NAME = re.compile(r"[A-Z][a-z]+ [a-z]+")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG; an older one is replaced only when the new one is whole."""
    with replacing(path) as scratch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of scripts that the font lacks
        figure.savefig(scratch, format="png", dpi=DPI)


def draw_confusion_matrix(confusion: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """
    Draw a confusion matrix, coloured by the fraction of each true label.

    Args:
        confusion: Counts, (true, predicted), in the order of `label_names`.
        label_names: One name a label; species are set in italics.
        title: Above the figure.
        path: The PNG.
    """
    num_labels = len(label_names)
    fractions = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)  # (true, predicted)
    side_inch = float(np.clip(0.8 * num_labels, 4, 14))
    figure = Figure(figsize=(side_inch + 3.2, side_inch + 2.0), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(fractions, vmin=0, vmax=1, cmap="Blues")
    if num_labels <= MAX_LABELS_WITH_NUMBERS:
        font_size = min(9, 0.22 * 72 * side_inch / num_labels)
        for (true, predicted), fraction in np.ndenumerate(fractions):
            text = f"{confusion[true, predicted]:,}\n{fraction:.0%}"
            colour = "white" if fraction > 0.65 else "black"
            axes.text(predicted, true, text, ha="center", va="center", fontsize=font_size, color=colour)
    shown = label_names if num_labels <= MAX_LABELS_WITH_NAMES else []
    names = list(map(readable, shown))
    font_size = min(10, 0.65 * 72 * side_inch / num_labels)
    axes.set_xticks(range(len(names)), names, fontsize=font_size, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names, fontsize=font_size)
    _set_italics([*axes.get_xticklabels(), *axes.get_yticklabels()])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Predicted label")
    axes.set_ylabel("True label")
    colour_bar = figure.colorbar(image, ax=axes, shrink=0.8, format="{x:.0%}")
    colour_bar.set_label("Fraction of the row")
    colour_bar.outline.set_visible(False)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def draw_points(points: np.ndarray, labels: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """
    Draw the points of a UMAP, one colour for each label.

    Of more labels than there are colours, the most frequent have one and all others are grey.

    Args:
        points: (points, 2).
        labels: (points,), indices into `label_names`.
        label_names: One name a label; species are set in italics.
        title: Above the figure.
        path: The PNG.
    """
    colours = class_colours(np.bincount(labels, minlength=len(label_names)))
    figure = Figure(figsize=(8.8, 6.4), layout="constrained")
    axes = figure.add_subplot()
    order = np.random.default_rng(0).permutation(len(points))  # so that no label hides another
    size = np.clip(30_000 / len(points), 5, 40)
    of_points = [colours.get(label, OTHERS) for label in labels[order]]
    axes.scatter(*points[order].T, c=of_points, s=size, alpha=0.65, linewidths=0)
    entries = [(readable(label_names[label]), colour) for label, colour in colours.items()]
    if len(colours) < len(label_names):
        entries.append((f"{len(label_names) - len(colours)} other labels", OTHERS))
    handles = [axes.scatter([], [], color=colour, s=45, linewidths=0, label=name) for name, colour in entries]
    legend = figure.legend(handles=handles, loc="outside right center", frameon=False)
    _set_italics(legend.get_texts())
    axes.set_xlabel("UMAP 1")
    axes.set_ylabel("UMAP 2")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(title, fontsize=11, pad=12)
    save_figure(figure, path)


def class_colours(counts: np.ndarray) -> dict[int, str]:
    """Class -> its colour, given how often each occurs; of more than there are colours, the most frequent have one."""
    palette = COLOURS if len(counts) <= len(COLOURS) else MORE_COLOURS
    by_frequency = np.argsort(-counts, kind="stable")
    return dict(zip(np.sort(by_frequency[: len(palette)]).tolist(), palette, strict=False))


def readable(name: str, most: int = MAX_NAME) -> str:
    """On one line, the middle of a long name left out."""
    name = printable(" ".join(name.replace("_", " ").split()))
    return name if len(name) <= most else f"{name[: most // 2]}…{name[1 - most // 2 :]}"


def is_species(name: str) -> bool:
    """Whether it is to be set in italics."""
    return _SPECIES_NAME.fullmatch(name) is not None


def _set_italics(texts: list[Text]) -> None:
    for text in texts:
        if is_species(text.get_text()):
            text.set_fontstyle("italic")
