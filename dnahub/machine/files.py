"""A path -> a scratch path beside it, which takes its place when whatever writes it is done."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    `with replacing(path) as scratch:` write `scratch`; then `path` is what was written there, or, after an error,
    what it was before.
    """
    # No process number: two machines that share the folder may give the same one, and must not write into one file.
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Under a temporary name, then moved: a kill leaves the old file or the new one."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
