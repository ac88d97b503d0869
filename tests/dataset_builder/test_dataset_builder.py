"""The command line: a finished folder with its card, or one sentence and nothing left behind."""

import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_builder.__main__ import main
from dataset_builder.arguments import Build, Publishing
from dataset_builder.folder import write_folder
from dataset_builder.layout import SPLITS
from dnahub.machine.arguments import parse
from dnahub.machine.script import outcome
from dnahub.machine.text import printable
from tests.dataset_builder.fasta import SPECIES_NAMES, write_species
from tests.forked import Forked

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"train_per_class": 20, "validation_per_class": 5, "test_per_class": 10}
SMALL_FLAGS = [f"--{name}={value}" for name, value in SMALL.items()]


def build(folder: Path, source: Path | str = "synthetic", **settings) -> dict:
    return write_folder(Build(output_dir=str(folder), source=str(source), **SMALL | settings))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "nt-species"
    build(folder)
    return folder


@pytest.fixture
def source(tmp_path):
    write_species(tmp_path / "source")
    return tmp_path / "source"


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def refusal(*arguments) -> str:
    """The one sentence of the program."""
    status, sentence = outcome(lambda: main([str(word) for word in arguments]))
    assert status == 2 and sentence.startswith("error: ")
    return sentence


def test_the_folder_holds_parquet_card_and_record_and_nothing_else(synthetic):
    assert sorted(str(path.relative_to(synthetic)) for path in synthetic.rglob("*") if path.is_file()) == [
        "README.md",
        "build.json",
        *[f"data/{split}-00000-of-00001.parquet" for split in sorted(SPLITS)],
    ]
    assert entries(synthetic.parent) == ["nt-species"]
    record = json.loads((synthetic / "build.json").read_text())
    assert record["synthetic"] is True and record["source"] == "synthetic" and record["seed"] == 42
    card = DatasetCard.load(synthetic / "README.md")
    assert card.data.pretty_name.endswith("(synthetic)") and "synthetic" in card.data.tags
    for accuracy in (record["bayes_optimal_accuracy"], record["codon_usage_accuracy"]):
        assert f"{accuracy:.4f}" in card.text and accuracy > 0.3


