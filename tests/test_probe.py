"""probe.py from its arguments: embeddings in files, and a checkpoint with a data set."""

import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, Value, load_dataset
from transformers import pipeline

import probe
from dnahub.checkpoints.presets import PRESETS
from dnahub.checkpoints.saving import save_checkpoint
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForMaskedLM
from dnahub.metrics.classification import classification
from dnahub.reports import forest, probe_report
from dnahub.reports.baselines import choose_baselines
from dnahub.reports.fitting import Rows
from dnahub.reports.linear_probe import fit_linear
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

SPECIES = ["Homo sapiens", "Escherichia coli"]
WINDOWS = {"train": 60, "validation": 20, "test": 40}
FEATURES = Features({"sequence": Value("string"), "label": ClassLabel(names=SPECIES)})


def windows(num_windows: int, seed: int) -> list[dict]:
    """Half of them rich in A and T, half in G and C."""
    generator = np.random.default_rng(seed)
    odds = ((0.2, 0.2, 0.3, 0.3), (0.3, 0.3, 0.2, 0.2))
    return [
        {"sequence": "".join(generator.choice(list("ATGC"), size=60, p=odds[i % 2])), "label": i % 2}
        for i in range(num_windows)
    ]


ROWS = {split: windows(num_windows, seed) for seed, (split, num_windows) in enumerate(WINDOWS.items())}


@pytest.fixture
def data_folder(tmp_path, write_dataset) -> Path:
    return write_dataset(
        tmp_path / "nt-species", ROWS, FEATURES, build={"synthetic": True, "bayes_optimal_accuracy": 0.975}
    )


class Composition:
    """A stand-in for the pipeline: the counts of four letters."""

    def encode(self, sequences, show_progress: bool) -> np.ndarray:
        return np.array([[sequence.count(letter) for letter in "ATGC"] for sequence in sequences], dtype=np.float32)


@pytest.fixture
def figures(monkeypatch):
    """File name -> title of the figures; nothing is drawn, nothing projected."""
    written = {}

    def draw(*given):
        *_, title, path = given
        written[path.name] = title
        if path.name == "labelled_rows.png":
            written["note"] = given[1]

    for name in ("draw_label_curve", "draw_reliability", "draw_confusion_matrix", "draw_points"):
        monkeypatch.setattr(probe_report, name, draw)
    monkeypatch.setattr(probe_report, "project", lambda embeddings, seed: embeddings[:, :2])
    return written


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run main() with a stand-in for the pipeline; gives metrics.json, stdout and stderr."""

    def run_main(stand_in: bool = True, **arguments) -> tuple[dict, str, str]:
        if stand_in:
            monkeypatch.setattr(probe, "load_engine", lambda args: Composition())
        monkeypatch.setattr(forest, "TREES", 5)  # 200 take a second for each fit
        given = {"output_dir": tmp_path / "report"} | arguments
        probe.main([text for name, value in given.items() for text in (f"--{name}", str(value))])
        return json.loads((Path(given["output_dir"]) / "metrics.json").read_text()), *capsys.readouterr()

    return run_main


@pytest.fixture
def embedding_files(tmp_path):
    """Embeddings of four letters' counts and labels, some rows of the data set, with or without sequences."""

    def write(num_test: int = 40, with_sequences: bool = False) -> dict:
        files = {}
        for split, rows in (ROWS | {"test": ROWS["test"][:num_test]}).items():
            sequences = [row["sequence"] for row in rows]
            columns = {"embedding": Composition().encode(sequences, False).tolist()}
            columns |= {"label": [SPECIES[row["label"]] for row in rows]}
            columns |= {"sequence": sequences} if with_sequences else {}
            files[f"{split}_embeddings"] = tmp_path / f"{split}.parquet"
            pq.write_table(pa.table(columns), files[f"{split}_embeddings"])
        return files

    return write


