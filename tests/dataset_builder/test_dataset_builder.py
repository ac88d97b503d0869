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

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from dataset_builder.__main__ import main, parse_arguments
from dataset_builder.card import escaped
from dataset_builder.folder import write_folder
from dataset_builder.species import SPECIES, SPECIES_NAMES
from dataset_builder.synthetic import codon_usage, synthetic_genes
from dataset_builder.windows import SPLITS
from tests.forked import Forked

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"train_per_species": 20, "validation_per_species": 5, "test_per_species": 10}
SMALL_FLAGS = [f"--{name}={value}" for name, value in SMALL.items()]


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "nt-species"
    write_folder(folder, source="synthetic", **SMALL)
    return folder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for index, species in enumerate(SPECIES):
        genes = synthetic_genes(codon_usage()[species.scientific_name], 40, 60, np.random.default_rng(index))
        text = "".join(f">{cds.gene} {cds.transcript}\n{cds.sequence}\n" for cds in genes)
        (folder / f"{species.prefix}.cds.fa.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def one_sentence(capsys) -> str:
    """All that the program said."""
    out, errors = capsys.readouterr()
    assert out == "" and errors.startswith("error: ") and errors.count("\n") == 1
    return errors


def test_the_folder_holds_parquet_card_and_record_and_nothing_else(synthetic):
    assert sorted(str(path.relative_to(synthetic)) for path in synthetic.rglob("*") if path.is_file()) == [
        "README.md",
        "build.json",
        *[f"data/{split}-00000-of-00001.parquet" for split in sorted(SPLITS)],
    ]
    assert entries(synthetic.parent) == ["nt-species"]


def test_the_folder_loads_with_an_empty_cache(synthetic, tmp_path):
    loaded = load_dataset(str(synthetic), cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {
        split: 6 * SMALL[f"{split}_per_species"] for split in SPLITS
    }
    for rows in loaded.values():
        assert rows.column_names == ["sequence", "label", "gene", "transcript", "start"]
        assert rows.features["label"].names == list(SPECIES_NAMES) and rows.features["start"].dtype == "int32"


def test_the_program_writes_the_same_bytes_whatever_the_seed_of_hashes(synthetic, tmp_path):
    """This process has another one; PYTHONHASHSEED takes an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dataset_builder", "--source", "synthetic", "--output_dir", tmp_path, *SMALL_FLAGS],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout and "synthetic" in done.stdout.lower()
    assert all(name in done.stdout for name in SPECIES_NAMES)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert (tmp_path / file).read_bytes() == (synthetic / file).read_bytes(), file


def test_the_record_and_the_card_say_that_the_data_is_synthetic(synthetic):
    record = json.loads((synthetic / "build.json").read_text())
    assert record["synthetic"] is True and record["source"] == "synthetic" and record["seed"] == 42
    card = DatasetCard.load(synthetic / "README.md")
    assert card.data.pretty_name.endswith("(synthetic)") and "synthetic" in card.data.tags
    assert f"{record['bayes_optimal_accuracy']:.4f}" in card.text


def test_the_card_is_valid_and_holds_the_figures_of_the_record(source, tmp_path):
    record = write_folder(tmp_path / "out", source=str(source), **SMALL)
    assert json.loads((tmp_path / "out" / "build.json").read_text()) == record
    card = DatasetCard((tmp_path / "out" / "README.md").read_text())
    metadata = card.data.to_dict()
    assert metadata["license"] == "unknown" and metadata["task_categories"] == ["text-classification"]
    assert metadata["size_categories"] == ["n<1K"] and "synthetic" not in card.content.lower()
    assert [config.pop("description")[:27] for config in metadata["configs"]] == ["windows of 60 nt, seed 42, "]
    assert metadata["dataset_info"]["splits"][0]["num_examples"] == 6 * SMALL["train_per_species"]
    assert metadata["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in SPLITS],
        }
    ]
    command = (
        "python -m dataset_builder --source DIR --window_nt 60 --train_per_species 20 --validation_per_species 5 "
        "--test_per_species 10 --seed 42"
    )
    assert command in card.text and str(source) not in card.content
    options, target, push_only = parse_arguments(command.split()[3:])
    assert (target, push_only) == (None, False)
    assert options == {
        "source": "DIR",
        "output_dir": "data/nt-species",
        "config_name": "default",
        "license": None,
        "window_nt": 60,
        "seed": 42,
        **SMALL,
    }
    for species in record["species"]:
        name, origin = species["scientific_name"], species["origin"]
        for line in (
            f"| *{name}* ({species['common_name']}) | 20 | 5 | 10 | 40 |",
            f"| *{name}* | {origin['name']} | `{origin['sha256']}` |",
            f"| *{name}* | {species['gc']:.3f} | {species['gc3']:.3f} |",
            f"| *{name}* | 40 | 0 | 0 | 0 | 0 | 0 | 40 |",
            f"| *{name}* | test | 10 | 0 | 0 | 0.00 % | 10 |",
        ):
            assert line in card.text.splitlines()
    for part in (
        "10.1038/s41592-024-02523-z",
        "Ensembl 2025",
        record["builder_version"],
        "strong baseline",
        "| AAA |",
    ):
        assert part in card.text
    assert "{{" not in card.content and "{%" not in card.content and "None" not in card.content


def test_tables_of_the_card_have_no_gaps(synthetic, source, tmp_path):
    write_folder(tmp_path / "out", source=str(source), **SMALL)
    for folder in (synthetic, tmp_path / "out"):
        lines = (folder / "README.md").read_text().splitlines()
        rules = [number for number, line in enumerate(lines) if line.startswith("|---")]
        assert len(rules) >= 5
        for number in rules:
            columns = lines[number].count("|")
            assert lines[number - 1].count("|") == lines[number + 1].count("|") == columns
            assert lines[number - 2] == ""


def test_names_of_files_are_shown_as_they_are(source, tmp_path):
    odd = "Mus_musculus|<b>`{{ 7 * 7 }}` (x).fa.gz"
    (source / "Mus_musculus.cds.fa.gz").rename(source / odd)
    write_folder(tmp_path / "out", source=str(source), **SMALL)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| *Mus musculus* | {escaped(odd)} |" in card
    for part in ("<b>", "{{", "49"):
        assert part not in escaped(odd)


def test_an_earlier_build_is_replaced(synthetic, tmp_path):
    shutil.copytree(synthetic, tmp_path / "out")
    (tmp_path / "out" / "data" / "stale.parquet").write_text("left by an earlier build")
    write_folder(tmp_path / "out", source="synthetic", seed=7, **SMALL)
    assert json.loads((tmp_path / "out" / "build.json").read_text())["seed"] == 7
    assert not (tmp_path / "out" / "data" / "stale.parquet").exists()
    assert load_dataset(str(tmp_path / "out"), split="train").num_rows == 120
    assert entries(tmp_path) == ["out"]


def test_load_dataset_never_gives_an_earlier_build_of_the_same_folder(tmp_path):
    first = []
    for seed in (1, 2, 1):
        write_folder(tmp_path / "out", source="synthetic", seed=seed, **SMALL)
        first.append(load_dataset(str(tmp_path / "out"), split="train")[0]["sequence"])
    assert first[0] == first[2] != first[1]


def test_another_configuration_lies_in_a_folder_of_its_name_and_loads_by_it(tmp_path):
    write_folder(tmp_path / "out", config_name="w90", source="synthetic", window_nt=90, **SMALL)
    assert entries(tmp_path / "out") == ["README.md", "w90"]
    assert "build.json" in entries(tmp_path / "out" / "w90")
    assert len(load_dataset(str(tmp_path / "out"), "w90", split="test")[0]["sequence"]) == 90
    command = json.loads((tmp_path / "out" / "w90" / "build.json").read_text())["config_name"]
    assert command == "w90" and "--config_name w90" in (tmp_path / "out" / "README.md").read_text()
    write_folder(tmp_path / "out", source="synthetic", **SMALL)  # an earlier build, so it may be replaced
    assert entries(tmp_path / "out") == ["README.md", "build.json", "data"]


def test_a_folders_licence_is_said_where_it_is_known(source, tmp_path):
    write_folder(tmp_path / "out", source=str(source), license="cc-by-4.0", **SMALL)
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "cc-by-4.0" and "Licence: cc-by-4.0." in card.text
    assert "--license cc-by-4.0" in card.text


def test_an_empty_folder_is_filled_and_missing_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", source="synthetic", **SMALL)
    write_folder(tmp_path / "a" / "b" / "c", source="synthetic", **SMALL)
    assert (tmp_path / "empty" / "build.json").exists() and (tmp_path / "a" / "b" / "c" / "build.json").exists()
    assert entries(tmp_path) == ["a", "empty"] and (tmp_path / "a").stat().st_mode & 0o055


def test_a_folder_of_something_else_is_not_replaced(tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("all my work")
    assert main(["--source", "synthetic", "--output_dir", str(tmp_path / "thesis")]) == 2
    assert main(["--source", "synthetic", "--output_dir", str(tmp_path / "thesis" / "chapter.md")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert f"--output_dir {tmp_path / 'thesis'} " in first
    assert str(tmp_path / "thesis" / "chapter.md") in second
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "all my work"


def break_source(source, kind):
    path = source / "Mus_musculus.cds.fa.gz"
    whole = path.read_bytes()
    if kind == "missing species":
        path.unlink()
        return ["Mus_musculus*.fa[.gz]", str(source)]
    if kind == "two files":
        shutil.copy(path, source / "Mus_musculus.fa")
        return ["Mus_musculus.fa", path.name, str(source)]
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
        return [str(path), "record "]
    text = {
        "empty": "",
        "text first": "mouse genes\n>g\nATGTAA\n",
        "empty record": ">g1 t1\n>g2 t2\nATGTAA\n",
        "other letters": ">g1 t1\nATGXXXTAA\n",
        "no valid CDS": ">g1 t1\nATGA\n",
        "few genes": ">g1 t1\nATG" + "GCT" * 40 + "TAA\n",
    }[kind]
    path.write_bytes(gzip.compress(text.encode()))
    return {
        "empty": [str(path), "empty"],
        "text first": [str(path), "line 1", "'mouse genes'"],
        "empty record": [str(path), "record 1 (g1)"],
        "other letters": [str(path), "record 1 (g1)", "'X'"],
        "no valid CDS": [str(path), "1 record"],
        "few genes": ["Mus musculus", " 1 "],
    }[kind]


BROKEN = [
    "missing species",
    "two files",
    "truncated",
    "empty",
    "text first",
    "empty record",
    "other letters",
    "no valid CDS",
    "few genes",
]


@pytest.mark.parametrize("kind", BROKEN)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(source, tmp_path, capsys, kind):
    parts = break_source(source, kind)
    assert main(["--source", str(source), "--output_dir", str(tmp_path / "new" / "out"), *SMALL_FLAGS]) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error:")]
    for part in parts:
        assert part in line
    assert captured.out == "" and entries(tmp_path) == ["source"]


def test_a_folder_that_holds_a_build_and_something_else_is_not_replaced(synthetic, tmp_path, capsys):
    parent, mixed, foreign = tmp_path / "data", tmp_path / "mixed", tmp_path / "foreign"
    shutil.copytree(synthetic, parent / "nt-species")
    shutil.copytree(synthetic, mixed)
    (mixed / "my_notes.txt").write_text("all my work")
    (foreign / "pkg").mkdir(parents=True)
    (foreign / "pkg" / "build.json").write_text('{"a": 1}')
    for folder in (parent, mixed, foreign):
        before = sorted(folder.rglob("*"))
        assert main(["--source", "synthetic", "--output_dir", str(folder), *SMALL_FLAGS]) == 2
        assert f"--output_dir {folder} " in one_sentence(capsys)
        assert sorted(folder.rglob("*")) == before


def test_a_folder_below_a_file_is_refused_at_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--source", "synthetic", "--output_dir", str(tmp_path / "file" / "out")]) == 2
    assert f"{tmp_path / 'file'} " in one_sentence(capsys)


@pytest.mark.parametrize(
    ("flags", "facts"),
    [
        (["--source", "nowhere"], ["nowhere"]),
        (["--source", "synthetic", "--window_nt", "61"], ["window_nt", "61"]),
        (["--source", "synthetic", "--seed", "-1"], ["seed", "-1"]),
        (["--source", "synthetic", "--test_per_species", "0"], ["test_per_species", " 0"]),
        (["--push_to_hub", "user/x"], ["--source"]),
        (["--source", "synthetic", "--private"], ["--private", "--push_to_hub"]),
        (["--source", "synthetic", "--config_name", "../x"], ["--config_name '../x'"]),
        (["--source", "synthetic", "--config_name", "data"], ["--config_name 'data'"]),
        (["--source", "synthetic", "--license", "mit"], ["--license mit", "synthetic"]),
        (["--push_only", "--push_to_hub", "user/x"], ["0 data sets"]),
        (["--push_only", "--push_to_hub", "user/x", "--config_name", "w60"], ["--push_only", "--config_name"]),
        (
            ["--push_only", "--push_to_hub", "user/x", "--source", "synthetic", "--seed", "7"],
            ["--push_only", "--source", "--seed"],
        ),
        (["--push_only", "--push_to_hub", "user/x", "--all_windows"], ["--push_only", "--all_windows"]),
        (["--source", "synthetic", "--config_name", "build.json"], ["--config_name 'build.json'"]),
        (["--source", "synthetic", "--all_windows", "--test_per_species", "5"], ["--all_windows", "per species"]),
    ],
)
def test_bad_settings_are_one_sentence(flags, facts, tmp_path, capsys):
    assert main([*flags, "--output_dir", str(tmp_path / "out")]) == 2
    sentence = one_sentence(capsys)
    for fact in facts:
        assert fact in sentence
    assert entries(tmp_path) == []


def test_the_help_states_defaults_and_units(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for part in ("window in nt", "default: 60", "default: 900", "default: 100", "default: 1000", "default: 42"):
        assert part in text


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_build(synthetic, tmp_path, capsys):
    shutil.copytree(synthetic, tmp_path / "out")
    before = (tmp_path / "out" / "build.json").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        status = main(["--source", "synthetic", "--output_dir", str(tmp_path / "out"), "--seed", "5", *SMALL_FLAGS])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert status == 2 and "File too large" in line
    assert entries(tmp_path) == ["out"] and (tmp_path / "out" / "build.json").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_a_build_that_is_stopped_leaves_nothing_behind(synthetic, tmp_path, number):
    shutil.copytree(synthetic, tmp_path / "out")
    before = (tmp_path / "out" / "build.json").read_bytes()
    command = ["-m", "dataset_builder", "--source", "synthetic", "--output_dir", tmp_path / "out"]
    # Where pytest runs in the background of a shell, an interrupt is ignored.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = Forked([*command, "--train_per_species", "300000"], ROOT, os.environ, before=heed)
    deadline = time.monotonic() + 60
    while len(entries(tmp_path)) == 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(entries(tmp_path)) == 2, "the build has begun beside the folder"
    time.sleep(0.3)
    process.send_signal(number)
    done = process.finish(60)
    # CPython may end itself by SIGINT after a handled interrupt, if that fell into code run by exec().
    assert done.returncode in (130, -signal.SIGINT)
    assert "interrupted" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert entries(tmp_path) == ["out"] and (tmp_path / "out" / "build.json").read_bytes() == before


def test_a_failed_rename_brings_the_earlier_build_back(synthetic, tmp_path, monkeypatch):
    shutil.copytree(synthetic, tmp_path / "out")
    rename = os.rename

    def rename_but_the_finished_folder(old, new):
        if Path(old).name == "finished":
            raise OSError("no rename today")
        rename(old, new)

    monkeypatch.setattr("dataset_builder.folder.os.rename", rename_but_the_finished_folder)
    with pytest.raises(OSError, match="no rename today"):
        write_folder(tmp_path / "out", source="synthetic", seed=9, **SMALL)
    assert json.loads((tmp_path / "out" / "build.json").read_text())["seed"] == 42
    assert entries(tmp_path) == ["out"]
