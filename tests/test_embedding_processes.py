"""embed.py in two processes -> what one makes, in the same order; one that fails or is killed ends the other."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch

from embedding import processes
from embedding.arguments import parse_arguments
from embedding.processes import Processes, join_processes
from embedding.run import check
from hub_code import NucleotideTransformerConfig, NucleotideTransformerModel
from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary

REPOSITORY = Path(__file__).parent.parent
BLOCK = 8192
NUM_RECORDS = 9 * BLOCK + 100
TWO = ("-m", "accelerate.commands.launch", "--config_file", "accelerate_config.yaml", "--num_processes", "2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    NucleotideTransformerModel(config).save_pretrained(folder)
    build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    """Ten blocks of reads, hardly two alike."""
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=rng.randint(10, 60))) for _ in range(NUM_RECORDS)]


def write_fasta(path: Path, sequences: list[str]) -> Path:
    path.write_text("".join(f">read{i} lane {i % 4}\n{sequence}\n" for i, sequence in enumerate(sequences)))
    return path


@pytest.fixture(scope="module")
def fasta(tmp_path_factory, sequences) -> Path:
    return write_fasta(tmp_path_factory.mktemp("reads") / "reads.fa", sequences)


@pytest.fixture(scope="module")
def start(checkpoint, environment):
    """A function that starts embed.py in one process or in two."""

    def call(fasta: Path, output: Path, *options, launcher=()) -> subprocess.Popen:
        launcher = (*launcher, "--main_process_port", "0") if launcher else ()
        arguments = ["--model", checkpoint, "--input", fasta, "--output", output, "--backend", "torch", *options]
        return subprocess.Popen(
            [sys.executable, *launcher, "embed.py", *map(str, arguments)],
            **{"cwd": REPOSITORY, "env": environment, "text": True},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        )

    return call


@pytest.fixture(scope="module")
def one(tmp_path_factory, start, fasta):
    """What one process makes of all reads."""
    output = tmp_path_factory.mktemp("one") / "reads.parquet"
    process = start(fasta, output)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "1 process," in out
    return pq.read_table(output)


def same(output: Path, expected) -> bool:
    table = pq.read_table(output)
    vectors, others = (np.stack(each["embedding"].to_numpy()) for each in (table, expected))
    columns = [name for name in expected.column_names if name != "embedding"]
    return table.select(columns).equals(expected.select(columns)) and np.abs(vectors - others).max() <= 1e-5


def shards_of(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(Path(f"{output}.shards").glob("block-*.parquet"))}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def process_of_rank(launcher: subprocess.Popen, rank: int) -> psutil.Process:
    (found,) = [
        child
        for child in psutil.Process(launcher.pid).children(recursive=True)
        if "embed.py" in child.cmdline() and child.environ().get("RANK") == str(rank)
    ]
    return found


def kill_all(launcher: subprocess.Popen) -> None:
    if launcher.poll() is None:
        for process in [*psutil.Process(launcher.pid).children(recursive=True), launcher]:
            process.kill()


@pytest.mark.slow
def test_two_processes_make_what_one_makes_in_the_order_of_the_input(tmp_path, start, fasta, one):
    process = start(fasta, tmp_path / "reads.parquet", launcher=TWO)
    out, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    assert out.count("2 processes") == 1 and out.count(f"{NUM_RECORDS:,} sequences") == 1
    assert "earlier run" not in out
    assert one["id"].to_pylist() == [f"read{i}" for i in range(NUM_RECORDS)]
    assert same(tmp_path / "reads.parquet", one)
    assert [path.name for path in tmp_path.iterdir()] == ["reads.parquet"]


@pytest.mark.slow
def test_when_one_of_two_is_killed_the_other_ends_and_one_process_does_what_is_missing(tmp_path, start, fasta, one):
    output = tmp_path / "reads.parquet"
    process = start(fasta, output, "--batch_tokens", 128, launcher=TWO)
    try:
        wait_for(lambda: len(shards_of(output)) >= 2, process)
        process_of_rank(process, 1).kill()
        _, err = process.communicate(timeout=120)
    finally:
        kill_all(process)
    assert process.returncode != 0
    shards = shards_of(output)
    assert 2 <= len(shards) < 10 and not output.exists()

    again = start(fasta, output)
    out, err = again.communicate(timeout=300)

    assert again.returncode == 0, err
    assert f"{len(shards)} of 10 blocks were there from an earlier run" in out and "1 process," in out
    assert same(output, one)


@pytest.mark.slow
def test_the_bad_record_of_one_process_is_told_once_and_ends_both(tmp_path, start, sequences):
    long = [*sequences[: BLOCK + 5], "ACGT" * 100, *sequences[BLOCK + 5 :]]
    fasta = write_fasta(tmp_path / "reads.fa", long)
    process = start(fasta, tmp_path / "reads.parquet", "--max_length", 20, "--long", "error", launcher=TWO)
    _, err = process.communicate(timeout=120)

    assert process.returncode != 0
    (sentence,) = [line for line in err.splitlines() if line.startswith("embed.py: ")]
    assert f"{fasta}, record {BLOCK + 6} (read{BLOCK + 5})" in sentence
    assert not (tmp_path / "reads.parquet").exists()


@pytest.mark.slow
def test_arguments_that_contradict_each_other_are_told_by_the_first_process_alone(tmp_path, start, fasta):
    process = start(fasta, tmp_path / "reads.xlsx", launcher=TWO)
    _, err = process.communicate(timeout=120)

    assert process.returncode != 0
    assert err.count("embed.py: error: ") == 1 and "suffix" in err and "Terminated" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_sigterm_ends_both_also_while_one_waits_for_the_other(tmp_path, start, fasta):
    output = tmp_path / "reads.parquet"
    process = start(fasta, output, "--batch_tokens", 128, launcher=TWO)
    try:
        wait_for(lambda: len(shards_of(output)) >= 2, process)
        stopped = process_of_rank(process, 1)
        stopped.suspend()
        own = {f"block-{number:06d}.parquet" for number in range(0, 10, 2)}
        wait_for(lambda: shards_of(output).keys() >= own, process)
        time.sleep(1)  # the first has its blocks done, and waits
        first = process_of_rank(process, 0)
        sent = time.monotonic()
        os.kill(first.pid, signal.SIGTERM)
        first.wait(timeout=60)
        seconds = time.monotonic() - sent
        stopped.resume()
        _, err = process.communicate(timeout=120)
    finally:
        kill_all(process)

    assert seconds < 10
    assert err.count("embed.py: interrupted by SIGTERM") == 1 and "finished blocks" in err
    assert process.returncode != 0 and not output.exists()


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
    with pytest.raises(ValueError, match="cannot be read by 2 processes"):
        check(parse_arguments([*arguments, "--input", "-"]))


def test_the_end_of_another_process_is_one_sentence(monkeypatch):
    class Alone:
        def wait_for_everyone(self):
            raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:48213")

    monkeypatch.setattr(processes, "PartialState", Alone)

    with pytest.raises(ValueError, match="Another of the processes has ended"):
        Processes(0, 2, torch.device("cpu")).meet()


def test_one_process_waits_for_nobody():
    alone = Processes(0, 1, torch.device("cpu"))

    alone.meet()
    assert alone.from_first("run") == "run"


def test_several_processes_do_not_share_one_gpu(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "check_device", lambda name: None)

    with pytest.raises(ValueError, match="--device cuda:0 with 2 processes"):
        join_processes("cuda:0")


def test_processes_that_do_not_find_each_other_are_an_error_and_not_each_a_whole_run(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "PartialState", lambda **options: type("Alone", (), {"num_processes": 1}))

    with pytest.raises(ValueError, match="2 processes were launched, but 1 joined"):
        join_processes("cpu")
