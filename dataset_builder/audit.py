"""Parquet files of the splits -> the verdict of seqleak, an independent linter for leaks."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any


def check_linter() -> None:
    """ImportError if seqleak or BLAST+ is missing: without blastn, its search for homologues is skipped."""
    if find_spec("seqleak") is None or not (which("blastn") and which("makeblastdb")):
        raise ImportError(
            "--audit needs seqleak (pip install -r requirements-extra.txt) and NCBI BLAST+ (Debian: apt install "
            "ncbi-blast+)."
        )


def audit(files: Mapping[str, Path]) -> dict[str, Any]:
    """`seqleak audit` of the Parquet file of each split: its version, verdict and what it found."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "seqleak", "audit", "--quiet", "--homology", "blast"]
        command += ["--train", files["train"], "--dev", files["validation"], "--test", files["test"]]
        done = subprocess.run([*command, "--out", report, "--workdir", folder], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"--audit: seqleak ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
        found = json.loads(report.read_text(encoding="utf-8"))
    return {
        "seqleak": found["tool"]["version"],
        "verdict": found["verdict"]["status"],
        "summary": found["verdict"]["summary"],
        "homology": found["checks"]["overlap.homology"]["reason"],
    }
