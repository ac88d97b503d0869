"""Two unbalanced classes -> one threshold for scores, config.json, the pipeline and predict.py."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, Value
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef
from transformers import pipeline

import predict
from dnahub.metrics.names import number
from dnahub.reports.intervals import Predictions, bootstrap_intervals, paired_differences
from dnahub.tasks import TASKS
from tests.runs import SCRATCH, metrics

NAMES = ["background", "yeast"]
FEATURES = Features({"sequence": Value("string"), "label": ClassLabel(names=NAMES)})


@pytest.fixture(scope="module")
def splits(toy_rows):
    """One row in six has the second class, and half of those the first one's 6-mers."""
    return {
        split: [
            row | {"label": int(row["label"] == 2 and i % 2 == 0 or i % 24 == 1)}
            for i, row in enumerate(toy_rows[split])
        ]
        for split in toy_rows
    }


@pytest.fixture
def run(tmp_path, run_train, write_dataset, splits):
    data = write_dataset(tmp_path / "data", splits, FEATURES)
    arguments = ["--dataset_name", data, *SCRATCH, "--max_steps", 12, "--save_steps", 12]
    status, out, err = run_train(*arguments, "--output_dir", tmp_path / "run")
    assert status == 0, err
    return tmp_path / "run", out


def test_scores_pipeline_and_predict_take_the_same_threshold(run, splits, tmp_path):
    run, out = run
    training, checkpoint = metrics(run)["training"], run / "checkpoint"
    threshold = training["decision_threshold"]
    assert threshold == training["thresholds"]["mcc"]["threshold"] != 0.5  # else this would not tell
    assert json.loads((checkpoint / "config.json").read_text())["decision_threshold"] == threshold
    classify = pipeline("dna-classification", model=str(checkpoint), trust_remote_code=True, device="cpu")
    table = pq.read_table(run / "predictions.parquet").to_pandas()
    for split in ("validation", "test"):
        answers = classify([row["sequence"] for row in splits[split]])
        rows, measured = table[table["split"] == split], metrics(run)[split]
        predicted = [answer["label"] for answer in answers]
        of_second = np.array([answer["scores"]["yeast"] for answer in answers])
        true = np.array([row["label"] for row in splits[split]])
        assert predicted == rows["predicted"].tolist() == [NAMES[int(each)] for each in of_second >= threshold]
        np.testing.assert_allclose(rows["p_yeast"], of_second, rtol=0, atol=1e-5)
        assert measured["mcc"] == pytest.approx(matthews_corrcoef(true, of_second >= threshold))
        assert measured["loss"] == pytest.approx(log_loss(true, of_second), abs=1e-4)
        if split == "validation":
            of_mcc, of_f1 = training["thresholds"]["mcc"], training["thresholds"]["f1"]
            assert measured["mcc"] == pytest.approx(of_mcc["score"]) and of_mcc["score"] > of_mcc["at_half"]
            assert f1_score(true, of_second >= of_f1["threshold"]) == pytest.approx(of_f1["score"])
    assert [answer["label"] for answer in classify([row["sequence"] for row in splits["test"]], threshold=0.999)] == (
        [NAMES[int(each)] for each in of_second >= 0.999]
    )

    fasta, output = tmp_path / "in.fa", tmp_path / "out.tsv"
    fasta.write_text("".join(f">{i}\n{row['sequence']}\n" for i, row in enumerate(splits["test"])))
    predict.main(["--model_name_or_path", str(checkpoint), "--input", str(fasta), "--output", str(output)])
    assert pd.read_csv(output, sep="\t")["predicted"].tolist() == predicted
    card = (checkpoint / "README.md").read_text()
    assert f"yeast is predicted from a probability of {number(threshold)} on" in card
    assert "The most frequent class alone would have an accuracy of 0.7" in card
    assert "threshold of yeast, best MCC" in out and "threshold of yeast, best F1" in out and "calibration" in out


def test_a_threshold_moves_the_scores_of_classes_and_neither_loss_nor_ranking():
    rng, task = np.random.default_rng(0), TASKS["classification"]
    labels = (rng.random(200) < 0.2).astype(int)
    outputs, baseline = rng.normal(size=(2, 200, 2)) + np.eye(2)[labels]
    at_half, moved = (Predictions(outputs, labels, threshold=each) for each in (None, 0.2))
    scores, other = (task.measure(each.decided, labels, NAMES) for each in (moved, at_half))
    intervals, others = (bootstrap_intervals(task, each, NAMES) for each in (moved, at_half))

    assert scores["auroc"] == pytest.approx(other["auroc"]) and intervals["auprc"] == pytest.approx(others["auprc"])
    assert scores["mcc"] == pytest.approx(matthews_corrcoef(labels, outputs[:, 1] - outputs[:, 0] >= np.log(0.25)))
    assert intervals["mcc"] != others["mcc"]
    differences = [paired_differences(task, each, baseline, ["loss", "mcc"], NAMES) for each in (moved, at_half)]
    assert differences[0]["loss"] == differences[1]["loss"] and differences[0]["mcc"] != differences[1]["mcc"]


def test_more_classes_have_no_threshold_and_another_training_does_not_take_over_that_of_its_base(
    run, run_train, toy_dataset, tmp_path
):
    base = run[0] / "checkpoint"
    status, out, err = run_train(
        *("--dataset_name", toy_dataset, "--model_name_or_path", base, *SCRATCH[4:]),
        *("--max_steps", 2, "--learning_rate", "1e-3", "--output_dir", tmp_path / "other"),
    )

    assert status == 0, err
    assert json.loads((tmp_path / "other" / "checkpoint" / "config.json").read_text())["decision_threshold"] is None
    assert "threshold" not in out and metrics(tmp_path / "other")["training"]["thresholds"] is None
