"""Blocks and their embeddings -> OUTPUT.parts/: a Parquet file per block, which says what it was computed from."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.engine import Results
from dnahub.inference.rows import Layout
from dnahub.machine.files import replacing
from dnahub.machine.locks import LOCK, take_lock

SUFFIX = ".parts"
FACTS = b"part"  # key of the metadata


def parts_folder(output: Path) -> Path:
    return output.with_name(output.name + SUFFIX)


class Parts:
    """
    The parts of an output: complete files only, under their names. `settings` are all that decides the vectors.

    Several processes may work here at once, even with the same blocks: a part is written under a temporary name and
    moved, and one of other settings or another input counts as missing.
    """

    def __init__(self, output: Path, settings: dict[str, Any], layout: Layout):
        self.folder = parts_folder(output)
        self.settings = settings
        self.layout = layout

    def path(self, block: int) -> Path:
        return self.folder / f"part-{block:06d}.parquet"

    def find(self, block: int, digest: str) -> dict[str, Any] | None:
        """Its `settings`, `digest`, `backend` and `counts`; None if it is missing, damaged, or of something else."""
        try:
            with open(self.path(block), "rb") as file:
                facts = json.loads(pq.read_schema(file).metadata[FACTS])
            return facts if (facts["settings"], facts["digest"]) == (self.settings, digest) else None
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):  # TypeError: no metadata
            return None

    def find_all(self, digests: Sequence[str]) -> list[dict[str, Any]] | None:
        """The same of the parts of all blocks; None if one is missing."""
        facts = [self.find(block, digest) for block, digest in enumerate(digests)]
        return None if None in facts else facts

    def write(self, block: int, digest: str, records: pa.Table, results: Results, backend: str) -> None:
        table = self.layout.table(records, results)
        facts = {"settings": self.settings, "digest": digest, "backend": backend, "counts": results.counts}
        self.folder.mkdir(exist_ok=True)
        with replacing(self.path(block)) as scratch:
            self.layout.write_parquet([table], scratch, {FACTS: json.dumps(facts).encode()})
            fsync(scratch)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process is to join the parts, within `with`; of several, one is."""
        try:
            lock = take_lock(self.folder / LOCK)
        except FileNotFoundError:  # joined and removed
            lock = None
        with lock or nullcontext():
            yield lock is not None

    def remove_joined(self) -> None:
        """Remove all parts; under the lock, so that no other process joins them again."""
        for path in self.folder.glob("part-*"):
            path.unlink()

    def remove_folder(self) -> None:
        """After the lock is released: some file systems keep a file that is open under another name."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fsync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
