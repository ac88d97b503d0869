"""embed.py in several processes -> the output of one; shards, launched processes, one that is killed, two at once."""

import random
import subprocess
import sys
from pathlib import Path

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
def sequences() -> list[str]:
    """Reads, hardly two alike."""
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=rng.randint(15, 30))) for _ in range(NUM_RECORDS)]


def write_fasta(path: Path, sequences: list[str]) -> Path:
    path.write_text("".join(f">read{i} lane {i % 4}\n{sequence}\n" for i, sequence in enumerate(sequences)))
    return path


@pytest.fixture(scope="module")
def command(tmp_path_factory, sequences):
    """A function that gives a command line of embed.py."""
    folder = tmp_path_factory.mktemp("input")
    model = write_checkpoint(folder / "checkpoint", hidden_size=16, num_hidden_layers=2)
    reads = write_fasta(folder / "reads.fa", sequences)

    def make(output: Path, *options, fasta: Path = reads) -> list[str]:
        arguments = ["--model_name_or_path", model, "--input", fasta, "--output", output, "--backend", "torch"]
        return ["embed.py", *map(str, [*arguments, *options])]

    return make


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


def parts_of(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in Path(f"{output}.parts").glob("part-*.parquet")}


def sentences(err: str) -> list[str]:
    assert "Traceback" not in err
    return [line for line in err.splitlines() if line.startswith("embed.py: ")]


@pytest.mark.parametrize("all_shards", [True, False])
def test_shards_compute_their_blocks_and_the_same_command_joins_them(tmp_path, command, run, one, all_shards):
    output = tmp_path / "reads.parquet"
    result = run(command(output, "--shard", "2/2"))
    assert result.returncode == 0, result.stderr
    assert "shard 2/2: 2 of 5 parts, computed now: 2" in result.stdout and "without --shard" in result.stdout
    assert sorted(parts_of(output)) == ["part-000001.parquet", "part-000003.parquet"]
    assert "computed now: 0" in run(command(output, "--shard", "2/2")).stdout
    if all_shards:
        assert run(command(output, "--shard", "1/2")).returncode == 0
        assert len(parts_of(output)) == NUM_BLOCKS and not output.exists()

    result = run(command(output))

    assert result.returncode == 0, result.stderr
    assert f"parts: 5, computed now: {0 if all_shards else 3}" in result.stdout
    assert is_like(output, one)


@pytest.mark.slow
def test_processes_launched_by_accelerate_make_the_output_of_one(tmp_path, command, environment, one):
    launcher = ["-m", "accelerate.commands.launch", "--config_file", "accelerate_config.yaml"]
    launcher += ["--num_processes", "2", "--main_process_port", "0"]
    launched = [sys.executable, *launcher, *command(tmp_path / "reads.parquet")]
    options = {"cwd": forked.REPOSITORY, "env": environment, "timeout": 300}
    result = subprocess.run(launched, capture_output=True, text=True, **options)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"{NUM_RECORDS:,} sequences") == 1
    assert is_like(tmp_path / "reads.parquet", one)


def test_the_last_of_two_launched_processes_joins_the_parts(tmp_path, command, environment, one):
    output = tmp_path / "reads.parquet"
    result = forked.run_together(command(output), forked.REPOSITORY, environment, 2)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"{NUM_RECORDS:,} sequences") == 1 and result.stdout.count("is done") == 1
    assert is_like(output, one)


def test_when_one_of_two_is_killed_nothing_is_joined_and_one_process_computes_what_is_missing(
    tmp_path, command, environment, run, one
):
    output = tmp_path / "reads.parquet"
    first, second = forked.start_together(command(output), forked.REPOSITORY, environment, 2)
    first.wait_until(lambda: parts_of(output))
    second.kill()
    assert first.wait() == 0 and "process 1/2 is done" in first.stdout
    parts = parts_of(output)
    assert 3 <= len(parts) < NUM_BLOCKS and not output.exists()

    again = run(command(output))

    assert again.returncode == 0, again.stderr
    assert f"reused: {len(parts)}" in again.stdout
    assert is_like(output, one)


def test_an_error_of_all_processes_is_printed_once(tmp_path, command, environment, sequences):
    fasta = write_fasta(tmp_path / "reads.fa", [*sequences[: BLOCK + 5], "AC!", *sequences[BLOCK + 5 :]])
    arguments = command(tmp_path / "reads.parquet", fasta=fasta)
    result = forked.run_together(arguments, forked.REPOSITORY, environment, 2)

    assert result.returncode == 2
    (sentence,) = sentences(result.stderr)
    assert f"{fasta}, record {BLOCK + 6} " in sentence
    assert not (tmp_path / "reads.parquet").exists()


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
    cores, made = [], []
    monkeypatch.setattr(processes, "share_cores", cores.append)
    assert choose_device(None) == choose_device("cpu") == torch.device("cpu") and cores == []
    for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    assert choose_device(None) == torch.device("cpu") and cores == [4]

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
