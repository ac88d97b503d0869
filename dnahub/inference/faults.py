"""A full memory or disk -> one sentence that says what to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate.utils.memory import should_reduce_batch_size

from dnahub.machine.faults import FULL, first_line


@contextmanager
def explained_memory() -> Iterator[None]:
    """Turn the error of a batch that does not fit into memory into a ValueError."""
    try:
        yield
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        raise ValueError(
            f"A batch does not fit into memory ({first_line(error)}); give a smaller --batch_tokens or --max_length."
        ) from error


@contextmanager
def explained_disk(path: Path) -> Iterator[None]:
    """Turn the error of a full disk or quota into a ValueError with the path of the file that did not fit."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ValueError(
            f"{path} cannot be written: the disk or quota is full ({os.strerror(error.errno)}). Finished parts are "
            "kept; free some space, and the same command continues."
        ) from error
