"""README.md and docs/: every code block runs, with small data, and every file and folder that they name is there."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import forked
from tests.dataset_builder.fasta import write_classes, write_species
from tests.hub_fixtures import REPOSITORY

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
OTHER_TOOLS = REPOSITORY / "docs" / "other_tools.md"
# What CI itself runs, or what needs the network or a folder of real sequences; `make real` does the last two.
NOT_HERE = ("make demo", "make reproduce", "recipes/species_nt_v2_50m_lora.yaml", "--source FOLDER", "benchmarks/")
# Appended, so that a block takes seconds: what is shown is the command, not its result.
SHORT = {
    "--source synthetic": "--train_per_class 40 --validation_per_class 8 --test_per_class 12",
    "--from_scratch tiny": "--max_steps 3 --use_cpu",
}


def blocks_of(text: str) -> list[tuple[str, str]]:
    """Language and text of each block, without those that are not run here."""
    return [
        (language, block) for language, block in BLOCK.findall(text) if not any(each in block for each in NOT_HERE)
    ]


SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", OTHER_TOOLS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
)
HIDDEN_STATES = """
mask = batch["attention_mask"].astype(bool)
expected = model(**tokenizer(["ATGGTAGCTACATCATCT" * 30, "ACGTNNACGT", "A"], padding=True, return_tensors="pt"))
assert hidden.shape == (3, 91, 128) and abs(hidden - expected.last_hidden_state.detach().numpy())[mask].max() < 1e-5
"""
VECTORS = """
from transformers import pipeline
embed = pipeline("dna-embedding", model="runs/demo/checkpoint", trust_remote_code=True)
assert vectors.shape == (2, 128) and abs(embed.encode(sequences) - {}).max() < 1e-5
"""
# What must be so after the example of each section.
CHECKS = {
    "sentence-transformers": 'sequences = ["ATGGTAGCTACATCATCT", "ACGTNNACGT"]' + VECTORS.format("vectors"),
    "ONNX": HIDDEN_STATES,
    "OpenVINO": HIDDEN_STATES,
    "FastAPI": """
assert [sum(each["scores"].values()) for each in answers] == __import__("pytest").approx([1, 1])
assert TestClient(app).post("/classify", json=[""]).status_code == 422
""",
    "scanpy": 'assert genes.obsm["X_umap"].shape == (96, 2) and genes.X.shape == (96, 128)',
    "DuckDB": 'assert windows == {"fly": 32, "mouse": 32, "yeast": 32}',
    "The snippet of InstaDeep's cards": VECTORS.format("vectors.numpy()"),
}


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
    write_classes(folder / "sequences")
    (folder / "sequences" / "host.fna.gz").rename(folder / "sequences" / "host.fa.gz")
    write_species(folder / "cds")
    for name, new in (("Homo_sapiens", "Caenorhabditis_elegans"), ("Escherichia_coli", "b_subtilis_168")):
        (folder / "cds" / f"{name}.fa").rename(folder / "cds" / f"{new}.fa")
    genome = "".join(sequences)
    variants = [
        f"1\t{pos}\t.\t{genome[pos - 1]}\t{'A' if genome[pos - 1] != 'A' else 'C'}\t.\t.\t." for pos in (50, 900)
    ]
    head = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    (folder / "variants.vcf").write_text("\n".join([*head, *variants]) + "\n")
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


def run_blocks(hub, blocks: list[tuple[str, str]], clone: Path, environment: dict[str, str], check: str = "") -> None:
    """In their order; Python blocks go on from each other, and `check` from the last."""
    before: list[str] = []
    for language, block in blocks:
        if language == "sh":
            command = ["bash", "-euo", "pipefail", "-c", shortened(block)]
            done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=500)
        elif language == "python":
            before.append(block)
            is_last = (language, block) == blocks[-1]
            done = forked.run(["-c", "\n".join([*before, *[check] * is_last])], clone, environment)
        else:
            continue
        assert done.returncode == 0, block + done.stdout[-2000:] + done.stderr[-4000:]
        assert hub.user not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if each not in (OTHER_TOOLS, TUTORIAL)], ids=lambda path: path.stem
)
def test_every_block_of_a_document_runs_in_its_order(hub, example_clone, document, tmp_path):
    if document.stem == "trackio":
        pytest.importorskip("trackio", reason="needs pip install -r requirements-tools.txt")
    clone = shutil.copytree(example_clone, tmp_path / "clone", symlinks=True)
    environment = hub.environment(home=tmp_path / "hf-home") | {"MY_TOKEN": hub.user, "HF_TOKEN": hub.user}
    run_blocks(hub, blocks_of(document.read_text(encoding="utf-8")), clone, environment)
    if document.stem == "hub":
        model = hub.server.repository("models", "user/nt-species-clf")
        assert model.private and len(model.history()) == 2  # the second push changed nothing
        assert hub.server.repository("datasets", "user/nt-species").private


@pytest.mark.slow
@pytest.mark.parametrize("tool", SECTIONS)
def test_every_example_of_another_tool_gives_what_is_right(hub, example_clone, tool, tmp_path):
    blocks = blocks_of(SECTIONS[tool])
    packages = {name for _, block in blocks for name in re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE)}
    packages |= {"onnxscript"} if tool == "ONNX" else {"httpx"} if tool == "FastAPI" else set()
    if missing := [name for name in packages if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    run_blocks(hub, blocks, example_clone, hub.environment(home=tmp_path / "hf-home"), CHECKS[tool])


def test_the_tutorial_is_the_one_that_make_docs_runs():
    text = TUTORIAL.read_text(encoding="utf-8")
    cells = (REPOSITORY / "docs" / "tutorial.py").read_text(encoding="utf-8").split("\n# %%")[1:]
    code = [cell.strip() for cell in cells if not cell.startswith(" [markdown]")]
    prose = [cell.removeprefix(" [markdown]\n") for cell in cells if cell.startswith(" [markdown]")]
    assert [block.strip() for language, block in BLOCK.findall(text) if language == "python"] == code
    assert all(re.sub("^# ?", "", cell, flags=re.MULTILINE).strip() in text for cell in prose)


SCRIPTS = {  # instead of SLURM's; the job runs until SIGTERM
    "srun": "touch started\ntrap 'touch saved; exit 1' TERM\nwhile true; do sleep 0.1; done",
    "scontrol": 'echo "$@" >> scontrol.log',
}


def test_the_job_of_several_nodes_goes_back_into_the_queue_when_its_time_is_over(tmp_path):
    text = (REPOSITORY / "docs" / "howto" / "several_nodes.md").read_text(encoding="utf-8")
    (tmp_path / "train.sbatch").write_text(
        re.search(r"^```text\n(#!/bin/bash.*?)^```", text, re.DOTALL | re.MULTILINE)[1]
    )
    for name, lines in SCRIPTS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_NNODES": "2"}
    job = subprocess.Popen(["bash", "train.sbatch"], cwd=tmp_path, env=environment)
    while not (tmp_path / "started").exists():
        time.sleep(0.05)

    job.terminate()

    job.wait(30)
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "scontrol.log").read_text().splitlines()[-1] == "requeue 7"


def test_every_path_that_a_document_links_to_or_lists_is_there():
    missing = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        linked = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
        missing += [(document.name, path) for path in linked if not (document.parent / path).exists()]
    tree = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    for line in tree.splitlines():
        path = f"dnahub/{line.split()[0]}" if line.startswith(" ") else line.split()[0]
        missing += [] if (REPOSITORY / path).exists() else [("tree", path)]
    assert not missing
