"""Blocks that are done -> what the bar and the summary say of them, counted by hand."""

import re
from contextlib import closing
from types import SimpleNamespace

import pytest

from dnahub.inference import progress as module
from dnahub.inference.progress import Progress, summary


@pytest.fixture
def wait(monkeypatch):
    """A function that lets seconds pass: those of the bar, and of nothing else."""
    now = [1e9]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return lambda seconds: now.append(now.pop() + seconds)


def test_the_bar_moves_by_bytes_and_shows_the_speed_of_what_is_computed_now(capfd, wait):
    with closing(Progress("embed", 1000, is_shown=True)) as progress:
        wait(2)
        progress.skip(num_bytes=800)
        wait(2)
        progress.advance(num_bytes=100, num_sequences=40, num_nt=2400, share=0.5)
        wait(4)
        progress.advance(num_bytes=100, num_sequences=40, num_nt=2400, share=0.5)

    bar = capfd.readouterr().err.split("\r")[-1]
    assert "900" in bar and re.search(r"5.00 sequences/s, 300 nt/s", bar)
    assert "90%" in bar and "[00:08<00:08" in bar  # the second hundred takes as long


def test_the_summary_adds_up_all_parts_and_measures_those_of_this_run():
    before = {"sequences": 2, "rows": 3, "nt": 12_000, "tokens": 2002, "replaced": 5, "truncated": 1, "computed": 2000}
    now = {"sequences": 1, "rows": 1, "nt": 600, "tokens": 101, "computed": 101, "padding": 191, "repeats": 1}

    sizes, odd, parts, speed = summary([{"counts": before}, {"counts": now}], 1, 101, 0.5, "torch").splitlines()

    assert re.findall(r"\d[\d,]* \w+", sizes) == ["3 sequences", "4 windows", "12,600 nt", "2,103 tokens"]
    assert re.findall(r"[\d.]+", odd) == ["5", "1", "1", "8.3"]  # replaced, truncated, duplicates, padding
    assert re.findall(r"\d+", parts) == ["2", "1", "1"]
    assert re.findall(r"[\d.]+", speed) == ["0.5", "202"] and "torch" in speed
