"""Output folder -> where a run goes on: what is new, interrupted, finished, half-written."""

import pytest
from transformers import TrainerState

from training.run_folder import best_checkpoint, resume_point, state_at


@pytest.fixture
def run(tmp_path):
    """A function that makes a run's folder with the Trainer's checkpoints of some steps."""

    def make(*steps: int, best: int | None = None):
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        for step in steps:
            point = folder / f"checkpoint-{step}"
            point.mkdir()
            kept = None if best is None else f"elsewhere/before/checkpoint-{best}"
            state = TrainerState(global_step=step, max_steps=100, best_model_checkpoint=kept)
            state.save_to_json(str(point / "trainer_state.json"))
        return folder

    return make


def test_a_new_run_begins_at_the_beginning(tmp_path, run):
    assert resume_point(str(tmp_path / "absent"), None) is None
    assert resume_point(str(run()), None) is None


def test_last_is_the_highest_step_and_not_the_last_name(run):
    folder = run(9, 100, 20)

    assert resume_point(str(folder), "last") == folder / "checkpoint-100"


def test_a_checkpoint_that_was_cut_off_while_it_was_written_is_passed_over(run):
    folder = run(10, 20)
    (folder / "checkpoint-30").mkdir()
    (folder / "checkpoint-30" / "model.safetensors").write_bytes(b"half")

    assert resume_point(str(folder), "last") == folder / "checkpoint-20"


def test_a_copy_under_another_name_is_no_checkpoint_of_the_run(run):
    folder = run(10, 20)
    (folder / "checkpoint-20").rename(folder / "checkpoint-20-kept")

    assert resume_point(str(folder), "last") == folder / "checkpoint-10"


def test_a_folder_with_a_cut_off_checkpoint_alone_is_a_new_run(run):
    folder = run()
    (folder / "checkpoint-30").mkdir()

    assert resume_point(str(folder), None) is None


def test_a_named_checkpoint_is_taken_from_where_it_lies(tmp_path, run):
    point = run(10, 20) / "checkpoint-10"

    assert resume_point(str(tmp_path / "new"), str(point)) == point


def test_an_interrupted_run_is_not_overwritten_and_the_way_on_is_named(run):
    with pytest.raises(ValueError, match=r"interrupted run \(checkpoint-20\).*--resume_from_checkpoint last"):
        resume_point(str(run(10, 20)), None)


@pytest.mark.parametrize("resume", [None, "last"])
def test_a_finished_run_is_not_overwritten(run, resume):
    (run(10) / "checkpoint").mkdir()

    with pytest.raises(ValueError, match="holds a finished run"):
        resume_point(str(run()), resume)


@pytest.mark.parametrize("resume", ["last", "absent/checkpoint-7"])
def test_where_there_is_nothing_to_resume_from_it_is_said(run, resume):
    with pytest.raises(ValueError, match="nothing to resume from"):
        resume_point(str(run()), resume)


def test_the_best_checkpoint_is_found_in_the_runs_folder_wherever_that_was_when_it_was_kept(run):
    folder = run(10, 20, best=10)

    assert best_checkpoint(folder / "checkpoint-20") == folder / "checkpoint-10"


def test_where_no_checkpoint_was_kept_as_the_best_it_is_the_last(run):
    point = run(20) / "checkpoint-20"

    assert best_checkpoint(point) == point
    assert (state_at(point).global_step, state_at(point).max_steps) == (20, 100)