def test_the_folder_loads_with_an_empty_cache_and_another_build_has_the_same_bytes(synthetic, tmp_path):
    build(tmp_path / "again")
    for path in synthetic.rglob("*"):
        assert path.is_dir() or path.read_bytes() == (tmp_path / "again" / path.relative_to(synthetic)).read_bytes()
    loaded = load_dataset(str(synthetic), cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {
        split: 6 * SMALL[f"{split}_per_class"] for split in SPLITS
    }
    for rows in loaded.values():
        assert rows.column_names == ["sequence", "label", "gene", "transcript", "start"]
        assert rows.features["label"].names == list(SPECIES_NAMES) and rows.features["start"].dtype == "int32"


def test_the_card_is_valid_and_holds_the_figures_of_the_record(source, tmp_path):
    (source / "Mus_musculus.fa").rename(source / "Mus_musculus.\udce9.fa")  # a byte that is not UTF-8
    record = build(tmp_path / "out", source, license="cc-by-4.0")
    assert json.loads((tmp_path / "out" / "build.json").read_text()) == record
    card = DatasetCard((tmp_path / "out" / "README.md").read_text())
    metadata = card.data.to_dict()
    assert metadata["license"] == "cc-by-4.0" and metadata["task_categories"] == ["text-classification"]
    assert "synthetic" not in card.content.lower()
    (config,) = metadata["configs"]
    assert config["config_name"] == "default" and config["description"].startswith("windows of 60 nt, seed 42, ")
    assert config["data_files"] == [{"split": split, "path": f"data/{split}-*.parquet"} for split in SPLITS]
    command = (
        "python -m dataset_builder --source DIR --window_nt 60 --train_per_class 20 --validation_per_class 5 "
        "--test_per_class 10 --seed 42 --license cc-by-4.0"
    )
    assert command in card.text and str(source) not in card.content
    settings, publishing = parse("", "", (Build, Publishing), command.split()[3:])
    assert settings == Build(source="DIR", license="cc-by-4.0", **SMALL) and publishing == Publishing()
    for species in record["classes"]:
        name, origin = species["name"], species["origin"]
        for line in (
            f"| *{name}* ({species['common_name']}) | 20 | 5 | 10 | 40 |",
            f"| *{name}* | `{printable(origin['name'])}` | `{origin['sha256']}` |",
            f"| *{name}* | {species['gc']:.3f} | {species['gc3']:.3f} |",
            f"| *{name}* | 40 | 0 | 0 | 0 | 0 | 0 | 0 | 40 |",
            f"| *{name}* | GENE TRANSCRIPT | 40 | 1.00 | 0 |",
            f"| *{name}* | 0 | 0 | 1 | 0 | 0.0 % |",
            f"| *{name}* | test | 10 | 0 | 0 | 0.00 % | 10 |",
        ):
            assert line in card.text.splitlines()
    for part in ("10.1038/s41592-024-02523-z", record["builder_version"], "| AAA |", "Licence: cc-by-4.0."):
        assert part in card.text
    assert "{{" not in card.content and "{%" not in card.content and "None" not in card.content


def test_an_earlier_build_is_replaced(synthetic, tmp_path):
    shutil.copytree(synthetic, tmp_path / "out")
    (tmp_path / "out" / "data" / "stale.parquet").write_text("left by an earlier build")
    build(tmp_path / "out", seed=7)
    assert json.loads((tmp_path / "out" / "build.json").read_text())["seed"] == 7
    assert not (tmp_path / "out" / "data" / "stale.parquet").exists() and entries(tmp_path) == ["out"]
    first = []
    for seed in (7, 2, 7):  # load_dataset gives this build, not one that it has in its cache
        build(tmp_path / "out", seed=seed)
        first.append(load_dataset(str(tmp_path / "out"), split="train")[0]["sequence"])
    assert first[0] == first[2] != first[1]


def test_another_configuration_lies_in_a_folder_of_its_name_and_loads_by_it(tmp_path):
    build(tmp_path / "out", config_name="w90", window_nt=90)
    assert entries(tmp_path / "out") == ["README.md", "w90"]
    assert "build.json" in entries(tmp_path / "out" / "w90")
    assert len(load_dataset(str(tmp_path / "out"), "w90", split="test")[0]["sequence"]) == 90
    command = json.loads((tmp_path / "out" / "w90" / "build.json").read_text())["config_name"]
    assert command == "w90" and "--config_name w90" in (tmp_path / "out" / "README.md").read_text()
    build(tmp_path / "out")  # an earlier build, so it may be replaced
    assert entries(tmp_path / "out") == ["README.md", "build.json", "data"]


BROKEN = {
    "empty": ("", ["empty"]),
    "text first": ("mouse genes\n>g\nATGTAA\n", ["'mouse genes'"]),
    "other letters": (">g1 t1\nATGXXXTAA\n", ["record 1 (g1)", "'X'"]),
    "no valid CDS": (">g1 t1\nATGA\n", ["no valid CDS"]),
    "few genes": (">g1 t1\nATG" + "GCT" * 40 + "TAA\n", ["Mus musculus", " 1 "]),
}


@pytest.mark.parametrize("kind", ["no file", "truncated", *BROKEN])
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(source, tmp_path, kind):
    path = source / "Mus_musculus.fa"
    text, facts = BROKEN.get(kind, (path.read_text(), ["Mus_musculus"]))
    path.unlink()
    if kind != "no file":
        content = gzip.compress(text.encode())
        path.with_suffix(".fa.gz").write_bytes(content[:500] if kind == "truncated" else content)
    sentence = refusal("--source", source, "--output_dir", tmp_path / "new" / "out", *SMALL_FLAGS)
    assert all(fact in sentence for fact in facts)
    assert entries(tmp_path) == ["source"]


def test_a_folder_with_other_files_is_not_replaced(synthetic, tmp_path):
    shutil.copytree(synthetic, tmp_path / "data" / "nt-species")
    shutil.copytree(synthetic, tmp_path / "mixed")
    (tmp_path / "mixed" / "my_notes.txt").write_text("all my work")
    (tmp_path / "foreign" / "pkg").mkdir(parents=True)
    (tmp_path / "foreign" / "pkg" / "build.json").write_text('{"a": 1}')
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for name in ("data", "mixed", "foreign", "file"):
        folder = tmp_path / name
        assert str(folder) in refusal("--source", "synthetic", "--output_dir", folder, *SMALL_FLAGS)
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "facts"),
    [
        (["--source", "nowhere"], ["nowhere"]),
        (["--source", "synthetic", "--window_nt", "61"], ["window_nt", "61"]),
        (["--source", "synthetic", "--seed", "-1"], ["seed", "-1"]),
        (["--source", "synthetic", "--test_per_class", "0"], ["test_per_class", " 0"]),
        (["--source", "synthetic", "--all_windows", "--train_per_class", "9"], ["--train_per_class 9", "--all"]),
        ([], ["--source"]),
        (["--source", "synthetic", "--push_to_hub"], ["--push_to_hub", "--hub_dataset_id"]),
        (["--source", "synthetic", "--hub_dataset_id", "user/x"], ["--push_to_hub", "--hub_dataset_id"]),
        (["--source", "synthetic", "--config_name", "../x"], ["--config_name '../x'"]),
        (["--source", "synthetic", "--config_name", "data"], ["--config_name 'data'"]),
        (["--push_only", "--hub_dataset_id", "user/x"], ["0 data sets"]),
    ],
)
def test_bad_settings_are_one_sentence(flags, facts, tmp_path):
    sentence = refusal(*flags, "--output_dir", tmp_path / "out")
    assert all(fact in sentence for fact in facts)
    assert entries(tmp_path) == []


