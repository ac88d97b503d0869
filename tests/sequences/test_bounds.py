"""A few kilobytes that expand to 400 MB, or a line without end -> an error, within bounded memory."""

import gc
import gzip
import os
import subprocess
import sys

import pytest

from dnahub.sequences import fasta
from dnahub.sequences.checks import SequenceFileError
from dnahub.sequences.opening import LONGEST_LINE
from tests.conftest import REPOSITORY
from tests.sequences.files import opened, write

MB = 1 << 20
EXPANDED_MB = 400
READ = """
import os, resource, sys
import Bio.SeqIO, pyarrow.csv
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.sources import open_sequences

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    list(open_sequences(InputArguments(input=sys.argv[1:])))
    print("read")
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
os._exit(0)  # arrow may still read ahead
"""


@pytest.mark.parametrize(
    ("name", "begins", "letter", "fact", "most_mb"),
    [
        ("in.fa.gz", b">a\n", b"\0", "line 2", 40),
        ("in.fa.gz", b">", b"a", "header", 40),
        ("in.fq.gz", b"@a\n", b"A", "line 2", LONGEST_LINE // MB + 80),
        ("in.txt.gz", b"", b"A", "line 1", LONGEST_LINE // MB + 80),
        ("in.gb.gz", b"LOCUS       ", b"A", "line 1", LONGEST_LINE // MB + 80),
        ("in.jsonl.gz", b'{"sequence": "', b"A", "line 1", LONGEST_LINE // MB + 80),
        ("in.json.gz", b"[", b" \n", "JSON list", 2 * LONGEST_LINE // MB + 80),
        ("in.csv.gz", b"id,sequence\na,", b"A", "after 0 rows", 200),
        ("in.csv.gz", b"id,sequence", b",", "columns", 200),
        ("in.csv.gz", b'id,"\n",sequence', b",", "columns", 200),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_what_expands_without_end_is_refused_within_bounded_memory(tmp_path, name, begins, letter, fact, most_mb):
    block = gzip.compress(letter * (MB // len(letter)))
    path = write(tmp_path / name, gzip.compress(begins) + EXPANDED_MB * block)
    read = subprocess.run([sys.executable, "-c", READ, path], cwd=REPOSITORY, capture_output=True, text=True)
    message, kib = read.stdout.splitlines()
    assert name in message and fact in message, message
    assert int(kib) / 1024 < most_mb


def test_a_record_that_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fasta.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 4 * MB}))
    path = write(tmp_path / "in.fa.gz", gzip.compress(b">a\nACGT\n>b\n") + gzip.compress(b"A" * 2 * MB))
    with pytest.raises(SequenceFileError, match="in.fa.gz: .*memory"):
        list(opened(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.fa.gz", gzip.compress(b">a\nAC\n", mtime=0)[:-9] + b"damaged"),
        ("in.csv", b"id,sequence\na,AC\nb,AC,x\n"),
        ("in.parquet", b"PAR1"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_a_file_that_is_refused_does_not_stay_open(tmp_path, name, content):
    path = write(tmp_path / name, content)
    for _ in range(9):
        with pytest.raises(SequenceFileError):
            list(opened(path))
    gc.collect()
    assert str(path) not in [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
