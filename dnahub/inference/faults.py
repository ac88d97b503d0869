"""What a machine runs out of while it embeds -> one sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate.utils.memory import should_reduce_batch_size

from dnahub.machine.faults import FULL, first_line


@contextmanager
def memory_told() -> Iterator[None]:
    """Within it, a batch that does not fit into memory becomes a ValueError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        raise ValueError(
            f"A batch does not fit into memory ({first_line(error)}); give --batch_tokens, smaller than it is now, "
            "or a shorter --max_length."
        ) from error


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Within it, a disk or quota that is full becomes a ValueError that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ValueError(
            f"{path} cannot be written: the disk or the quota is full ({os.strerror(error.errno)}). The shards that "
            "are finished are whole; make room, and the same command goes on."
        ) from error
