"""Locks, which end with their process."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from dnahub.machine.locks import locked_folder, take_lock


def test_a_worker_that_outlives_its_process_holds_no_lock(tmp_path):
    lock = take_lock(tmp_path / "lock")
    assert take_lock(tmp_path / "lock") is None
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.write(writing, b"begun")
        time.sleep(60)
        os._exit(0)
    os.read(reading, 5)
    lock.close()  # as when this process is killed

    again = take_lock(tmp_path / "lock")

    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    assert again is not None


def test_a_locked_folder_is_removed_with_its_parents_if_nothing_was_put_into_it(tmp_path):
    with locked_folder(tmp_path / "a" / "b", "train.py"), pytest.raises(ValueError, match="train.py"):
        with locked_folder(tmp_path / "a" / "b", "train.py"):
            pass
    assert list(tmp_path.iterdir()) == []

    with locked_folder(tmp_path / "a" / "b", "train.py"):
        (tmp_path / "a" / "b" / "kept").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]


def test_a_file_system_that_keeps_open_files_ends_nothing(tmp_path, monkeypatch):
    unlink = Path.unlink

    def busy(path, **options):
        raise OSError(errno.EBUSY, "Device or resource busy")

    with locked_folder(tmp_path / "run", "train.py"):
        (tmp_path / "run" / "kept").touch()
        monkeypatch.setattr(Path, "unlink", busy)
    monkeypatch.setattr(Path, "unlink", unlink)
    with locked_folder(tmp_path / "run", "train.py"):  # what is left locks nobody out
        pass
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]
