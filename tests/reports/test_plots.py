"""The figures: what they show, for any number and names of labels, and that a file is whole or absent."""

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dnahub.reports import plots
from dnahub.reports.plots import draw_confusion_matrix, draw_points
from dnahub.reports.probe_report import draw_label_curve

SPECIES = ["Homo_sapiens", "Escherichia coli", "promoter"]
CONFUSION = np.array([[9, 1, 0], [0, 1200, 0], [0, 0, 0]])


def colours(path) -> set:
    return {tuple(rgb) for rgb in (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)}


def test_confusion_matrix_shows_counts_shares_names_and_title(tmp_path, drawn):
    path = tmp_path / "confusion_matrix.png"
    draw_confusion_matrix(CONFUSION, SPECIES, "SYNTHETIC DATA: a classifier", path)
    (figure,) = drawn
    axes: Axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "9\n90%"
    assert cells[1, 0] == "1\n10%"  # x is the predicted label, y the true one
    assert cells[1, 1] == "1,200\n100%"
    assert cells[2, 2] == "0\n0%"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Homo sapiens", "Escherichia coli", "promoter"]
    assert [label.get_fontstyle() for label in axes.get_xticklabels()] == ["italic", "italic", "normal"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted label", "True label")
    assert figure.get_suptitle() == "SYNTHETIC DATA: a classifier"
    assert len(colours(path)) > 10


def test_points_wear_the_colour_of_their_label_in_the_legend(tmp_path, drawn):
    path = tmp_path / "umap.png"
    points = np.random.default_rng(0).normal(size=(300, 2))
    draw_points(points, np.arange(300) % 3, SPECIES, "300 windows", path)
    (figure,) = drawn
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Homo sapiens", "Escherichia coli", "promoter"]
    assert [text.get_fontstyle() for text in legend.get_texts()] == ["italic", "italic", "normal"]
    cloud = figure.axes[0].collections[0]
    of_first = matplotlib.colors.to_rgba(plots.COLOURS[0], alpha=0.65)
    has_colour = np.all(np.isclose(cloud.get_facecolors(), of_first), axis=1)
    got = {tuple(point) for point in np.asarray(cloud.get_offsets())[has_colour].round(6)}
    assert got == {tuple(point) for point in points[::3].round(6)}
    assert len(colours(path)) > 10


@pytest.mark.parametrize(("num_labels", "num_coloured"), [(8, 8), (40, 20)])
def test_every_label_has_its_colour_and_the_rarest_of_many_are_grey(tmp_path, drawn, num_labels, num_coloured):
    names = [f"label {i}" for i in range(num_labels)]
    labels = np.concatenate([np.arange(num_labels), np.arange(num_labels - 8, num_labels)])  # the last ones twice
    draw_points(np.zeros((len(labels), 2)), labels, names, "", tmp_path / "umap.png")
    shown = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert len(set(shown) & set(names)) == num_coloured and set(names[-8:]) <= set(shown)
    assert ("20 other labels" in shown) == (num_labels == 40)
    colours = {tuple(colour) for colour in drawn[0].axes[0].collections[0].get_facecolors()}
    assert len(colours) == num_coloured + (num_labels == 40)


@pytest.mark.parametrize(
    ("num_labels", "has_numbers", "num_names"), [(20, True, 20), (100, False, 100), (160, False, 0)]
)
def test_a_confusion_matrix_of_many_labels_has_no_numbers_and_of_very_many_no_names(
    tmp_path, drawn, num_labels, has_numbers, num_names
):
    names = [f"label {i} {'x' * 300}" for i in range(num_labels)]
    draw_confusion_matrix(np.eye(num_labels, dtype=int), names, "", tmp_path / "confusion_matrix.png")
    axes = drawn[0].axes[0]
    assert len(axes.texts) == (num_labels**2 if has_numbers else 0)
    assert len(axes.get_xticklabels()) == len(axes.get_yticklabels()) == num_names
    assert max(drawn[0].get_size_inches()) < 20


def test_names_and_titles_are_drawn_as_they_are_and_long_names_in_part(tmp_path, drawn, recwarn):
    names = ["cost $5 and $6", "$\\frac$", "two\nlines 基因 \x1b[31m", "x" * 300]
    draw_confusion_matrix(np.eye(4, dtype=int), names, "at $PATH_$HOME", tmp_path / "confusion_matrix.png")
    draw_points(np.zeros((4, 2)), np.arange(4), names, "at $PATH_$HOME", tmp_path / "umap.png")
    texts = [drawn[0].axes[0].get_xticklabels(), drawn[0].axes[0].get_yticklabels(), drawn[1].legends[0].get_texts()]
    for each in texts:
        assert [text.get_text() for text in each[:3]] == [*names[:2], "two lines 基因 \\x1b[31m"]
        assert len(each[3].get_text()) == plots.MAX_NAME
    assert not recwarn.list  # of glyphs that the font lacks


def test_a_note_stands_below_the_title_of_the_learning_curve(tmp_path, drawn):
    point = {"rows": 100, "balanced_accuracy": {"mean": 0.5, "lowest": 0.4, "highest": 0.6}}
    draw_label_curve({"probe": [point]}, "What it has seen. " * 20, "probe", tmp_path / "labelled_rows.png")
    assert drawn[0].axes[0].get_title().split() == ["What", "it", "has", "seen."] * 20


def test_a_figure_that_cannot_be_saved_leaves_the_old_one_and_no_scrap(tmp_path, monkeypatch):
    path = tmp_path / "confusion_matrix.png"
    path.write_bytes(b"the old one")

    def fail(figure, scratch, **kwargs):
        scratch.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="No space left"):
        draw_confusion_matrix(CONFUSION, SPECIES, "", path)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]
