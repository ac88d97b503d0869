"""probe.py from its command line on a small data set, with a stand-in for the embedding and with a checkpoint."""

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from transformers import pipeline

import probe
from dnahub.checkpoints.presets import PRESETS
from dnahub.checkpoints.saving import save_checkpoint
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForMaskedLM
from dnahub.reports.linear_probe import fit_linear_probe

SPECIES = ["Homo sapiens", "Escherichia coli"]
WINDOWS = {"train": 60, "validation": 20, "test": 40}
FEATURES = Features(
    {
        "sequence": Value("string"),
        "label": ClassLabel(names=SPECIES),
        "gene": Value("string"),
        "transcript": Value("string"),
        "start": Value("int32"),
    }
)

RECORD = {
    "builder": "dataset_builder",
    "config_name": "default",
    "synthetic": True,
    "bayes_optimal_accuracy": 0.975,
}


def windows(num_windows: int, seed: int) -> Dataset:
    """Half of them rich in A and T, half in G and C; one window a gene."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_windows) % 2
    sequences = [
        "".join(generator.choice(list("ATGC"), size=60, p=(0.3, 0.3, 0.2, 0.2) if label else (0.2, 0.2, 0.3, 0.3)))
        for label in labels
    ]
    names = [f"{seed}-{i}" for i in range(num_windows)]
    columns = {"sequence": sequences, "label": labels, "gene": names, "transcript": names, "start": [0] * num_windows}
    return Dataset.from_dict(columns, features=FEATURES)


@pytest.fixture
def data_folder(tmp_path) -> Path:
    folder = tmp_path / "nt-species"
    folder.mkdir()
    for seed, (split, num_windows) in enumerate(WINDOWS.items()):
        windows(num_windows, seed).to_parquet(folder / f"{split}.parquet")
    (folder / "build.json").write_text(json.dumps(RECORD))
    return folder


def save_tiny_checkpoint(folder: Path, metrics: dict) -> Path:
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(**PRESETS["tiny"])
    model = NucleotideTransformerForMaskedLM(config)
    save_checkpoint(folder, model, build_tokenizer(nt_vocabulary(), config.max_tokens), metrics, "A card.")
    return folder


def embed_by_composition(sequences, what: str) -> np.ndarray:
    return np.array([[sequence.count(letter) for letter in "ATGC"] for sequence in sequences], dtype=np.float32)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run main() with a stand-in for the embedding; gives exit code, stdout and stderr."""

    def run_main(embed=embed_by_composition, **arguments) -> tuple[int, str, str]:
        if embed is not None:
            monkeypatch.setattr(probe, "load_embed", lambda args: embed)
        argv = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
        try:
            probe.main(argv)
        except SystemExit as exit:
            return exit.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run_main


@pytest.fixture
def titles(monkeypatch):
    """File name -> title of the figures; nothing is drawn, nothing projected."""
    written = {}

    def draw(values, *rest):
        *_, title, path = rest
        written[path.name] = title

    monkeypatch.setattr(probe, "draw_confusion_matrix", draw)
    monkeypatch.setattr(probe, "draw_points", draw)
    monkeypatch.setattr(probe, "project", lambda embeddings, seed: embeddings[:, :2])
    return written


def fine_tuned_metrics(confusion: list[list[int]]) -> dict:
    right = confusion[0][0] + confusion[1][1]
    return {
        "task": "classification",
        "test": {
            "accuracy": right / sum(map(sum, confusion)),
            "macro_f1": 0.9,
            "mcc": 0.8,
            "recall_per_label": dict(zip(SPECIES, (0.9, 0.9), strict=True)),
            "confusion_matrix": confusion,
        },
    }


def test_a_checkpoint_is_probed_and_nothing_but_the_report_is_written(tmp_path, data_folder, run, monkeypatch):
    checkpoint = save_tiny_checkpoint(tmp_path / "run" / "checkpoint", {"task": "mlm", "test": {"loss": 8.0}})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    code, _, err = run(None, model="run/checkpoint", dataset_name="nt-species", output_dir="report")
    assert code == 0
    assert "embedding test: 100%" in err

    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    written = {tmp_path / "report" / name for name in ("metrics.json", "confusion_matrix.png", "umap.png")}
    assert set(after) - set(before) == written
    assert {path: after[path] for path in before} == before
    for name in ("confusion_matrix.png", "umap.png"):
        assert matplotlib.image.imread(tmp_path / "report" / name).std() > 0.01

    # The same by hand: lists, in batches of another size.
    embed = pipeline("dna-embedding", model=str(checkpoint), trust_remote_code=True, batch_size=20)
    splits = load_dataset("nt-species")
    features = {split: np.stack(embed(list(splits[split]["sequence"]))) for split in WINDOWS}
    fit = fit_linear_probe(features, {split: np.array(splits[split]["label"]) for split in WINDOWS})
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert report["num_windows"] == WINDOWS
    assert report["fine_tuned"] is None
    assert report["linear_probe"]["num_features"] == 128
    losses = [candidate["validation_log_loss"] for candidate in report["linear_probe"]["candidates"]]
    assert losses == pytest.approx([candidate["validation_log_loss"] for candidate in fit.candidates], rel=1e-2)


