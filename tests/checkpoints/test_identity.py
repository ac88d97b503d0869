"""Checkpoint files -> a digest that changes with all that decides what the model computes, and with nothing else."""

import os
import shutil
import string

import pytest

from dnahub.checkpoints.identity import checkpoint_digest
from dnahub.checkpoints.loading import CheckpointFiles

DECIDING = ["config.json", "model-00001-of-00002.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base").mkdir()
    for i, name in enumerate(DECIDING):
        (tmp_path / "base" / name).write_text(f"content {i}")
    return tmp_path / "base"


def digest(folder) -> str:
    return checkpoint_digest(CheckpointFiles(str(folder), folder, None))


@pytest.mark.parametrize("name", DECIDING)
def test_it_changes_with_every_file_that_loading_reads_though_size_and_time_stay(folder, name):
    before, path = digest(folder), folder / name
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text(path.read_text().replace("content", "CONTENT"))
    os.utime(path, ns=times)

    assert len(before) == 16 and set(before) <= set(string.hexdigits)
    changed = digest(folder)
    path.unlink()
    assert len({before, changed, digest(folder)}) == 3


def test_a_copy_elsewhere_with_another_card_has_the_same(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "other name")
    for name in ("README.md", "metrics.json", "modeling.py", "pytorch_model.bin"):
        (copy / name).write_text("x")
    assert digest(copy) == digest(folder)


def test_a_pickle_counts_where_it_is_what_is_loaded_and_of_a_repository_the_commit(folder):
    (folder / "model-00001-of-00002.safetensors").unlink()
    before = digest(folder)
    (folder / "pytorch_model.bin").write_text("x")
    assert digest(folder) != before
    assert checkpoint_digest(CheckpointFiles("user/base", folder, "0123abcd" * 5)) == "0123abcd" * 5
