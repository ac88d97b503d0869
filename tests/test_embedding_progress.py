"""Blocks that are done -> what the bar and the summary say of them, counted by hand."""

import re
import time
from pathlib import Path

from embedding.facts import Counts
from embedding.progress import Progress, Summary


def test_the_bar_is_of_bytes_and_says_what_is_embedded_in_a_second(capfd):
    with Progress(1000, is_shown=True) as progress:
        time.sleep(0.2)
        progress.advance(bytes_read=500, num_sequences=100, num_nt=6000)
        time.sleep(0.2)
        progress.advance(bytes_read=1000, num_sequences=100, num_nt=6000)

    last = capfd.readouterr().err.split("\r")[-1]
    assert "100%" in last and "1.00kB/1.00kB" in last
    found = re.search(r"([\d.]+) sequences/s, ([\d.]+)k nt/s", last)
    assert 200 < float(found[1]) <= 500 and 12 < float(found[2]) <= 30


def test_the_bar_moves_within_a_block_by_the_tokens_of_its_batches(capfd):
    with Progress(1000, is_shown=True) as progress:
        time.sleep(0.2)
        progress.advance(bytes_read=200, num_sequences=10, num_nt=600)
        told = progress.through(bytes_read=1000, num_sequences=40, num_nt=2400, num_tokens=400)
        time.sleep(0.2)
        told(300)
        within = capfd.readouterr().err.split("\r")[-1]
        time.sleep(0.2)
        told(100)

    last = capfd.readouterr().err.split("\r")[-1]
    assert " 80%" in within and 60 < float(re.search(r"([\d.]+) sequences/s", within)[1]) <= 100
    assert "100%" in last and 50 < float(re.search(r"([\d.]+) sequences/s", last)[1]) <= 84


def test_what_an_earlier_run_had_done_does_not_make_the_end_look_near(capfd):
    with Progress(1000, is_shown=True) as progress:
        progress.pass_over(bytes_read=800)
        time.sleep(0.5)
        progress.advance(bytes_read=900, num_sequences=10, num_nt=60)

    last = capfd.readouterr().err.split("\r")[-1]
    elapsed, remaining = re.search(r"\[00:(\d\d)<00:(\d\d),", last).groups()
    assert "90%" in last
    assert abs(int(remaining) - int(elapsed)) <= 1  # the second hundred takes as long as the first


def test_an_input_of_unknown_size_has_a_count_and_no_end(capfd):
    with Progress(None, is_shown=True) as progress:
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

    assert told.splitlines() == [
        "3 sequences, 4 windows, 12,600 nt, 2,103 tokens",
        "letters read as N: 5, truncated: 1, pieces like another of their block, computed once: 1, padding: 8.3 %",
        "1 of 2 blocks were there from an earlier run",
        "0.5 s without start-up, 202 tokens/s, 4 processes, backend torch",
        "o.parquet",
    ]
