"""Files replaced as a whole, locks, and a process's share of the cores."""

import os
import signal
import sys
import time

import pytest
import torch

from dnahub.machine.faults import LONGEST_SHOWN, first_line
from dnahub.machine.files import replacing
from dnahub.machine.locks import locked_folder, take_lock
from dnahub.machine.processes import is_first_process, num_launched, share_cores


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old" and scratch.parent == tmp_path
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_file_is_what_it_was_and_nothing_is_left(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as scratch:
        scratch.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_two_that_write_one_file_do_not_share_a_scratch(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"  # the last to end


def test_the_first_line_of_an_error_is_short():
    assert first_line(RuntimeError("\nno memory\nat frame 0\n")) == "no memory"
    assert len(first_line(RuntimeError("x" * 10_000))) == LONGEST_SHOWN


@pytest.mark.parametrize(("num_processes", "num_threads"), [(1, 8), (2, 4), (3, 2), (16, 1)])
def test_cores_are_shared_and_each_process_has_one_at_least(monkeypatch, num_processes, num_threads):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    before = torch.get_num_threads()
    try:
        share_cores(num_processes)
        assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)


def test_what_a_launcher_says_is_known_before_the_processes_join(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert is_first_process() and num_launched() == 1
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert not is_first_process() and num_launched() == 4


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
