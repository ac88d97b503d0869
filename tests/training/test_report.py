"""What a run leaves for its test sequences: predictions.parquet, whose scores are recomputed, and its report."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from dnahub.checkpoints.publishing import checkpoint_files
from dnahub.hub_code.pipeline_dna_embedding import DNAEmbeddingPipeline
from dnahub.training import report
from tests.checkpoints.test_other_encoders import MODELS, write
from tests.runs import SCRATCH, metrics
from tests.tiny_models import write_checkpoint

SHORT = (*SCRATCH, "--num_train_epochs", 2, "--per_device_train_batch_size", 16, "--report", "true")


@pytest.fixture
def maps(monkeypatch):
    """The embeddings that were to be projected; a UMAP takes seconds to import."""
    projected = []

    def project(embeddings, seed):
        projected.append(embeddings)
        return embeddings[:, :2]

    monkeypatch.setattr(report, "project", project)
    return projected


@pytest.fixture
def rows_file(tmp_path, toy_rows):
    """Rows with ids and genes, and labels for every task; `split` says which are which."""
    rows = [
        {
            "id": f"{split}{i}",
            "sequence": row["sequence"],
            "gene": f"{split}-gene{i // 4}",
            "label": "abc"[row["label"]],
            "several": "abc"[row["label"]] + ";x" * (i % 2),
            "number": 0.5 * row["label"] - 0.5,
            "numbers": [0.5 * row["label"] - 0.5, 1.0 * (i % 2)],
        }
        for split in toy_rows
        for i, row in enumerate(toy_rows[split])
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "rows.jsonl", {row["id"]: row for row in rows}


def predictions(run, split: str):
    table = pq.read_table(run / "predictions.parquet").to_pandas()
    return table[table.split == split]


def page_of(run) -> str:
    return (run / "checkpoint" / "report" / "report.html").read_text(encoding="utf-8")


def sections(run) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page_of(run))


def test_scores_of_classes_recomputed_from_the_predictions_are_those_of_the_run(tmp_path, run_train, rows_file, maps):
    file, by_id = rows_file
    run = tmp_path / "run"

    status, _, err = run_train("--train_file", file, "--group_column", "gene", "--output_dir", run, *SHORT)

    assert status == 0, err
    for split in ("validation", "test"):
        found, measured = predictions(run, split), metrics(run)[split]
        assert list(found) == ["id", "split", "gene", "label", "predicted", *(f"p_{i}" for i in "abc")]
        assert len(found) == metrics(run)["dataset"]["rows"][split]
        assert [(by_id[id]["label"], by_id[id]["gene"]) for id in found.id] == list(
            zip(found.label, found.gene, strict=True)
        )
        probabilities = found.filter(like="p_").to_numpy()
        assert sklearn_metrics.accuracy_score(found.label, found.predicted) == pytest.approx(measured["accuracy"])
        f1 = sklearn_metrics.f1_score(found.label, found.predicted, average="macro")
        assert f1 == pytest.approx(measured["macro_f1"])
        auroc = sklearn_metrics.roc_auc_score(found.label, probabilities, multi_class="ovr")
        assert auroc == pytest.approx(measured["auroc"])
        assert sklearn_metrics.log_loss(found.label, probabilities) == pytest.approx(measured["loss"], abs=1e-5)

    assert sections(run) == ["confusion", "curves", "reliability", "training", "umap"]
    assert "[report/report.html](report/report.html)" in (run / "checkpoint" / "README.md").read_text()
    assert "report/report.html" in checkpoint_files(run / "checkpoint")
    assert str(tmp_path) not in page_of(run) and "test-gene" in page_of(run)


def test_the_page_says_which_rows_self_training_labelled_and_that_windows_are_drawn():
    results = {"model": {"base": "base"}, "dataset": {"name": "demo", "rows": {"train": 24_636, "test": 6_000}}}
    results |= {"training": {"steps": 1, "tuning": "full", "seed": 42, "crop_nt": 60}}
    plain = report._facts(results | {"training": {"steps": 1, "tuning": "full", "seed": 42}})
    assert plain[0] == "Data set: demo (rows: 24,636 train, 6,000 test)."
    facts = report._facts(results | {"self_training": {"sequences": 19_236}})
    assert "6,000 test; 19,236 of train were labelled by self-training). Windows of 60 nt are drawn from" in facts[0]


def test_embeddings_after_training_are_the_pipelines_and_before_those_of_the_base(
    tmp_path, run_train, toy_dataset, maps, toy_rows
):
    run, base = tmp_path / "run", write_checkpoint(tmp_path / "base")
    arguments = ["--dataset_name", toy_dataset, "--model_name_or_path", base, "--output_dir", run, "--learning_rate"]

    status, _, err = run_train(*arguments, 1e-3, "--tuning", "lora", "--baselines", "false", "--report", "true")

    assert status == 0, err
    from transformers import AutoModel, AutoTokenizer

    sequences = [row["sequence"] for row in toy_rows["test"]]
    for folder, embeddings in zip((base, run / "checkpoint"), maps, strict=True):
        model, tokenizer = (
            each.from_pretrained(folder, trust_remote_code=True) for each in (AutoModel, AutoTokenizer)
        )
        expected = DNAEmbeddingPipeline(model, tokenizer).encode(sequences)
        np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    assert np.abs(maps[0] - maps[1]).max() > 1e-2
    # A data set without ids: those of embed.py are the numbers of the rows.
    assert predictions(run, "test").id.tolist() == [str(i) for i in range(len(sequences))]


@pytest.mark.parametrize(
    ("task", "label", "shown"),
    [
        ("multi_label", "several", ["curves", "reliability", "training", "umap"]),
        ("regression", "number", ["numbers", "training", "umap"]),
        ("regression", "numbers", ["numbers", "training", "umap"]),
        ("mlm", None, ["training", "umap"]),
    ],
)
def test_other_tasks_leave_their_predictions_and_a_report_of_what_they_have(
    tmp_path, run_train, rows_file, maps, task, label, shown
):
    file, by_id = rows_file
    run, flags = tmp_path / "run", ["--label_column", label] if label else []
    flags += ["--label_separator", ";"] if task == "multi_label" else []

    status, _, err = run_train("--train_file", file, "--task", task, "--output_dir", run, *SHORT, *flags)

    assert status == 0, err
    assert sections(run) == shown
    assert (run / "predictions.parquet").exists() is (label is not None)
    if label is None:
        return
    found, measured = predictions(run, "test"), metrics(run)["test"]
    assert "gene" not in found
    if task == "multi_label":
        assert [";".join(sorted(each)) for each in found.label] == [by_id[id]["several"] for id in found.id]
        true, predicted = (
            np.array([[name in labels for name in "abcx"] for labels in each])
            for each in (found.label, found.predicted)
        )
        f1 = sklearn_metrics.f1_score(true, predicted, average="micro")
        assert f1 == pytest.approx(measured["micro_f1"])
        probabilities = found.filter(like="p_").to_numpy()
        assert sklearn_metrics.roc_auc_score(true, probabilities) == pytest.approx(measured["auroc"])
    else:
        true, predicted = (np.array(each.tolist()) for each in (found.label, found.predicted))
        assert true.tolist() == [by_id[id][label] for id in found.id]
        assert sklearn_metrics.mean_absolute_error(true, predicted) == pytest.approx(measured["mae"], abs=1e-6)


def test_a_report_is_made_of_a_run_that_was_finished_without_and_of_no_seed_that_is_gone(
    tmp_path, run_train, toy_dataset, maps
):
    run = tmp_path / "run"
    arguments = ["--dataset_name", toy_dataset, "--output_dir", run, *SCRATCH, "--max_steps", 2, "--seeds", 2]
    assert run_train(*arguments)[0] == 0
    before = metrics(run)
    assert before["report"] is None and not maps
    assert (run / "predictions.parquet").read_bytes() == (
        run / f"seed-{before['seeds']['chosen']}" / "predictions.parquet"
    ).read_bytes()

    status, _, err = run_train(*arguments, "--report", "true")

    assert status == 0, err
    assert metrics(run) == before | {"report": "report/report.html"} and len(maps) == 4
    assert "umap" in sections(run)
    assert run_train(*arguments, "--report", "true")[0] == 0 and len(maps) == 4  # nothing is left to do

    (run / "checkpoint" / "metrics.json").write_text(json.dumps(before))
    (run / "seed-42").rename(tmp_path / "away")
    status, _, err = run_train(*arguments, "--report", "true")
    assert status == 2 and "seed-42" in err and "--report" in err and "Traceback" not in err


def test_another_encoder_has_a_report_of_a_validation_split_too_small_for_a_map(tmp_path, run_train, toy_rows, maps):
    torch.manual_seed(0)
    write(tmp_path / "base", MODELS["modernbert"]())
    for split, number in (("train", 40), ("validation", 3)):
        rows = [{"sequence": row["sequence"], "label": row["label"]} for row in toy_rows[split][:number]]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = [flag for split in ("train", "validation") for flag in (f"--{split}_file", tmp_path / f"{split}.jsonl")]

    status, _, err = run_train(
        *(*files, "--test_fraction", 0, "--model_name_or_path", tmp_path / "base", "--output_dir", tmp_path / "run"),
        *("--max_steps", 2, "--report", "true"),
    )

    assert status == 0, err
    assert sections(tmp_path / "run") == ["confusion", "curves", "reliability", "training"] and not maps
    assert "DNA language model" in page_of(tmp_path / "run")
