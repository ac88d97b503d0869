"""What a machine runs out of while a model is trained -> one sentence."""

from contextlib import AbstractContextManager
from pathlib import Path

from dnahub.machine.faults import limits_explained


def limits_told(folder: Path) -> AbstractContextManager[None]:
    """Within it, a full disk and a full memory raise a ValueError; the argument is the run's folder."""
    return limits_explained(
        folder,
        "a smaller --per_device_train_batch_size (and --gradient_accumulation_steps) or "
        "--per_device_eval_batch_size, --gradient_checkpointing true, --auto_find_batch_size true, or "
        "--baselines false",
    )
