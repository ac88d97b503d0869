"""embed.py in two processes -> what one makes, in the same order; one that fails or is killed ends the other."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from dnahub.inference import processes
from dnahub.inference.arguments import parse_arguments
from dnahub.inference.processes import Processes, join_processes
from dnahub.inference.run import check
from tests import forked
from tests.tiny_models import write_checkpoint

BLOCK = 8192
NUM_BLOCKS = 6
NUM_RECORDS = (NUM_BLOCKS - 1) * BLOCK + 100
TWO_BY_ACCELERATE = [
    *("-m", "accelerate.commands.launch", "--config_file", "accelerate_config.yaml"),
    *("--num_processes", "2", "--main_process_port", "0"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint", hidden_size=16, num_hidden_layers=2)


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    """Reads, hardly two alike."""
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=rng.randint(15, 30))) for _ in range(NUM_RECORDS)]


def write_fasta(path: Path, sequences: list[str]) -> Path:
    path.write_text("".join(f">read{i} lane {i % 4}\n{sequence}\n" for i, sequence in enumerate(sequences)))
    return path


@pytest.fixture(scope="module")
def fasta(tmp_path_factory, sequences) -> Path:
    return write_fasta(tmp_path_factory.mktemp("reads") / "reads.fa", sequences)


@pytest.fixture(scope="module")
def command(checkpoint):
    """A function that gives the command line of embed.py."""

    def make(fasta: Path, output: Path, *options) -> list[str]:
        arguments = ["--model", checkpoint, "--input", fasta, "--output", output, "--backend", "torch", *options]
        return ["embed.py", *map(str, arguments)]

    return make


@pytest.fixture
def start_two(command, environment):
    """A function that starts embed.py in two processes, and gives both, by rank."""
    started = []

    def call(*arguments) -> list[forked.Forked]:
        started.extend(forked.start_together(command(*arguments), forked.REPOSITORY, environment, 2))
        return started

    yield call
    for process in started:
        process.kill()


@pytest.fixture(scope="module")
def one(tmp_path_factory, command, environment, fasta):
    """What one process makes of all reads."""
    output = tmp_path_factory.mktemp("one") / "reads.parquet"
    result = forked.run(command(fasta, output), forked.REPOSITORY, environment)
    assert result.returncode == 0, result.stderr
    assert "1 process" in result.stdout
    return pq.read_table(output)


def same(output: Path, expected) -> bool:
    table = pq.read_table(output)
    vectors, others = (np.stack(each["embedding"].to_numpy()) for each in (table, expected))
    columns = [name for name in expected.column_names if name != "embedding"]
    return table.select(columns).equals(expected.select(columns)) and np.abs(vectors - others).max() <= 1e-5


def shards_of(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(Path(f"{output}.shards").glob("block-*.parquet"))}


def sentences(err: str) -> list[str]:
    assert "Traceback" not in err
    return [line for line in err.splitlines() if line.startswith("embed.py: ")]


@pytest.mark.slow
def test_two_processes_launched_by_accelerate_make_what_one_makes_in_the_order_of_the_input(
    tmp_path, command, environment, fasta, one
):
    launched = [sys.executable, *TWO_BY_ACCELERATE, *command(fasta, tmp_path / "reads.parquet")]
    options = {"cwd": forked.REPOSITORY, "env": environment, "timeout": 300}
    result = subprocess.run(launched, capture_output=True, text=True, **options)

    assert result.returncode == 0, result.stderr
    out = result.stdout
    assert out.count("2 processes") == 1 and out.count(f"{NUM_RECORDS:,} sequences") == 1
    assert f"of {NUM_BLOCKS} blocks" not in out  # none of an earlier run
    assert one["id"].to_pylist() == [f"read{i}" for i in range(NUM_RECORDS)]
    assert same(tmp_path / "reads.parquet", one)
    assert [path.name for path in tmp_path.iterdir()] == ["reads.parquet"]


def test_when_one_of_two_is_killed_the_other_ends_and_one_process_does_what_is_missing(
    tmp_path, start_two, command, environment, fasta, one
):
    output = tmp_path / "reads.parquet"
    first, second = start_two(fasta, output)
    first.wait_until(lambda: shards_of(output))
    second.kill()
    assert first.wait() == 2 and len(sentences(first.stderr)) == 1
    shards = shards_of(output)
    assert 1 <= len(shards) < NUM_BLOCKS and not output.exists()

    again = forked.run(command(fasta, output), forked.REPOSITORY, environment)

    assert again.returncode == 0, again.stderr
    assert f"{len(shards)} of {NUM_BLOCKS} blocks" in again.stdout and "1 process" in again.stdout
    assert same(output, one)


def test_the_bad_record_of_one_process_is_told_once_and_ends_both(tmp_path, command, environment, sequences):
    long = [*sequences[: BLOCK + 5], "ACGT" * 100, *sequences[BLOCK + 5 :]]
    fasta = write_fasta(tmp_path / "reads.fa", long)
    arguments = command(fasta, tmp_path / "reads.parquet", "--max_length", 20, "--long", "error")
    result = forked.run_together(arguments, forked.REPOSITORY, environment, 2)

    assert result.returncode != 0
    (sentence,) = sentences(result.stderr)
    assert f"{fasta}, record {BLOCK + 6} (read{BLOCK + 5})" in sentence
    assert not (tmp_path / "reads.parquet").exists()


def test_arguments_that_contradict_each_other_are_told_by_the_first_process_alone(
    tmp_path, command, environment, fasta
):
    result = forked.run_together(command(fasta, tmp_path / "reads.xlsx"), forked.REPOSITORY, environment, 2)

    assert result.returncode == 2
    (sentence,) = sentences(result.stderr)
    assert f"{tmp_path}/reads.xlsx" in sentence
    assert not list(tmp_path.iterdir())


def test_sigterm_ends_one_that_waits_for_the_other(tmp_path, start_two, fasta):
    output = tmp_path / "reads.parquet"
    first, second = start_two(fasta, output)
    first.wait_until(lambda: shards_of(output))
    second.send_signal(signal.SIGSTOP)
    own = {f"block-{number:06d}.parquet" for number in range(0, NUM_BLOCKS, 2)}
    first.wait_until(lambda: shards_of(output).keys() >= own)
    time.sleep(1)  # the first has its blocks done, and waits
    first.send_signal(signal.SIGTERM)

    assert first.wait(60) == 128 + signal.SIGTERM
    (sentence,) = sentences(first.stderr)
    assert "SIGTERM" in sentence and "finished blocks" in sentence
    assert not output.exists()


def test_several_processes_cannot_read_standard_input(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    pipe = tmp_path / "pipe.fa"
    pipe.write_text(">a\nACGT\n")
    read, write = os.pipe()
    os.write(write, b">a\nACGT\n")
    os.close(write)
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    arguments = ["--model", "m", "--format", "fasta", "--output", str(tmp_path / "o.parquet")]

    check(parse_arguments([*arguments, "--input", str(pipe)]))
    with pytest.raises(ValueError, match="2 processes"):
        check(parse_arguments([*arguments, "--input", "-"]))


def test_the_end_of_another_process_is_one_sentence(monkeypatch):
    class Alone:
        def wait_for_everyone(self):
            raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:48213")

    monkeypatch.setattr(processes, "PartialState", Alone)

    with pytest.raises(ValueError, match="processes"):
        Processes(0, 2, torch.device("cpu")).meet()


def test_one_process_waits_for_nobody():
    alone = Processes(0, 1, torch.device("cpu"))

    alone.meet()
    assert alone.from_first("run") == "run"


def test_several_processes_do_not_share_one_gpu(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "check_device", lambda name: None)

    with pytest.raises(ValueError, match="--device cuda:0 .*2 processes"):
        join_processes("cuda:0")


def test_processes_that_do_not_find_each_other_are_an_error_and_not_each_a_whole_run(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "PartialState", lambda **options: type("Alone", (), {"num_processes": 1}))

    with pytest.raises(ValueError, match="2 processes .* 1 "):
        join_processes("cpu")
