"""Pages of the site -> the same, with what programs say of their flags."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELP = re.compile(r"<!-- help: (.+) -->")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs."""
    return HELP.sub(lambda found: f"```text\n{help_of(found[1].split())}\n```", markdown)


def help_of(program: list[str]) -> str:
    command = [sys.executable, *program, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={"COLUMNS": "100"})
    return done.stdout.strip()