def test_a_checkpoint_is_probed_and_nothing_but_the_report_is_written(tmp_path, data_folder, run):
    checkpoint, config = tmp_path / "checkpoint", NucleotideTransformerConfig(**PRESETS["tiny"])
    tokenizer = build_tokenizer(nt_vocabulary(), config.max_tokens)
    save_checkpoint(checkpoint, NucleotideTransformerForMaskedLM(config), tokenizer, {"task": "mlm"}, "A card.")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    report, out, err = run(False, model_name_or_path=checkpoint, dataset_name=data_folder)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    names = ("metrics.json", "labelled_rows.png", "reliability.png", "confusion_matrix.png", "umap.png")
    written = [str(tmp_path / "report" / name) for name in names]
    page = tmp_path / "report" / "report.html"
    assert {str(path) for path in set(after) - set(before)} == {*written, str(page)}
    assert {path: after[path] for path in before} == before
    assert out.splitlines()[-6:] == [*written, str(page)] and "embedding test, 40 sequences" in err
    sections = re.findall(r'<section id="(\w+)">', page.read_text(encoding="utf-8"))
    assert sections == ["scores", "confusion", "curves", "reliability", "labels", "umap"]
    for name in written[1:]:
        assert matplotlib.image.imread(name).std() > 0.01

    embed = pipeline("dna-embedding", model=str(checkpoint), trust_remote_code=True, batch_size=20)
    splits = load_dataset(str(data_folder))
    train, held = (
        Rows(np.stack(embed(list(splits[split]["sequence"]))), np.array(splits[split]["label"]))
        for split in ("train", "validation")
    )
    expected = fit_linear(train, [(train, held)], TASKS["classification"], Labels(SPECIES, 2)).facts
    assert report["num_rows"] == WINDOWS and report["fine_tuned"] is None and report["labels_seen"] is None
    assert report["linear_probe"]["num_features"] == 128
    losses = [[each["validation_log_loss"] for each in of["candidates"]] for of in (report["linear_probe"], expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_files_of_embeddings_give_what_the_data_set_gives(data_folder, run, figures, embedding_files, monkeypatch):
    monkeypatch.setattr(probe_report, "MAX_POINTS", 30)
    by_checkpoint, table, _ = run(model_name_or_path="demo/checkpoint", dataset_name=data_folder, seed=7)
    assert by_checkpoint["seed"] == 7 and by_checkpoint["synthetic"] is True
    for title, rows in ((figures["confusion_matrix.png"], "40"), (figures["umap.png"], "30 of 40")):
        assert title.startswith("SYNTHETIC DATA: ")
        assert f"demo/checkpoint\n{rows} test rows of nt-species: accuracy" in title
    by_files, _, _ = run(**embedding_files(with_sequences=True))
    assert by_files["label_names"] == sorted(SPECIES) and by_files["bayes_optimal_accuracy"] is None
    for scores in (by_checkpoint, by_files):
        assert {"majority class", "codon pairs, naive Bayes", "letters"} < set(scores["baselines"])
        assert scores["baselines"]["majority class"]["accuracy"] == 0.5 and scores["linear_probe"]["accuracy"] > 0.7
        assert scores["comparison"]["baseline"] in scores["baselines"] and scores["comparison"]["groups"] is None
    assert by_files["linear_probe"]["accuracy"] == by_checkpoint["linear_probe"]["accuracy"]
    assert not any("SYNTHETIC" in title for title in figures.values())

    rows = table.splitlines()[:-9]
    assert [row.split()[0] for row in rows] == [
        *("method", "majority", "GC", "3-mer", "in-frame", "frame-wise", "frame-wise", "codon", "letters", "letters,"),
        *("nearest", "linear", "Bayes-optimal"),
    ]
    assert len({row.find(cell) for row, cell in zip(rows[:2], ("Accuracy", "0.5000"), strict=True)}) == 1
    assert rows[-1].split()[-7:] == ["0.9750", *"------"]


def test_the_table_says_that_there_are_no_baselines_and_is_printed_before_the_figures_are_drawn(
    run, capsys, monkeypatch, embedding_files, tmp_path
):
    def fail(*given):
        raise MemoryError

    monkeypatch.setattr(probe_report, "draw_label_curve", fail)
    with pytest.raises(MemoryError):
        run(**embedding_files())
    out = capsys.readouterr().out
    assert "linear probe on embeddings" in out and "'sequence'" in out and "3-mer" not in out
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert list(report["baselines"]) == [report["comparison"]["baseline"]] == ["majority class"]


def test_a_test_split_of_two_rows_has_no_umap_and_that_of_an_earlier_report_goes(run, embedding_files, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "umap.png").write_bytes(b"of an earlier report")
    _, out, _ = run(**embedding_files(num_test=2))
    assert "4 or more test rows" in out.splitlines()[-2]
    assert not (tmp_path / "report" / "umap.png").exists()


@pytest.mark.parametrize(("confusion", "same"), [([[18, 2], [2, 18]], True), ([[18, 3], [2, 17]], False)])
def test_the_fine_tuned_classifier_is_reported_and_drawn_if_it_was_tested_on_these_rows(
    tmp_path, data_folder, run, figures, confusion, same
):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    test = {"accuracy": 0.9, "macro_f1": 0.9, "mcc": 0.8, "intervals": {"accuracy": [0.8, 0.975]}}
    test |= {"recall_per_label": dict.fromkeys(SPECIES, 0.9), "confusion_matrix": confusion}
    metrics = {"task": "classification", "test": test, "dataset": {"name": "nt-species", "rows": {"train": 9_060}}}
    metrics |= {"self_training": {"sequences": 9_000}} if same else {}
    (checkpoint / "metrics.json").write_text(json.dumps(metrics))
    report, out, err = run(model_name_or_path=checkpoint, dataset_name=data_folder)
    assert (report["fine_tuned"] is not None) == ("fine-tuned classifier" in out) == same
    assert ("fine-tuned classifier" in figures["confusion_matrix.png"]) == same
    assert (str(checkpoint / "metrics.json") in err) != same
    seen = (
        "60 labelled rows of nt-species and 9,000 that self-training" if same else "9,060 labelled rows of nt-species:"
    )
    for text in (out, figures["note"], (tmp_path / "report" / "report.html").read_text(encoding="utf-8")):
        assert text.count("The checkpoint was fine-tuned on") == text.count(seen) == 1


def test_embeddings_that_are_all_equal_are_an_error_and_no_folder_is_left(run, embedding_files, tmp_path):
    files = embedding_files()
    table = pq.read_table(files["train_embeddings"])
    pq.write_table(table.set_column(0, "embedding", [[[1.0, 2.0, 3.0, 4.0]] * len(table)]), files["train_embeddings"])
    with pytest.raises(ValueError, match="all embeddings of train are equal"):
        run(**files)
    assert not (tmp_path / "report").exists()


def test_many_classes_have_no_confusion_matrix_and_no_points_of_few_rows_and_that_is_said(
    run, figures, tmp_path, monkeypatch, recwarn
):
    monkeypatch.setattr(classification, "MAX_LABELS_OF_MATRIX", 109)
    rng, files = np.random.default_rng(0), {}
    for split in ("train", "test"):
        columns = {"embedding": rng.normal(size=(120, 4)).tolist(), "label": [f"class {i % 110}" for i in range(120)]}
        files[f"{split}_embeddings"] = tmp_path / f"{split}.parquet"
        pq.write_table(pa.table(columns), files[f"{split}_embeddings"])
    report, out, _ = run(**files)
    assert "confusion_matrix" not in report["linear_probe"] and "confusion_matrix.png" not in figures
    assert "confusion_matrix.png: 110 classes are too many)" in out and "fewer rows than the 110 classes" in out
    assert [point["rows"] for point in report["learning_curve"]["linear probe on embeddings"]] == [120]
    assert not [warning for warning in recwarn if "sklearn" in warning.filename]


@pytest.mark.parametrize("names", [(), ("embeddings", "test_embeddings"), ("embeddings", "dataset_name")])
def test_arguments_that_do_not_go_together_are_an_error(run, names):
    with pytest.raises(
        ValueError, match="--test_embeddings.*--embeddings alone.*--model_name_or_path and --dataset_name"
    ):
        run(**dict.fromkeys(names, "x"))


def test_kmers_of_a_data_set_are_refused_or_joined(tmp_path, write_dataset, data_folder, run, figures):
    def kmers(row: dict) -> dict:
        return row | {"sequence": " ".join(row["sequence"][i : i + 6] for i in range(55))}

    folder = write_dataset(tmp_path / "kmers", {split: [*map(kmers, rows)] for split, rows in ROWS.items()}, FEATURES)
    with pytest.raises(ValueError, match="--sequence_format kmers"):
        run(model_name_or_path="x", dataset_name=folder)
    joined, *_ = run(model_name_or_path="x", dataset_name=folder, sequence_format="kmers")
    plain, *_ = run(model_name_or_path="x", dataset_name=data_folder)
    assert joined["linear_probe"] == plain["linear_probe"] and joined["baselines"] == plain["baselines"]


def test_sequences_in_two_splits_are_refused(run, embedding_files):
    files = embedding_files(with_sequences=True)
    with pytest.raises(ValueError, match="60 of the 60 sequences of test are in train, too .row 0 of test"):
        run(**files | {"test_embeddings": files["train_embeddings"]})


def test_rows_are_sampled_as_by_train_py_where_validation_is_cut_off(tmp_path, write_dataset, run):
    folder = write_dataset(tmp_path / "nt-species", {split: ROWS[split] for split in ("train", "test")}, FEATURES)
    given = {"model_name_or_path": "demo/checkpoint", "dataset_name": folder}
    assert run(**given)[0]["num_rows"] == {"train": 60, "test": 40}
    assert run(**given, max_train_samples=30)[0]["num_rows"] == {"train": 30, "validation": 6, "test": 40}


def test_without_validation_train_is_cross_validated_by_groups(
    tmp_path, write_dataset, run, figures, embedding_files, monkeypatch
):
    """Of a data set and of files, which give the same."""
    few = choose_baselines(TASKS["classification"], one_length=False)[:3]
    for module in ("baselines", "probing"):
        monkeypatch.setattr(f"dnahub.reports.{module}.choose_baselines", lambda *_, **__: few)
    genes = {split: [row | {"gene": f"{split} {i // 2}"} for i, row in enumerate(ROWS[split])] for split in ROWS}
    features = Features({**FEATURES, "gene": Value("string")})
    splits = {split: genes[split] for split in ("train", "test")}
    folder = write_dataset(tmp_path / "species", splits, features, build={"synthetic": False})
    of_data_set, table, _ = run(model_name_or_path="x", dataset_name=folder)
    assert of_data_set["num_rows"] == {"train": 60, "test": 40} and of_data_set["group_column"] == "gene"
    assert "folds of train" in of_data_set["method"] and "bootstrap over the values of gene" in table
    assert of_data_set["comparison"]["groups"] == "gene"

    files = {name: file for name, file in embedding_files(with_sequences=True).items() if "validation" not in name}
    for split in splits:
        path = files[f"{split}_embeddings"]
        of_genes = pa.array([row["gene"] for row in genes[split]])
        pq.write_table(pq.read_table(path).append_column("gene", of_genes), path)
    of_files, *_ = run(**files, group_column="gene")
    for report in (of_data_set, of_files):
        assert report["linear_probe"]["accuracy"] > 0.7
    assert of_files["linear_probe"]["intervals"] == of_data_set["linear_probe"]["intervals"]
    by_default, _, err = run(**files)
    assert by_default["linear_probe"] == of_files["linear_probe"] and "rows of one gene are held out" in err
    with pytest.raises(ValueError, match="--group_column label.*column of the labels"):
        run(**files, group_column="label")
    with pytest.raises(ValueError, match="no column 'transcript'"):
        run(**files, group_column="transcript")


def test_a_missing_test_split_is_an_error(tmp_path, write_dataset, run):
    folder = write_dataset(
        tmp_path / "nt-species", {split: ROWS[split] for split in ("train", "validation")}, FEATURES
    )
    with pytest.raises(ValueError, match="nt-species.*'test'"):
        run(model_name_or_path="x", dataset_name=folder)


@pytest.mark.parametrize("folder", ["checkpoint", "nt-species"])
def test_a_report_never_goes_into_the_checkpoint_or_the_data_set(tmp_path, run, folder):
    with pytest.raises(ValueError, match=f"--output_dir .*{folder}"):
        run(False, model_name_or_path="checkpoint", dataset_name="nt-species", output_dir=folder)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--nonsense", "1"], "--nonsense"), (["--output_dir", "r"], "--e")]
)
def test_a_wrong_argument_is_one_sentence_before_anything_heavy_is_imported(tmp_path, arguments, message):
    command = [sys.executable, "-X", "importtime", str(Path(probe.__file__)), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    times, errors = [], []
    for line in done.stderr.splitlines():
        (times if line.startswith("import time:") else errors).append(line)
    assert done.returncode == 2 and len(errors) == 1 and message in errors[0]
    assert not {"torch", "datasets", "sklearn", "numpy"} & {line.split("|")[-1].strip() for line in times}
