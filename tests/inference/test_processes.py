"""embed.py in several processes -> the output of one; shards, launched processes, one that is killed, two at once."""

import random
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dnahub.inference import processes
from dnahub.inference.processes import Shard, choose_device, find_shard
from tests import forked
from tests.tiny_models import write_checkpoint

BLOCK = 8192
NUM_BLOCKS = 5
NUM_RECORDS = (NUM_BLOCKS - 1) * BLOCK + 100


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A function that gives a command line of embed.py."""
    folder, rng = tmp_path_factory.mktemp("input"), random.Random(0)
    model = write_checkpoint(folder / "checkpoint", hidden_size=16, num_hidden_layers=2)
    reads = ["".join(rng.choices("ACGT", k=rng.randint(15, 30))) for _ in range(NUM_RECORDS)]
    fasta = folder / "reads.fa"
    fasta.write_text("".join(f">read{i} lane {i % 4}\n{read}\n" for i, read in enumerate(reads)))
    given = ["embed.py", "--model_name_or_path", model, "--input", fasta, "--backend", "torch"]
    return lambda output, *options: [*map(str, [*given, "--output", output, *options])]


@pytest.fixture(scope="module")
def run(environment):
    """A function that runs such a command."""
    return lambda command: forked.run(command, forked.REPOSITORY, environment)


@pytest.fixture(scope="module")
def one(tmp_path_factory, command, run):
    """The output of one process."""
    output = tmp_path_factory.mktemp("one") / "reads.parquet"
    result = run(command(output))
    assert result.returncode == 0, result.stderr
    table = pq.read_table(output)
    assert table["id"].to_pylist() == [f"read{i}" for i in range(NUM_RECORDS)]
    return table


def is_like(output: Path, expected) -> bool:
    """Whether the output is complete, and nothing else is left."""
    table = pq.read_table(output)
    vectors, others = (np.stack(each["embedding"].to_numpy()) for each in (table, expected))
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    columns = [name for name in expected.column_names if name != "embedding"]
    return table.select(columns).equals(expected.select(columns)) and np.abs(vectors - others).max() <= 1e-5


def test_shards_compute_their_blocks_and_the_same_command_joins_them(tmp_path, command, run, one):
    output = tmp_path / "reads.parquet"
    for expected in (2, 0):
        result = run(command(output, "--shard", "2/2"))
        assert result.returncode == 0, result.stderr
        assert f"shard 2/2: 2 of 5 parts, computed now: {expected}" in result.stdout
    parts = sorted(path.name for path in Path(f"{output}.parts").glob("part-*"))
    assert parts == ["part-000001.parquet", "part-000003.parquet"] and not output.exists()

    result = run(command(output))

    assert result.returncode == 0, result.stderr
    assert "parts: 5, computed now: 3" in result.stdout
    assert is_like(output, one)


def test_the_last_of_two_launched_processes_joins_the_parts(tmp_path, command, environment, one):
    output = tmp_path / "reads.parquet"
    result = forked.run_together(command(output), forked.REPOSITORY, environment, 2)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"{NUM_RECORDS:,} sequences") == 1 and result.stdout.count("is done") == 1
    assert is_like(output, one)


@pytest.mark.parametrize("given", ["0/4", "5/4", "1", "a/b", "1/4/4"])
def test_a_shard_counts_from_1_to_n(given):
    assert find_shard("4/4") == Shard(3, 4, joins=False)
    assert [block for block in range(9) if find_shard("4/4").has(block)] == [3, 7]
    with pytest.raises(ValueError, match=rf"--shard {given}: .*1 to N"):
        find_shard(given)


def test_the_environment_of_a_launcher_is_the_shard(monkeypatch):
    assert find_shard(None) == Shard(0, 1, joins=True)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert find_shard(None) == Shard(5, 8, joins=True)
    with pytest.raises(ValueError, match="--shard 1/2 with 8"):
        find_shard("1/2")


def test_each_launched_process_has_its_own_device_or_its_share_of_the_cores(monkeypatch):
    made = []
    shared = Mock()
    monkeypatch.setattr(processes, "share_cores", shared)
    assert choose_device(None) == choose_device("cpu") == torch.device("cpu")
    for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    assert choose_device(None) == torch.device("cpu") and shared.call_count == 3

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch, "empty", lambda *size, device: made.append(device))
    assert choose_device(None) == torch.device("cuda:2") and made == ["cuda:2"]
    with pytest.raises(ValueError, match="--device cuda:0 with 8"):
        choose_device("cuda:0")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # accelerate launch --cpu
    assert choose_device(None) == torch.device("cpu")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    assert choose_device(None) == torch.device("cuda")  # the current one
