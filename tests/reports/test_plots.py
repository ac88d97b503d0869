"""The two figures: what they show, and that a file is whole or not there."""

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dnahub.reports import plots
from dnahub.reports.plots import draw_confusion_matrix, draw_points

SPECIES = ["Homo_sapiens", "Escherichia coli", "promoter"]
CONFUSION = np.array([[9, 1, 0], [0, 1200, 0], [0, 0, 0]])


@pytest.fixture
def drawn(monkeypatch):
    """Figures that were saved."""
    figures = []
    save = Figure.savefig

    def savefig(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


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
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted species", "True species")
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


def test_more_labels_than_colours_take_another_marker(tmp_path, drawn):
    names = [f"label {i}" for i in range(10)]
    draw_points(np.zeros((10, 2)), np.arange(10), names, "ten", tmp_path / "umap.png")
    assert [len(cloud.get_offsets()) for cloud in drawn[0].axes[0].collections[:2]] == [8, 2]


def test_no_two_of_the_first_eight_labels_share_a_colour():
    assert len(set(plots.COLOURS)) == len(plots.COLOURS)


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


def test_a_matrix_of_another_size_than_the_names_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"\(3, 3\).* 2 label"):
        draw_confusion_matrix(CONFUSION, SPECIES[:2], "", tmp_path / "x.png")


def test_points_without_labels_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="3 points and 2 labels"):
        draw_points(np.zeros((3, 2)), np.zeros(2, dtype=int), SPECIES, "", tmp_path / "x.png")


def test_more_labels_than_can_be_told_apart_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="33 labels.* 32"):
        draw_points(np.zeros((3, 2)), np.arange(3), [str(i) for i in range(33)], "", tmp_path / "x.png")
