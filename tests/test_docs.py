"""README.md and docs/: every code block runs, with small data, and every file and folder that they name is there."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_fixtures import REPOSITORY

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# What CI itself runs, or what needs the network or a folder of real sequences; `make real` does the last two.
NOT_HERE = ("make demo", "recipes/species_nt_v2_50m_lora.yaml", "--source FOLDER", "benchmarks/")
EXTRAS = ("h5py", "zarr")  # packages that the project does not need
# Appended, so that a block takes seconds: what is shown is the command, not its result.
SHORT = {
    "--source synthetic": "--train_per_species 40 --validation_per_species 8 --test_per_species 12",
    "--from_scratch tiny": "--max_steps 3 --use_cpu",
}


def blocks_of(document: Path) -> list[tuple[str, str]]:
    """Language and text of each block, without those that are not run here."""
    blocks = BLOCK.findall(document.read_text(encoding="utf-8"))
    return [(language, text) for language, text in blocks if not any(each in text for each in NOT_HERE)]


@pytest.fixture(scope="module")
def example_clone(tmp_path_factory, classification_run, write_dataset, toy_rows) -> Path:
    """The repository in a folder of its own, with .venv/ as `make setup` makes it, and the files of the examples."""
    folder = tmp_path_factory.mktemp("docs") / "clone"
    ignored = shutil.ignore_patterns(".git", ".venv", "data", "runs", "__pycache__", ".*_cache")
    shutil.copytree(REPOSITORY, folder, ignore=ignored)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(classification_run / "checkpoint", folder / "runs" / "demo" / "checkpoint")
    write_dataset(folder / "data" / "demo", toy_rows)

    sequences = [row["sequence"] for row in toy_rows["train"]]
    records = "".join(f">gene{i}\n{sequence}\n" for i, sequence in enumerate(sequences))
    (folder / "genes.fa.gz").write_bytes(gzip.compress(records.encode()))
    reads = "".join(f"@read{i}\n{sequence}\n+\n{'I' * len(sequence)}\n" for i, sequence in enumerate(sequences))
    (folder / "reads.fq.gz").write_bytes(gzip.compress(reads.encode()))
    (folder / "genome.fa").write_text(f">chr1\n{''.join(sequences)}\n")
    (folder / "promoters.bed").write_text("chr1\t10\t70\tp1\t0\t-\nchr1\t100\t160\tp2\t0\t+\n")
    tables = {
        "promoters.csv": ["sequence,strength,gene", *(f"{s},{i % 7 / 7},g{i // 3}" for i, s in enumerate(sequences))],
        "elements.csv": [
            "sequence,label",
            *(f"{s},{('promoter;enhancer', 'promoter')[i % 2]}" for i, s in enumerate(sequences)),
        ],
        "exons.jsonl": [
            json.dumps({"sequence": s, "label": [("coding", "intron")[(i + j) % 2] for j in range(len(s) // 6)]})
            for i, s in enumerate(sequences)
        ],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def shortened(command: str) -> str:
    """The commands of a block, each with what makes it quick."""
    lines = command.replace("\\\n", " ").splitlines()
    return "\n".join(" ".join([line, *(more for sign, more in SHORT.items() if sign in line)]) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_block_of_a_document_runs_in_its_order(hub, example_clone, document, tmp_path):
    clone = shutil.copytree(example_clone, tmp_path / "clone", symlinks=True)
    environment = hub.environment(home=tmp_path / "hf-home") | {"MY_TOKEN": hub.user, "HF_TOKEN": hub.user}
    before: list[str] = []  # Python blocks of one document go on from each other
    for language, block in blocks_of(document):
        if language == "sh":
            command = ["bash", "-euo", "pipefail", "-c", shortened(block)]
            done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=500)
            assert done.returncode == 0, block + done.stdout[-2000:] + done.stderr[-4000:]
            assert hub.user not in done.stdout + done.stderr
        elif language == "python" and not any(f"import {name}" in block for name in EXTRAS):
            before.append(block)
            command = [sys.executable, "-c", "\n".join(before)]
            done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, block + done.stderr[-4000:]
    if document.stem == "hub":
        model = hub.server.repository("models", "user/nt-species-clf")
        assert model.private and len(model.history()) == 2  # the second push changed nothing
        assert hub.server.repository("datasets", "user/nt-species").private


def test_every_path_that_a_document_links_to_or_lists_is_there():
    missing = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        linked = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
        missing += [(document.name, path) for path in linked if not (document.parent / path).exists()]
    tree = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    for line in tree.splitlines():
        path = f"dnahub/{line.split()[0]}" if line.startswith(" ") else line.split()[0]
        missing += [] if (REPOSITORY / path).exists() else [("tree", path)]
    assert not missing
