"""What a machine runs out of -> one sentence: the real errors of torch, safetensors and Python."""

import errno
import os
import resource
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file

from dnahub.training.faults import limits_told


@contextmanager
def small_files():
    """Files of this process may have 100 kB: the system's own refusal, as of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:  # before pytest writes again: its output may be a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_python(path):
    with open(path, "w") as file:
        file.write("x" * 10**6)


def write_torch(path):
    torch.save(torch.zeros(10**6), path)


def write_safetensors(path):
    save_file({"a": torch.zeros(10**6)}, path)


@pytest.mark.parametrize("write", [write_python, write_torch, write_safetensors])
def test_a_disk_that_takes_no_more_is_told_by_whoever_writes(write, tmp_path):
    with pytest.raises(ValueError, match="disk") as told:
        with small_files(), limits_told(tmp_path):
            write(tmp_path / "file")

    assert str(tmp_path) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_quota_is_a_full_disk_too(number, tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} .*{os.strerror(number)}"):
        with limits_told(tmp_path):
            raise OSError(number, os.strerror(number))


def test_a_batch_that_does_not_fit_is_told_by_torch_itself(tmp_path):
    with pytest.raises(ValueError, match="memory .*--per_device_train_batch_size"):
        with limits_told(tmp_path):
            torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(ValueError, match="CUDA out of memory"):
        with limits_told(tmp_path):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


@pytest.mark.parametrize("error", [RuntimeError("shapes"), PermissionError(13, "denied"), KeyError("x")])
def test_other_errors_are_not_hidden(error, tmp_path):
    with pytest.raises(type(error)), limits_told(tmp_path):
        raise error
