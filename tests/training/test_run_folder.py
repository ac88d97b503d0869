"""Output folder -> whose run it is and where that goes on: new, interrupted, finished, half-written, another's."""

import json

import pytest
from transformers import TrainerState

from dnahub.sequences.opening import InputFile
from dnahub.training.run_folder import begin, contents, find_run, resume_point
from tests.messages import naming

ARGUMENTS = {"learning_rate": 1e-4, "dataset_name": "data/toy"}
RECORD = {"arguments": ARGUMENTS, "environment": {"python": "3.11"}, "commits": {"dataset": "a" * 40, "model": None}}


@pytest.fixture
def run(tmp_path):
    """A function that makes a run's folder with the Trainer's checkpoints of some steps."""

    def make(*steps: int):
        folder = tmp_path / "run"
        begin(folder, RECORD)
        for step in steps:
            point = folder / f"checkpoint-{step}"
            point.mkdir()
            TrainerState(global_step=step).save_to_json(str(point / "trainer_state.json"))
        return folder

    return make


def test_a_run_is_new_where_there_is_no_folder_and_where_nothing_was_saved_yet(tmp_path, run):
    assert find_run(tmp_path / "absent", ARGUMENTS) is None
    assert not (tmp_path / "absent").exists()
    assert find_run(run(), ARGUMENTS | {"learning_rate": 1.0}) is None
    assert resume_point(tmp_path / "absent") is None


def test_the_same_run_goes_on_with_what_it_was_begun_with(run):
    folder = run(10)

    assert find_run(folder, ARGUMENTS) == RECORD
    begin(folder, RECORD | {"environment": {"python": "3.12"}})
    assert json.loads((folder / "run.json").read_text()) == RECORD


def test_another_runs_folder_is_refused_with_every_argument_that_differs(run):
    folder = run(10)

    with pytest.raises(ValueError, match=naming("learning_rate 0.0001", "0.1", "--output_dir")):
        find_run(folder, ARGUMENTS | {"learning_rate": 0.1})
    with pytest.raises(ValueError, match=naming("dataset_name data/toy", "learning_rate 0.0001")):
        find_run(folder, {})


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint-7", "seed-42", "search.json"])
def test_what_was_saved_without_a_whole_record_is_anothers(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "run.json").write_text('{"arguments": {')

    with pytest.raises(ValueError, match=naming(name, "run.json")):
        find_run(tmp_path, ARGUMENTS)


@pytest.mark.parametrize("state", [None, "", '{"global_step": 30'], ids=lambda text: f"state {text}")
def test_a_checkpoint_that_was_cut_off_while_it_was_written_is_passed_over_and_removed(run, capsys, state):
    folder = run(9, 100, 20)
    (folder / "checkpoint-130").mkdir()
    (folder / "checkpoint-130" / "model.safetensors").write_bytes(b"half")
    if state is not None:
        (folder / "checkpoint-130" / "trainer_state.json").write_text(state)

    assert resume_point(folder) == folder / "checkpoint-100"  # the highest step and not the last name
    assert not (folder / "checkpoint-130").exists()
    assert "checkpoint-130" in capsys.readouterr().out


def test_other_contents_of_the_same_files_are_told(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.parquet").write_bytes(b"a" * 3_000_000)
    (tmp_path / "data" / "README.md").write_text("one")
    before = contents([str(tmp_path / "data"), "absent"])

    assert list(before) == [f"content of {tmp_path}/data/{name}" for name in ("README.md", "a.parquet")]
    (tmp_path / "data" / "README.md").write_text("two")
    assert contents([str(tmp_path / "data")]) == before
    (tmp_path / "data" / "README.md").write_text("---\nconfigs: [{config_name: b, data_files: a.parquet}]\n---\n")
    assert contents([str(tmp_path / "data")]) != before  # which files make up which split
    (tmp_path / "data" / "README.md").write_text("two")
    (tmp_path / "data" / ".git").mkdir()
    (tmp_path / "data" / ".git" / "FETCH_HEAD").write_text("of git")
    assert contents([str(tmp_path / "data")]) == before
    for changed in (b"a" * 1_500_000 + b"b" + b"a" * 1_499_999, b"a" * 3_000_001):
        (tmp_path / "data" / "a.parquet").write_bytes(changed)
        assert contents([str(tmp_path / "data")]) != before


def test_other_contents_of_standard_input_are_told_and_it_is_still_read(tmp_path, monkeypatch):
    digests = []
    for text in (">a\nAC\n", ">a\nAG\n"):
        (tmp_path / "in").write_text(text)
        with monkeypatch.context() as patch, (tmp_path / "in").open() as file:
            patch.setattr("sys.stdin", file)
            digests += contents(["-"]).values()
            assert next(InputFile("-").open()) == b">a\n"
    assert len(set(digests)) == 2
