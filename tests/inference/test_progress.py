"""Blocks that are done -> what the bar and the summary say of them, counted by hand."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnahub.inference import progress as module
from dnahub.inference.facts import Counts
from dnahub.inference.progress import Progress, Summary


@pytest.fixture
def wait(monkeypatch):
    """A function that lets seconds pass: those of the bar, and of nobody else."""
    now = [1e9]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def call(seconds: float) -> None:
        now[0] += seconds

    return call


def rates(bar: str) -> tuple[str, str]:
    """Sequences and nt a second."""
    return re.search(r"([\d.]+k?) sequences/s, ([\d.]+k?) nt/s", bar).groups()


def test_the_bar_is_of_bytes_and_says_what_is_embedded_in_a_second(capfd, wait):
    with Progress(1000, is_shown=True) as progress:
        wait(1)
        progress.advance(bytes_read=500, num_sequences=100, num_nt=6000)
        wait(1)
        progress.advance(bytes_read=1000, num_sequences=100, num_nt=6000)

    last = capfd.readouterr().err.split("\r")[-1]
    assert "100%" in last and "1.00kB/1.00kB" in last
    assert rates(last) == ("100", "6.00k")


def test_the_bar_moves_within_a_block_by_the_tokens_of_its_batches(capfd, wait):
    with Progress(1000, is_shown=True) as progress:
        wait(1)
        progress.advance(bytes_read=200, num_sequences=10, num_nt=600)
        told = progress.through(bytes_read=1000, num_sequences=40, num_nt=2400, num_tokens=400)
        wait(1)
        told(300)
        within = capfd.readouterr().err.split("\r")[-1]
        wait(2)
        told(100)

    last = capfd.readouterr().err.split("\r")[-1]
    assert " 80%" in within and rates(within) == ("20.0", "1.20k")
    assert "100%" in last and rates(last) == ("12.5", "750")


def test_what_an_earlier_run_had_done_does_not_make_the_end_look_near(capfd, wait):
    with Progress(1000, is_shown=True) as progress:
        progress.pass_over(bytes_read=800)
        wait(7)
        progress.advance(bytes_read=900, num_sequences=10, num_nt=60)

    last = capfd.readouterr().err.split("\r")[-1]
    assert "90%" in last and "[00:07<00:07" in last  # the second hundred takes as long as the first


def test_an_input_of_unknown_size_has_a_count_and_no_end(capfd, wait):
    with Progress(None, is_shown=True) as progress:
        wait(1)
        progress.advance(bytes_read=500_000, num_sequences=1000, num_nt=60_000)

    last = capfd.readouterr().err.split("\r")[-1]
    assert "500kB" in last and "sequences/s" in last and "%" not in last


def test_only_one_of_several_processes_shows_a_bar(capfd):
    with Progress(1000, is_shown=False) as progress:
        progress.pass_over(bytes_read=500)
        progress.advance(bytes_read=1000, num_sequences=10, num_nt=60)

    assert capfd.readouterr() == ("", "")


def test_the_summary_adds_up_the_blocks_and_measures_those_of_this_run():
    before = Counts(sequences=2, rows=3, nt=12_000, tokens=2002, replaced=5, truncated=1, computed_tokens=2000)
    now = Counts(sequences=1, rows=1, nt=600, tokens=101, computed_tokens=101, padding_tokens=191, repeated_pieces=1)

    told = str(Summary(Path("o.parquet"), Counts.total([before, now]), now, 2, 1, 0.5, 4, "torch"))

    sizes, odd, resumed, speed, output = told.splitlines()
    assert re.findall(r"\d[\d,]* \w+", sizes) == ["3 sequences", "4 windows", "12,600 nt", "2,103 tokens"]
    assert re.findall(r"[\d.]+", odd) == ["5", "1", "1", "8.3"]  # replaced, truncated, repeated, padding
    assert "1 of 2 blocks" in resumed
    assert re.findall(r"[\d.]+", speed) == ["0.5", "202", "4"] and "torch" in speed
    assert output == "o.parquet"
