"""A path -> a lock on it, held by one process at a time for as long as it lives."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK = ".lock"


def take_lock(path: Path) -> BinaryIO | None:
    """Lock a file, created if necessary, until it is closed; None if another process holds the lock."""
    file = open(path, "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino != path.stat().st_ino:  # removed meanwhile by who held it before
            raise BlockingIOError
    except (BlockingIOError, FileNotFoundError):
        file.close()
        return None
    except OSError:
        pass  # a file system without locks
    os.register_at_fork(after_in_child=file.close)  # or a worker that outlives this process would hold the lock
    return file


@contextmanager
def locked_folder(folder: Path, program: str) -> Iterator[None]:
    """
    Within it, no other process works in that folder, which is made, and removed again if it stays empty; or
    ValueError.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / LOCK)
    if lock is None:
        raise ValueError(
            f"{folder}: another {program} is writing there; wait until it ends, or name another --output_dir."
        )
    try:
        yield
    finally:
        with suppress(OSError):  # some file systems keep a file that is open; else no other may lock it in between
            (folder / LOCK).unlink()
        lock.close()
        with suppress(OSError):  # not empty
            for path in made:
                path.rmdir()
