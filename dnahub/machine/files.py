"""A path -> a scratch path, which takes its place when it is complete."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRATCH = ".*." + "[0-9a-f]" * 32 + ".*part"  # names of scratch paths, as a pattern


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    `with replacing(path) as scratch:` write `scratch`, which then becomes `path`; after an error, that is as before.
    """
    # No process number: two machines that share the folder may give the same one, and must not write into one file.
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """
    In UTF-8, under a temporary name, then moved: a kill leaves the old file or the new one.

    A byte of a file's name that is not UTF-8 is written as Python shows it, such as `\\udce9`.
    """
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8", errors="backslashreplace")


def remove_scratch(folder: Path, places: Iterable[str]) -> None:
    """Remove what killed processes left in these places (patterns) of a folder, where nobody else may be writing."""
    for path in [path for place in places for path in folder.glob(f"{place}{SCRATCH}")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def check_folder_name(path: Path) -> None:
    """ValueError if the path of a folder is not UTF-8: tokenizers and datasets cannot open what is in it."""
    name = os.fsencode(path.absolute())
    if name.decode(errors="ignore").encode() != name:
        raise ValueError(
            f"{name.decode(errors='backslashreplace')}: the path of this folder is not UTF-8, which the libraries "
            "need; rename it, or name another."
        )


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """
    `with replacing_folder(path) as scratch:` fill the folder, which then becomes `path`; after an error, that is as
    before.

    Parents of `path` are created, and its files get the usual permissions (safetensors writes 0600).
    """
    path = path.resolve()
    # A mount point cannot be renamed, and a folder in a read-only one neither: there the contents are exchanged.
    fixed = path.is_mount() or (path.is_dir() and not os.access(path.parent, os.W_OK))
    home = path if fixed else next(parent for parent in path.parents if parent.exists())
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.{uuid.uuid4().hex}.", suffix="part", dir=home) as name:
        new, old = Path(name) / "new", Path(name) / "old"
        new.mkdir()
        yield new
        mode = new.stat().st_mode & 0o666
        for file in new.rglob("*"):
            if file.is_file():
                file.chmod(mode)
        path.parent.mkdir(parents=True, exist_ok=True)
        if fixed:
            old.mkdir()
            moves = [(entry, old / entry.name) for entry in path.iterdir() if entry != new.parent]
            moves += [(entry, path / entry.name) for entry in new.iterdir()]
        else:
            moves = [(path, old), (new, path)] if path.exists() else [(new, path)]
        done: list[tuple[Path, Path]] = []
        try:
            for source, target in moves:
                source.rename(target)
                done.append((source, target))
        except BaseException:
            for source, target in reversed(done):
                target.rename(source)
            raise
