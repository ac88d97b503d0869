"""Ids of records -> the first that stands twice, found on the disk, so that memory does not grow with the input."""

import errno
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CACHE_KIB = 65_536


class Repeat(NamedTuple):
    """Two records, from 0, with the same id."""

    id: str
    earlier: int
    later: int


class SeenIds:
    """
    Every id so far, in a file.

    Args:
        path: The file; an old one is replaced.
    """

    def __init__(self, path: Path):
        self.path = path
        self._number = 0
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # It is made anew by each run: what a kill leaves of it need not be whole.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")
        with _faults_of(self.path):
            self._database.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, record INTEGER) WITHOUT ROWID")

    def add(self, ids: Sequence[str]) -> Repeat | None:
        """
        Take the ids of the next records.

        Returns:
            The first of them that an earlier record has, too; after one, no more can be added.

        Raises:
            OSError: If the file cannot be written.
        """
        first, self._number = self._number, self._number + len(ids)
        rows = sorted(zip(ids, range(first, self._number), strict=True))  # in the order of the index, which is faster
        with _faults_of(self.path):
            try:
                self._database.execute("BEGIN")
                self._database.executemany("INSERT INTO ids VALUES (?, ?)", rows)
                self._database.execute("COMMIT")
            except sqlite3.IntegrityError:
                return self._first_repeat(ids, first)
        return None

    def _first_repeat(self, ids: Sequence[str], first: int) -> Repeat:
        own: dict[str, int] = {}
        for later, each in enumerate(ids, start=first):
            query = "SELECT record FROM ids WHERE id = ? AND record < ?"
            found = self._database.execute(query, (each, first)).fetchone()
            earlier = found[0] if found else own.get(each)
            if earlier is not None:
                return Repeat(each, earlier, later)
            own[each] = later
        raise RuntimeError(f"{self.path} holds ids that are none of the input's.")

    def close(self) -> None:
        """Remove the file."""
        self._database.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        number = errno.ENOSPC if error.sqlite_errorname == "SQLITE_FULL" else errno.EIO
        raise OSError(number, str(error), str(path)) from error
