"""Flags of embed.py -> what a fresh process with them took: seconds, start-up apart, and peak memory."""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "embed.py"
TOKENS = re.compile(r"([\d,]+) tokens$", re.MULTILINE)
SPEED = re.compile(r"s without start-up, ([\d,]+) tokens/s")
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of getrusage's ru_maxrss


@dataclass(frozen=True)
class EmbedRun:
    """
    Args:
        seconds: From when the model is loaded to the finished output, as embed.py says.
        start_up: Seconds of the process beside these: imports, loading, its end.
        num_tokens: Of all sequences.
        peak_bytes: Of resident memory. Linux gives a child what its parent had at the start, if that is more.
    """

    seconds: float
    start_up: float
    num_tokens: int
    peak_bytes: int


def run_embed(*flags: object) -> EmbedRun:
    """
    Raises:
        SystemExit: If embed.py fails, or its summary is another than this can read.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, SCRIPT, *map(str, flags)], stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this child alone
        whole = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        summary = output.read()
        if process.returncode:
            raise SystemExit(f"embed.py {' '.join(map(str, flags))} ended with {process.returncode}: {errors.read()}")
    tokens, speed = TOKENS.search(summary), SPEED.search(summary)
    if tokens is None or speed is None:
        raise SystemExit(f"embed.py says neither its tokens nor tokens/s as this benchmark expects it: {summary}")
    num_tokens = _number(tokens)
    seconds = num_tokens / _number(speed)  # to more digits than the summary says the seconds
    return EmbedRun(seconds, whole - seconds, num_tokens, usage.ru_maxrss * RSS_UNIT)


def _number(match: re.Match[str]) -> int:
    return int(match.group(1).replace(",", ""))