def test_report_and_table_hold_every_method_with_its_interval(tmp_path, data_folder, run, titles):
    code, out, _ = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report", seed=7)
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert code == 0
    assert report["seed"] == 7
    assert report["synthetic"] is True
    assert report["label_names"] == SPECIES
    assert report["chance"]["accuracy"] == 0.5
    assert list(report["baselines"]) == ["3-mer counts", "in-frame codons", "frame-wise 3-mers"]
    for scores in (*report["baselines"].values(), report["linear_probe"]):
        low, high = scores["accuracy_interval"]
        assert low < scores["accuracy"] < high
        assert scores["converged"]
        assert scores["C"] in [candidate["C"] for candidate in scores["candidates"]]
        assert np.sum(scores["confusion_matrix"]) == WINDOWS["test"]
    assert report["linear_probe"]["accuracy"] > 0.7
    assert report["bayes_optimal"]["accuracy"] == 0.975
    assert "Wilson" in report["interval_method"]

    rows, files = out.splitlines()[:-3], out.splitlines()[-3:]
    assert [row[:20].strip() for row in rows] == [
        "method",
        "chance (most frequen",
        "3-mer counts, logist",
        "in-frame codons, log",
        "frame-wise 3-mers, l",
        "linear probe on embe",
        "Bayes-optimal (synth",
    ]
    assert len({len(row) for row in rows}) == 1
    assert rows[-1].split()[-2:] == ["-", "-"]
    assert files == [str(tmp_path / "report" / name) for name in ("metrics.json", "confusion_matrix.png", "umap.png")]


def test_titles_name_what_is_shown_and_say_that_data_are_synthetic(tmp_path, data_folder, run, titles):
    run(model=tmp_path / "demo" / "checkpoint", dataset_name=data_folder, output_dir=tmp_path / "report")
    for title in titles.values():
        assert title.startswith("SYNTHETIC DATA: ")
        assert "demo/checkpoint\n40 test windows of nt-species: accuracy" in title
    assert "linear probe on embeddings" in titles["confusion_matrix.png"]


def test_real_data_without_a_build_file_have_no_bayes_row_and_are_not_called_synthetic(
    tmp_path, data_folder, run, titles
):
    (data_folder / "build.json").unlink()
    _, out, _ = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["bayes_optimal"] is None
    assert "Bayes" not in out
    assert not any("SYNTHETIC" in title for title in titles.values())


def test_the_fine_tuned_classifier_is_reported_and_drawn(tmp_path, data_folder, run, titles):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "metrics.json").write_text(json.dumps(fine_tuned_metrics([[18, 2], [2, 18]])))
    _, out, err = run(model=checkpoint, dataset_name=data_folder, output_dir=tmp_path / "report")
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert report["fine_tuned"]["confusion_matrix"] == [[18, 2], [2, 18]]
    assert report["fine_tuned"]["accuracy_interval"] == pytest.approx([0.769, 0.960], abs=1e-3)
    assert "fine-tuned classifier" in out
    assert "fine-tuned classifier" in titles["confusion_matrix.png"]
    assert "metrics.json" not in err


