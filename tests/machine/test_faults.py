"""A full disk and a full memory -> one sentence: the real errors of torch, safetensors and Python."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file

from dnahub.machine.faults import LONGEST_SHOWN, first_line, limits_explained

LESS = "a smaller --batch_tokens"


@contextmanager
def small_files():
    """Files of this process may have 100 kB: the system's own refusal, as of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:  # before pytest writes again: its output may be a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("x" * 10**6),
        lambda path: torch.save(torch.zeros(10**6), path),
        lambda path: save_file({"a": torch.zeros(10**6)}, path),
    ],
    ids=["Python", "torch", "safetensors"],
)
def test_a_full_disk_is_explained_whoever_writes(write, tmp_path):
    with pytest.raises(ValueError, match="disk") as caught:
        with small_files(), limits_explained(tmp_path, LESS):
            write(tmp_path / "file")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_quota_is_a_full_disk_too(number, tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: .*{os.strerror(number)}"):
        with limits_explained(tmp_path, LESS):
            raise OSError(number, os.strerror(number))


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        (lambda: torch.empty(2**60, dtype=torch.uint8), "memory"),
        (lambda: fail(torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.\npage")), "CUDA .*GiB"),
        (lambda: fail(MemoryError()), "MemoryError"),
        (lambda: fail(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))), "Cannot allocate"),
    ],
    ids=["torch", "CUDA", "Python", "system"],
)
def test_a_full_memory_is_explained(tmp_path, compute, said):
    with pytest.raises(ValueError, match=f"{said}.*{LESS}"), limits_explained(tmp_path, LESS):
        compute()


def test_a_limit_of_threads_is_explained(tmp_path):
    with pytest.raises(ValueError, match="ulimit"), limits_explained(tmp_path, LESS):
        fail(RuntimeError("can't start new thread"))  # as Python says, also where there is no memory for its stack


def test_other_errors_stay_and_the_first_line_of_an_error_is_short(tmp_path):
    for error in (RuntimeError("shapes"), PermissionError(13, "denied")):
        with pytest.raises(type(error)), limits_explained(tmp_path, LESS):
            raise error
    assert first_line(RuntimeError("\nno memory\nat frame 0\n")) == "no memory"
    assert len(first_line(RuntimeError("x" * 10_000))) == LONGEST_SHOWN
