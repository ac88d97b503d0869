"""Targets of a coverage-guided fuzzer, and their corpus."""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
