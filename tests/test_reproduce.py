"""benchmarks/reproduce.py: what README and docs show is what is recorded, and a figure that differs is named."""

import json

import pytest

from benchmarks import reproduce


@pytest.mark.parametrize("document", reproduce.DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_recorded_figures(document):
    text, figures = document.read_text(), json.loads(reproduce.RECORDED.read_text())
    assert reproduce.TABLE.search(text) and reproduce.with_tables(text, figures) == text


def test_figure_outside_its_interval_is_named():
    gone = {"score": 0.1, "interval": [0, 1]}
    recorded = {"real": {"model": {"score": 0.5, "interval": [0.48, 0.52]}, "gone": gone}}
    found = {"real": {"model": {"score": 0.5201, "interval": [0.5, 0.54]}, "new": {"score": 0.2, "interval": [0, 1]}}}
    assert reproduce.compare(recorded, found) == [
        "real, model: 0.5201, recorded 0.5000 (0.4800 to 0.5200)",
        "real, new: 0.2000, none recorded",
        "real, gone: not measured",
    ]
    found = {"real": {"model": {"score": 0.52, "interval": [0.5, 0.54]}, "gone": {"score": 0.9, "interval": [0, 1]}}}
    assert reproduce.compare(recorded, found) == []


def test_exit_code_tells_of_a_difference(tmp_path, monkeypatch, capsys):
    recorded = tmp_path / "figures.json"
    recorded.write_text(json.dumps({"splice": {"model": {"score": 0.95, "interval": [0.94, 0.96]}}}))
    monkeypatch.setattr(reproduce, "RECORDED", recorded)
    for score, code in ((0.945, 0), (0.93, 1)):
        found = {"splice": {"model": {"score": score, "interval": [score, score]}}}
        monkeypatch.setitem(reproduce.PARTS, "splice", lambda _source, _output, found=found: found)
        monkeypatch.setattr("sys.argv", ["reproduce.py", "--source", str(tmp_path), "--only", "splice"])
        assert reproduce.main() == code
    assert "splice, model: 0.9300, recorded 0.9500" in capsys.readouterr().err