@pytest.mark.parametrize(("flags", "status"), [(["--help"], 0), (["--nonsense"], 2), (["--seed", "-1"], 2)])
def test_help_and_wrong_arguments_are_answered_in_a_moment(flags, status):
    command = [sys.executable, "-X", "importtime", "-m", "dataset_builder", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status and (status or "default: 900" in done.stdout)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"numpy", "datasets", "pyarrow", "huggingface_hub", "torch"}


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_build(synthetic, tmp_path):
    shutil.copytree(synthetic, tmp_path / "out")
    before = (tmp_path / "out" / "build.json").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        sentence = refusal("--source", "synthetic", "--output_dir", tmp_path / "out", "--seed", "5", *SMALL_FLAGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in sentence
    assert entries(tmp_path) == ["out"] and (tmp_path / "out" / "build.json").read_bytes() == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_build_that_is_stopped_leaves_nothing_behind(synthetic, tmp_path, number, status):
    shutil.copytree(synthetic, tmp_path / "out")
    before = (tmp_path / "out" / "build.json").read_bytes()
    command = ["-m", "dataset_builder", "--source", "synthetic", "--output_dir", tmp_path / "out"]
    # Where pytest runs in the background of a shell, an interrupt is ignored.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = Forked([*command, "--train_per_class", "300000"], ROOT, os.environ, before=heed)
    process.wait_until(lambda: len(entries(tmp_path)) == 2)  # the build has begun beside the folder
    time.sleep(0.3)
    process.send_signal(number)
    done = process.finish(60)
    assert done.returncode == status and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("dataset_builder: ")
    assert entries(tmp_path) == ["out"] and (tmp_path / "out" / "build.json").read_bytes() == before
