"""Output folder -> where a run goes on, if it was interrupted."""

from pathlib import Path

from transformers import TrainerState

CHECKPOINT = "checkpoint"  # the finished one; the Trainer's own, to resume from, are `checkpoint-STEP` beside it


def resume_point(output_dir: str, resume_from_checkpoint: str | None) -> Path | None:
    """
    Where to begin.

    Args:
        output_dir: The run's folder.
        resume_from_checkpoint: `"last"`, or a folder that the Trainer saved; `None` for a new run.

    Returns:
        The folder to resume from; `None` for a new run.

    Raises:
        ValueError: If a run in that folder would be overwritten, or there is nothing to resume.
    """
    folder = Path(output_dir)
    last = _last_checkpoint(folder)
    if (folder / CHECKPOINT).exists():
        raise ValueError(
            f"{folder} holds a finished run ({CHECKPOINT}/); name another --output_dir, delete it, or publish it "
            "with --push_only."
        )
    if resume_from_checkpoint is None:
        if last is not None:
            raise ValueError(
                f"{folder} holds an interrupted run ({last.name}); give --resume_from_checkpoint last to go on, "
                "name another --output_dir, or delete it."
            )
        return None
    point = last if resume_from_checkpoint == "last" else resume_from_checkpoint
    if point is None or not (Path(point) / "trainer_state.json").is_file():
        raise ValueError(f"There is nothing to resume from in {point or folder}; leave --resume_from_checkpoint out.")
    return Path(point)


def _last_checkpoint(folder: Path) -> Path | None:
    """The Trainer's last checkpoint; one without a state, which is written at its end, was cut off by a kill."""
    points = {
        path.parent.name.removeprefix("checkpoint-"): path.parent for path in folder.glob("*/trainer_state.json")
    }
    return points[max(steps, key=int)] if (steps := [step for step in points if step.isdecimal()]) else None


def state_at(point: Path) -> TrainerState:
    """What the Trainer noted when it saved that checkpoint."""
    return TrainerState.load_from_json(str(point / "trainer_state.json"))


def best_checkpoint(point: Path) -> Path:
    """The best checkpoint of an interrupted run by validation, or, where none was kept as such, its last."""
    best = state_at(point).best_model_checkpoint
    return point.parent / Path(best).name if best else point  # the folder may have been moved since
