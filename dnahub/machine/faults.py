"""Error of a full disk or a full memory -> one sentence that says what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, the size that a file may have
# torch.save and safetensors raise errors without a number.
FULL_IN_WORDS = (
    "No space left",
    "File too large",
    "Disk quota",
    "PytorchStreamWriter failed",
    "inline_container",
    "iostream error",
)
NO_MEMORY = os.strerror(errno.ENOMEM)  # of the system, and of safetensors
NO_THREAD = "can't start new thread"
LONGEST_SHOWN = 200


def first_line(error: BaseException) -> str:
    """The first line of an error's message, shortened: torch adds a page to it."""
    return str(error).strip().partition("\n")[0][:LONGEST_SHOWN]


@contextmanager
def limits_explained(path: Path, less_memory: str) -> Iterator[None]:
    """
    Within it, a full disk (of `path`), a full memory and a limit of threads raise a ValueError that says what to do.

    `less_memory` is what needs less memory, as "a smaller --batch_tokens".
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
        from accelerate.utils.memory import should_reduce_batch_size  # here: it imports torch

        said = first_line(error) or type(error).__name__
        number = error.errno if isinstance(error, OSError) else None
        if number in FULL or (number is None and any(words in str(error) for words in FULL_IN_WORDS)):
            raise ValueError(
                f"{path}: the disk or quota is full ({said}). Finished work is kept; free some space and run the "
                "same command again."
            ) from error
        if NO_THREAD in said:
            raise ValueError(
                f"No further thread could be started ({said}): memory or the number of processes is limited "
                "(ulimit -a). Finished work is kept; run the same command again where more is allowed."
            ) from error
        is_memory = isinstance(error, MemoryError) or NO_MEMORY in str(error)
        if is_memory or should_reduce_batch_size(error):
            raise ValueError(
                f"Out of memory ({said}). Finished work is kept; run the same command again with {less_memory}."
            ) from error
        raise
