"""Blocks that are done -> what the bar and the summary say of them, counted by hand."""

import re
from contextlib import closing
from types import SimpleNamespace

import pytest

from dnahub.inference import progress as module
from dnahub.inference.counts import Counts
from dnahub.inference.progress import Progress, summary


@pytest.fixture
def wait(monkeypatch):
    """A function that lets seconds pass: those of the bar, and of nothing else."""
    now = [1e9]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def call(seconds: float) -> None:
        now[0] += seconds

    return call


def last_bar(capfd) -> str:
    return capfd.readouterr().err.split("\r")[-1]


def rates(bar: str) -> tuple[str, str]:
    """Sequences and nt per second."""
    return re.search(r"([\d.]+k?) sequences/s, ([\d.]+k?) nt/s", bar).groups()


def test_the_bar_moves_by_bytes_and_within_a_block_by_the_tokens_of_its_batches(capfd, wait):
    with closing(Progress(1000, is_shown=True)) as progress:
        wait(1)
        progress.advance(bytes_read=200, num_sequences=10, num_nt=600)
        advance = progress.within(bytes_read=1000, num_sequences=40, num_nt=2400, num_tokens=400)
        wait(1)
        advance(300)
        within = last_bar(capfd)
        wait(2)
        advance(100)

    end = last_bar(capfd)
    assert " 80%" in within and rates(within) == ("20.0", "1.20k")
    assert "100%" in end and "1.00kB/1.00kB" in end and rates(end) == ("12.5", "750")


def test_reused_parts_do_not_make_the_end_look_near(capfd, wait):
    with closing(Progress(1000, is_shown=True)) as progress:
        progress.skip(bytes_read=800)
        wait(7)
        progress.advance(bytes_read=900, num_sequences=10, num_nt=60)

    bar = last_bar(capfd)
    assert "90%" in bar and "[00:07<00:07" in bar  # the second hundred takes as long as the first


def test_an_input_of_unknown_size_has_a_count_and_no_end(capfd, wait):
    with closing(Progress(None, is_shown=True)) as progress:
        wait(1)
        progress.advance(bytes_read=500_000, num_sequences=1000, num_nt=60_000)

    bar = last_bar(capfd)
    assert "500kB" in bar and "sequences/s" in bar and "%" not in bar


def test_a_hidden_bar_prints_nothing(capfd):
    with closing(Progress(1000, is_shown=False)) as progress:
        progress.skip(bytes_read=500)
        progress.advance(bytes_read=1000, num_sequences=10, num_nt=60)

    assert capfd.readouterr() == ("", "")


def test_the_summary_adds_up_all_parts_and_measures_those_of_this_run():
    before = Counts(sequences=2, rows=3, nt=12_000, tokens=2002, replaced=5, truncated=1, computed_tokens=2000)
    now = Counts(sequences=1, rows=1, nt=600, tokens=101, computed_tokens=101, padding_tokens=191, repeated_pieces=1)

    sizes, odd, parts, speed = summary([before, now], [now], 0.5, "torch").splitlines()

    assert re.findall(r"\d[\d,]* \w+", sizes) == ["3 sequences", "4 windows", "12,600 nt", "2,103 tokens"]
    assert re.findall(r"[\d.]+", odd) == ["5", "1", "1", "8.3"]  # replaced, truncated, duplicates, padding
    assert re.findall(r"\d+", parts) == ["2", "1", "1"]
    assert re.findall(r"[\d.]+", speed) == ["0.5", "202"] and "torch" in speed
