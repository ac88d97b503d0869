"""Output folder -> where a run goes on, if it was interrupted."""

from pathlib import Path

from transformers import TrainerState
from transformers.trainer_utils import get_last_checkpoint

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
    last = get_last_checkpoint(output_dir) if folder.is_dir() else None
    if (folder / CHECKPOINT).exists():
        raise ValueError(f"{folder} holds a finished run ({CHECKPOINT}/); name another --output_dir or delete it.")
    if resume_from_checkpoint is None:
        if last is not None:
            raise ValueError(
                f"{folder} holds an interrupted run ({Path(last).name}); give --resume_from_checkpoint last to go on, "
                "name another --output_dir, or delete it."
            )
        return None
    point = last if resume_from_checkpoint == "last" else resume_from_checkpoint
    if point is None or not (Path(point) / "trainer_state.json").is_file():
        raise ValueError(f"There is nothing to resume from in {point or folder}; leave --resume_from_checkpoint out.")
    return Path(point)


def is_trained(point: Path) -> bool:
    """Whether a run was interrupted after its last step: the Trainer would make one more."""
    state = TrainerState.load_from_json(str(point / "trainer_state.json"))
    return state.global_step >= state.max_steps


def best_checkpoint(point: Path) -> Path:
    """The best checkpoint of an interrupted run by validation, or, where none was kept as such, its last."""
    state = TrainerState.load_from_json(str(point / "trainer_state.json"))
    return Path(state.best_model_checkpoint) if state.best_model_checkpoint else point
