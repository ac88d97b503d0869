"""README.md: the way to the Hub and back, block by block, as it stands there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_fixtures import REPOSITORY

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks_of(section: str) -> list[tuple[str, str]]:
    """Language and text of each block under a heading."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return BLOCK.findall(text.split(f"\n## {section}\n")[1].split("\n## ")[0])


@pytest.fixture
def clone(tmp_path) -> Path:
    """The repository in a folder of its own, with .venv/ as `make setup` makes it."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".git", ".venv", "data", "runs", "__pycache__", ".*_cache")
    shutil.copytree(REPOSITORY, folder, ignore=ignored)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.mark.slow
def test_the_way_to_the_hub_and_back(hub, clone, tmp_path):
    home = tmp_path / "hf-home"
    environment = hub.environment(home=home) | {"MY_TOKEN": hub.user}
    blocks = blocks_of("To the Hub, and back")
    assert [language for language, _ in blocks] == ["sh", "sh", "sh", "python", "sh", "sh", "python"]
    printed = []
    for language, block in blocks:
        if language == "python":  # elsewhere, with nothing of ours
            shown = "print(windows)" if "load_dataset" in block else "print(vector.dtype, vector.shape)"
            printed.append(hub.python(f"{block}\n{shown}", home=home))
            continue
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, block + done.stdout + done.stderr
        assert hub.user not in done.stdout + done.stderr
        printed.append(done.stdout)
    _, built, wide, loaded, trained, pushed, used = printed
    addresses = [f"{hub.server.url}/datasets/user/nt-species"] * 2 + [f"{hub.server.url}/user/nt-species-clf"] * 2
    for output, address in zip((built, wide, trained, pushed), addresses, strict=True):
        assert address in output
    assert "unchanged" in pushed and "unchanged" not in trained
    assert "num_rows: 5400" in loaded and used == "float32 (128,)"

    data, model = (
        hub.server.repository("datasets", "user/nt-species"),
        hub.server.repository("models", "user/nt-species-clf"),
    )
    assert data.private and model.private
    assert (len(data.history()), len(model.history())) == (3, 2)
    assert hub.server.requests("GET /objects/"), "data and weights came over HTTP"
