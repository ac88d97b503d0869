"""Trained model -> metrics.json: compared with a plain loop over the rows, and with what was given."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from dnahub.checkpoints.loading import find_checkpoint, load_checkpoint
from dnahub.hub_code import NucleotideTransformerForSequenceClassification
from dnahub.reports.comparison import describe
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels
from dnahub.training.results import _measure
from tests.runs import SCRATCH, metrics


@pytest.fixture(scope="module")
def classification(classification_run):
    return metrics(classification_run)


@pytest.fixture(scope="module")
def mlm(mlm_run):
    return metrics(mlm_run)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_are_those_of_a_plain_loop_over_the_rows(classification_run, classification, toy_rows, split):
    model, tokenizer = load_checkpoint(
        NucleotideTransformerForSequenceClassification, find_checkpoint(str(classification_run / "checkpoint"))
    )
    losses, probabilities, confusion = [], [], [[0] * 3 for _ in range(3)]
    for row in toy_rows[split]:
        with torch.no_grad():
            logits = model(**tokenizer(row["sequence"], return_tensors="pt")).logits[0]
        losses.append(-logits.log_softmax(-1)[row["label"]].item())
        probabilities.append(logits.double().softmax(-1).numpy())
        confusion[row["label"]][logits.argmax().item()] += 1

    measured = classification[split]
    right = sum(confusion[i][i] for i in range(3))
    assert measured["confusion_matrix"] == confusion
    assert measured["accuracy"] == pytest.approx(right / len(losses))
    true = np.eye(3)[[row["label"] for row in toy_rows[split]]]
    assert measured["auroc"] == pytest.approx(roc_auc_score(true, probabilities), abs=1e-3)
    assert measured["auprc"] == pytest.approx(average_precision_score(true, probabilities), abs=1e-3)
    assert measured["constant"] is False
    assert measured["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert measured["recall_per_label"] == pytest.approx(
        {name: confusion[i][i] / sum(confusion[i]) for i, name in enumerate(["fly", "mouse", "yeast"])}
    )


def test_the_run_is_described_as_it_was(classification, toy_dataset):
    assert classification["task"] == "classification" and classification["licence"] == {"license": "apache-2.0"}
    assert classification["dataset"] == {
        "name": toy_dataset.name,
        "config": "windows",
        "revision": None,
        "filter": None,
        "synthetic": True,
        "bayes_optimal_accuracy": 1.0,
        "rows": {"train": 96, "validation": 24, "test": 36},
        "cut_off": {},
        "group_column": None,
        "num_replaced": 0,
        "skipped": {},
    }
    training = classification["training"]
    assert training["learning_rate"] == 1e-3  # the recipe's
    assert training["num_train_epochs"] == 4  # the flag's, over the recipe's 9
    assert training["steps"] == 4 * 96 // 16
    assert (training["processes"], training["tuning"], training["chosen_by"]) == (1, "full", "accuracy")
    assert training["seconds"] > 0 and set(training["versions"]) >= {"torch", "transformers", "datasets"}
    assert (training["seed"], training["train_sampling_strategy"], training["resumed_at_step"]) == (42, "random", None)
    low, high = classification["test"]["intervals"]["accuracy"]
    assert low <= classification["test"]["accuracy"] <= high and "intervals" not in classification["validation"]
    baselines, comparison = classification["baselines"], classification["comparison"]
    assert {"majority class", "frame-wise 3+4-mers", "codon pairs, naive Bayes", "letters"} < set(baselines)
    by_validation = {name: scores["validation"]["accuracy"] for name, scores in baselines.items()}
    assert by_validation[comparison["baseline"]] == max(by_validation.values())
    assert set(comparison["metrics"]) == {"accuracy", "balanced_accuracy"} and comparison["groups"] is None
    described = classification["model"]
    assert described["label_names"] == ["fly", "mouse", "yeast"] and described["type"] == "nucleotide_transformer"
    assert described["parameters"] == described["parameters_trained"] and described["outputs"] == 3


def test_speed_and_memory_are_of_the_order_of_what_was_done(classification):
    training = classification["training"]

    tokens = 4 * 96 * 11  # epochs, windows, tokens of each
    assert training["tokens_per_second"] == pytest.approx(tokens / training["seconds"], rel=0.1)  # of a rounded time
    assert 100 < training["peak_memory_mib"] < 100_000  # PyTorch alone takes more than the one


def test_masked_language_modelling_learns_which_letters_the_toy_rows_are_made_of(mlm):
    assert mlm["test"]["loss"] < math.log(4096) / 2  # of 4,096 6-mers, 36 occur
    assert mlm["test"]["perplexity"] == pytest.approx(math.exp(mlm["test"]["loss"]))
    assert 0 <= mlm["test"]["masked_accuracy"] <= 1
    # 36 of 4,107 tokens occur, and how often each does is all that a unigram knows.
    assert mlm["test"]["uniform_loss"] == pytest.approx(math.log(4107))
    assert math.log(36) - 0.2 < mlm["test"]["unigram_loss"] < math.log(4107)
    assert mlm["training"]["chosen_by"] == "loss" and mlm["task"] == "mlm"
    assert mlm["training"]["temperature"] is None and "expected_calibration_error" not in mlm["test"]
    assert mlm["model"]["outputs"] == 0 and mlm["model"]["label_names"] == [] and mlm["baselines"] is None


@pytest.mark.parametrize(("highest", "error"), [(100.0, 0), (np.inf, None)])
def test_outputs_that_are_not_finite_have_no_calibration_error(highest, error):
    outputs, labels = np.array([[highest, 0], [0, 100.0]]), np.array([0, 1])
    predicted = SimpleNamespace(predictions=outputs, label_ids=labels, metrics={"validation_loss": 0.0})
    trainer = SimpleNamespace(
        predict=lambda *_, **__: predicted,
        processing_class=SimpleNamespace(all_special_ids=[]),
        model=SimpleNamespace(config=SimpleNamespace(vocab_size=9)),
        args=SimpleNamespace(seed=0),
    )
    data = SimpleNamespace(labels=Labels(["a", "b"], 2), groups={})
    split = {"train": None, "validation": None}
    measured, _ = _measure(trainer, TASKS["classification"], data, split, "validation", None)
    assert measured["expected_calibration_error"] == error


def test_intervals_and_differences_are_over_groups_where_there_are_some(tmp_path, run_train):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(80):
        label = i % 2
        sequence = "".join(rng.choice(list("ACGT" + "A" * label), rng.integers(30, 200)))
        rows += [f"{sequence[j:]}{sequence[:j]},{label},gene{i}" for j in range(3)]  # alike
    (tmp_path / "rows.csv").write_text("\n".join(["sequence,label,gene", *rows]))
    arguments = ["--train_file", tmp_path / "rows.csv", "--group_column", "gene", *SCRATCH[:4], "--max_steps", 2]
    status, out, err = run_train(*arguments, "--output_dir", tmp_path / "run", "--test_fraction", 0.4)
    assert status == 0, err
    measured = metrics(tmp_path / "run")
    comparison = measured["comparison"]
    assert measured["dataset"]["group_column"] == comparison["groups"] == "gene"
    assert describe(comparison) in out
    # Batches are of like length, but what was predicted stands with its own id, group and label.
    assert measured["training"]["train_sampling_strategy"] == "group_by_length"
    predicted = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    assert len(predicted) > 90 and all(int(row["label"]) == int(row["gene"][4:]) % 2 for row in predicted)
    assert all(row["gene"] == rows[int(row["id"])].rpartition(",")[2] for row in predicted)
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    assert "bootstrap over the values of `gene`" in card and f"best on validation, {comparison['baseline']}" in card
    for metric, each in comparison["metrics"].items():
        difference = measured["test"][metric] - measured["baselines"][comparison["baseline"]][metric]
        assert each["difference"] == pytest.approx(difference)
        low, high = each["interval"]
        assert low <= difference <= high