@pytest.mark.parametrize("confusion", [[[180, 20], [20, 180]], [[18, 3], [2, 17]]])
def test_a_classifier_that_was_tested_on_other_windows_is_left_out_with_a_note(
    tmp_path, data_folder, run, titles, confusion
):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "metrics.json").write_text(json.dumps(fine_tuned_metrics(confusion)))
    code, out, err = run(model=checkpoint, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert code == 0
    assert str(checkpoint / "metrics.json") in err
    assert "fine-tuned" not in out


def test_a_umap_of_too_many_windows_draws_some_and_says_how_many(tmp_path, data_folder, run, titles, monkeypatch):
    monkeypatch.setattr(probe, "MAX_UMAP_POINTS", 30)
    run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert "30 of 40 test windows" in titles["umap.png"]


def one_sentence(code: int, out: str, err: str) -> str:
    assert (code, out) == (2, "")
    (sentence,) = [line for line in err.splitlines() if line.startswith("probe.py: error: ")]
    assert "Traceback" not in err
    return sentence


@pytest.mark.parametrize("split", WINDOWS)
def test_a_missing_split_is_one_sentence_and_exit_code_2(tmp_path, data_folder, run, split):
    (data_folder / f"{split}.parquet").unlink()
    outcome = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert f"'{split}'" in one_sentence(*outcome) and data_folder.name in one_sentence(*outcome)


@pytest.mark.parametrize("column", ["sequence", "label"])
def test_a_missing_column_is_one_sentence_and_exit_code_2(tmp_path, data_folder, run, column):
    for seed, (split, num_windows) in enumerate(WINDOWS.items()):
        windows(num_windows, seed).remove_columns(column).to_parquet(data_folder / f"{split}.parquet")
    outcome = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert f"'{column}'" in one_sentence(*outcome)


def test_labels_that_train_lacks_are_one_sentence_and_exit_code_2(tmp_path, data_folder, run):
    three = FEATURES.copy()
    three["label"] = ClassLabel(names=[*SPECIES, "Mus musculus"])
    for seed, (split, num_windows) in enumerate(WINDOWS.items()):
        columns = windows(num_windows, seed).to_dict()
        columns["label"][0] = 2 if split == "test" else 0
        Dataset.from_dict(columns, features=three).to_parquet(data_folder / f"{split}.parquet")
    outcome = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert all(word in one_sentence(*outcome) for word in ("test", " 1 ", "'Mus musculus'", "train"))


def test_one_label_alone_is_one_sentence_and_exit_code_2(tmp_path, data_folder, run):
    for seed, (split, num_windows) in enumerate(WINDOWS.items()):
        windows(num_windows, seed).filter(lambda row: row["label"] == 0).to_parquet(data_folder / f"{split}.parquet")
    outcome = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert "'label'" in one_sentence(*outcome) and " 1 label" in one_sentence(*outcome)


def test_a_missing_data_set_is_one_sentence_and_exit_code_2(tmp_path, run):
    outcome = run(model=tmp_path, dataset_name=tmp_path / "nowhere", output_dir=tmp_path / "report")
    assert "nowhere" in one_sentence(*outcome)


def test_a_missing_checkpoint_is_one_sentence_and_exit_code_2(tmp_path, data_folder, run):
    outcome = run(None, model=tmp_path / "nowhere", dataset_name=data_folder, output_dir=tmp_path / "report")
    assert f"{tmp_path}/nowhere" in one_sentence(*outcome)
    assert "--trust_remote_code" in one_sentence(*outcome)


@pytest.mark.parametrize(("config", "message"), [(None, "config.json"), ({"model_type": "esm"}, "dna-embedding")])
def test_a_folder_that_is_no_checkpoint_of_ours_is_one_sentence_and_exit_code_2(
    tmp_path, data_folder, run, config, message
):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    outcome = run(None, model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert message in one_sentence(*outcome)


def test_a_checkpoint_with_broken_weights_is_one_sentence_and_exit_code_2(tmp_path, data_folder, run):
    checkpoint = save_tiny_checkpoint(tmp_path / "checkpoint", {"task": "mlm"})
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    outcome = run(None, model=checkpoint, dataset_name=data_folder, output_dir=tmp_path / "report")
    assert str(checkpoint) in one_sentence(*outcome)


def test_an_output_folder_that_cannot_be_made_is_one_sentence_and_exit_code_2(tmp_path, data_folder, run):
    (tmp_path / "file").write_text("in the way")
    outcome = run(model=tmp_path, dataset_name=data_folder, output_dir=tmp_path / "file" / "report")
    assert "file" in one_sentence(*outcome)


@pytest.mark.parametrize("which", ["model", "dataset_name"])
def test_a_report_never_goes_into_the_checkpoint_or_the_data_set(tmp_path, data_folder, run, which):
    arguments = {"model": tmp_path / "checkpoint", "dataset_name": data_folder}
    outcome = run(**arguments, output_dir=arguments[which])
    assert f"--output_dir {arguments[which]}" in one_sentence(*outcome)
