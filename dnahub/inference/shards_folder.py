"""OUTPUT.shards/ -> whose run it is, which blocks are whole, and from where on the input may be another."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from dnahub.inference.facts import BlockFacts
from dnahub.inference.faults import full_disk_told
from dnahub.inference.shards import read_facts
from dnahub.machine.files import replacing
from dnahub.machine.locks import take_lock

SUFFIX = ".shards"
SHARD = re.compile(r"block-(\d{6,})\.parquet")
FAULT = re.compile(r"fault-(\d+)")  # a run ended at what stands in this block of the input
RECORD = "run.json"  # the settings that decide of the embeddings
IDS = "ids.sqlite"
LOCK = "lock"  # held by the first process for as long as it lives
TOLD = "told"  # which of several processes says why they end
SCRATCH = re.compile(r"\..*\.part")  # what a kill leaves of a shard, of run.json or of the output
OWN = re.compile("|".join([SHARD.pattern, FAULT.pattern, *map(re.escape, (RECORD, IDS, LOCK, TOLD)), SCRATCH.pattern]))


class ShardsFolder:
    """
    The folder in which an output comes into being.

    Args:
        output: The file that will be written.

    Attributes:
        is_open: Set by whoever works in it, when it was begun.
    """

    def __init__(self, output: Path):
        self.output = output
        self.path = output.with_name(output.name + SUFFIX)
        self.ids = self.path / IDS
        self.is_open = False
        self._lock: BinaryIO | None = None

    def shard(self, block: int) -> Path:
        return self.path / f"block-{block:06d}.parquet"

    def blocks(self) -> set[int]:
        """Numbers of the blocks that have a shard."""
        return self._numbers(SHARD)

    def is_left_over(self) -> bool:
        """Whether the output is younger than all blocks: a run that wrote it was killed before it removed them."""
        shards = [self.shard(block) for block in self.blocks()]
        if not shards or not self.output.exists():
            return False
        return self.output.stat().st_mtime_ns >= max(shard.stat().st_mtime_ns for shard in shards)

    def facts(self, block: int) -> BlockFacts | None:
        """What is known of a block; None if its shard is not there, was cut off or is of another version's making."""
        found = read_facts(self.shard(block))
        try:
            return None if found is None else BlockFacts.from_json(found)
        except (KeyError, TypeError):  # other facts than are kept now
            return None

    def begin(self, settings: dict[str, Any], overwrite: bool) -> None:
        """
        Make the folder, or go on with that of an interrupted run; what a kill left half-done is removed.

        Args:
            settings: All that decides of the embeddings beside the sequences, by name, as JSON has it.
            overwrite: Whether to start anew where the folder is of other settings.

        Raises:
            ValueError: If it is of other settings, another process is writing there, it holds what is none of
                embed.py's, or the disk is full.
        """
        self._check_content()
        self.path.mkdir(exist_ok=True)
        self._take_lock()
        found = self._settings()
        differing = (
            []
            if found is None
            else sorted(name for name in settings.keys() | found.keys() if settings.get(name) != found.get(name))
        )
        if found is None and self.blocks():
            differing = [RECORD]
            told = f"without a readable {RECORD}"
        elif differing:
            told = "with " + ", ".join(f"{name} {found.get(name)!r}, not {settings.get(name)!r}" for name in differing)
        if differing and not overwrite:
            raise ValueError(
                f"{self.path} holds the finished blocks of a run that was begun {told}; give --overwrite to start "
                "anew, the same settings to go on, or another --output."
            )
        for path in self.path.iterdir():
            if differing and path.name != LOCK:
                _remove(path)
            elif SCRATCH.fullmatch(path.name) or path.name in (TOLD, IDS):
                _remove(path)
        for block in self.blocks():
            if self.facts(block) is None:
                self.shard(block).unlink()
        with full_disk_told(self.path), replacing(self.path / RECORD) as scratch:
            scratch.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def note_fault(self, block: int) -> None:
        """When the input is mended, this block and those after it may be others than they were."""
        try:
            (self.path / f"fault-{block}").touch()
        except OSError:
            return  # where nothing more can be written; the next run then asks for --overwrite

    def first_fault(self) -> int | None:
        """The first block of which that was noted."""
        return min(self._numbers(FAULT), default=None)

    def is_told(self) -> bool:
        """Whether another process has said why they end; if none has, this one does."""
        try:
            os.close(os.open(self.path / TOLD, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return True
        except OSError:  # the folder is not there, or takes no more
            return False
        return False

    def remove(self) -> None:
        """Take away all that embed.py put there, and the folder with it."""
        for path in self.path.iterdir():
            if OWN.fullmatch(path.name):
                _remove(path)
        self.path.rmdir()
        self.release()

    def remove_if_nothing_is_finished(self) -> None:
        """After an error: a folder without finished blocks is of no use; only the first process holds the lock."""
        if self._lock is not None and not self.blocks():
            self.remove()

    def _numbers(self, pattern: re.Pattern) -> set[int]:
        if not self.path.is_dir():
            return set()
        found = (pattern.fullmatch(path.name) for path in self.path.iterdir())
        return {int(match[1]) for match in found if match}

    def _settings(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _check_content(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise ValueError(f"{self.path} is a file, where the finished blocks should lie; name another --output.")
        for path in sorted(self.path.iterdir()):
            if not OWN.fullmatch(path.name):
                raise ValueError(
                    f"{self.path} holds {path.name}, which is none of embed.py's; move it, or name another output."
                )

    def _take_lock(self) -> None:
        self._lock = take_lock(self.path / LOCK)
        if self._lock is None:
            raise ValueError(
                f"{self.path}: another embed.py is writing there; wait until it ends, or name another --output."
            )

    def release(self) -> None:
        """Let another process work there."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
