"""What a machine runs out of while a model is trained -> one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate.utils.memory import should_reduce_batch_size
from safetensors import SafetensorError

from dnahub.machine.faults import FULL, first_line


@contextmanager
def limits_told(folder: Path) -> Iterator[None]:
    """
    Within it, a full disk and a batch that does not fit into memory become a ValueError that says what to do.

    Args:
        folder: The run's folder.
    """
    try:
        yield
    except MemoryError as error:
        raise ValueError(
            f"Memory is full{f' ({first_line(error)})' if str(error) else ''}. What was saved before is complete, and "
            "the same command goes on; give --baselines false, or a smaller --per_device_eval_batch_size."
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        if _disk_is_full(error):
            raise ValueError(
                f"{folder} cannot be written ({first_line(error)}): the disk or the quota is full. What was saved "
                "before is whole; make room, and the same command goes on."
            ) from error
        if should_reduce_batch_size(error):
            raise ValueError(
                f"A batch does not fit into memory ({first_line(error)}); give a smaller "
                "--per_device_train_batch_size (and --gradient_accumulation_steps) or --per_device_eval_batch_size, "
                "--gradient_checkpointing true, or --auto_find_batch_size true."
            ) from error
        raise


def _disk_is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    # torch.save and safetensors have errors of their own, without a number.
    told = str(error)
    return any(
        sign in told
        for sign in (
            "No space left",
            "File too large",
            "PytorchStreamWriter failed",
            "inline_container",
            "iostream error",
            "Disk quota",
        )
    )
