"""Blocks and their embeddings -> OUTPUT.parts/: a Parquet file per block, which says what it was computed from."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.counts import Counts
from dnahub.inference.engine import Embeddings
from dnahub.inference.faults import explained_disk
from dnahub.inference.rows import Layout
from dnahub.machine.files import replacing
from dnahub.machine.locks import take_lock

SUFFIX = ".parts"
LOCK = ".lock"  # held while the parts are joined
SCRATCH = re.compile(r"\..*\.part")  # what a kill left of a part or an output
PART = re.compile(r"part-\d{6,}\.parquet")
FACTS = b"part"  # key of the metadata


@dataclass(frozen=True)
class Facts:
    """
    What a part says of itself.

    Args:
        settings: All that decides the vectors of a sequence.
        digest: Of the records of the block.
        backend: What ran the model.
        counts: Of the block.
    """

    settings: dict[str, Any]
    digest: str
    backend: str
    counts: Counts


def parts_folder(output: Path) -> Path:
    return output.with_name(output.name + SUFFIX)


class Parts:
    """
    The parts of an output: complete files only, under their names.

    Several processes may work here at once, even with the same blocks: a part is written under a temporary name and
    moved, and one of other settings or another input counts as missing.

    Args:
        output: The file that is to be made.
        settings: All that decides the vectors of a sequence, as JSON has it.
        layout: The columns.
    """

    def __init__(self, output: Path, settings: dict[str, Any], layout: Layout):
        self.folder = parts_folder(output)
        self.settings = settings
        self.layout = layout

    def path(self, block: int) -> Path:
        return self.folder / f"part-{block:06d}.parquet"

    def find(self, block: int, digest: str) -> Facts | None:
        """The facts of a part; None if it is missing, damaged, or of other settings or records."""
        try:
            with open(self.path(block), "rb") as file:
                found = json.loads(pq.read_schema(file).metadata[FACTS])
            facts = Facts(**(found | {"counts": Counts(**found["counts"])}))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):  # TypeError: from another version
            return None
        return facts if (facts.settings, facts.digest) == (self.settings, digest) else None

    def write(self, block: int, records: pa.Table, embeddings: Embeddings, facts: Facts) -> None:
        """
        Raises:
            ValueError: If a number is too large for float16, or the disk is full.
        """
        table = self.layout.table(records, embeddings)
        try:
            self._write(self.path(block), table, facts)
        except FileNotFoundError:  # the same command, running twice, has joined its parts and removed the folder
            self._write(self.path(block), table, facts)

    def _write(self, path: Path, table: pa.Table, facts: Facts) -> None:
        self.folder.mkdir(exist_ok=True)
        metadata = {FACTS: json.dumps(asdict(facts)).encode()}
        with replacing(path) as scratch, explained_disk(path), open(scratch, "wb") as file:
            with self.layout.parquet_writer(file, metadata) as writer:
                for group in self.layout.row_groups(table):
                    writer.write_table(group, row_group_size=len(group))
            file.flush()
            os.fsync(file.fileno())

    def find_all(self, digests: Sequence[str]) -> list[Facts] | None:
        """The facts of the parts of all blocks; None if one is missing."""
        facts = [self.find(block, digest) for block, digest in enumerate(digests)]
        return None if None in facts else facts

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process is to join the parts, within `with`; of several, one is."""
        try:
            lock = take_lock(self.folder / LOCK)
        except FileNotFoundError:  # joined and removed
            lock = None
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.close()

    def remove_scratch(self) -> None:
        """Remove what a killed process left of an output; only under the lock."""
        for path in self.folder.iterdir():
            if SCRATCH.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path)

    def remove(self) -> None:
        """Remove all parts; and the folder, unless it has other files."""
        for path in self.folder.iterdir():
            if PART.fullmatch(path.name) or SCRATCH.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def remove_folder(self) -> None:
        """After the lock is released: some file systems keep a file that is open under another name."""
        (self.folder / LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # not empty, or the same command removed it
            self.folder.rmdir()
