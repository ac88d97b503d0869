"""Baselines of a run: their metrics against scikit-learn, and what of large data sets is used."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from sklearn.metrics import average_precision_score, roc_auc_score

from dnahub.reports import baselines
from dnahub.reports.baselines import measure_baselines
from dnahub.reports.kmers import baseline_features
from dnahub.reports.linear_probe import fit_linear_probe
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

CLASSIFICATION, LABELS = TASKS["classification"], Labels(["other", "promoter"], 2)


def drawn_splits(num_rows: int = 60, num_labels: int = 2) -> DatasetDict:
    """Sequences of which label 1 and so on have more and more A."""
    rng, splits = np.random.default_rng(0), {}
    for split in ("train", "validation", "test"):
        labels = rng.integers(num_labels, size=num_rows)
        sequences = ["".join(rng.choice(list("A" * label + "ACGT"), 30)) for label in labels]
        splits[split] = Dataset.from_dict({"sequence": sequences, "label": labels})
    return DatasetDict(splits)


def test_auroc_and_auprc_of_a_logistic_regression_are_those_of_its_decision_function():
    splits = drawn_splits()
    measured = measure_baselines(CLASSIFICATION, splits, LABELS)["3-mer counts"]

    features = {split: baseline_features(rows["sequence"])["3-mer counts"] for split, rows in splits.items()}
    fit = fit_linear_probe(features, {split: np.array(rows["label"]) for split, rows in splits.items()})
    is_promoter, score = np.array(splits["test"]["label"]), fit.logits[:, 1] - fit.logits[:, 0]
    assert measured["auroc"] == pytest.approx(roc_auc_score(is_promoter, score))
    assert measured["auprc_per_label"] == pytest.approx(
        {
            "other": average_precision_score(1 - is_promoter, -score),
            "promoter": average_precision_score(is_promoter, score),
        }
    )
    assert measured["accuracy"] == pytest.approx((fit.predictions == is_promoter).mean())
    assert (measured["rows"], measured["C"]) == (60, fit.C)


def test_a_label_that_the_rows_used_of_train_lack_is_never_predicted_and_ranks_nothing():
    splits = drawn_splits(num_labels=3)
    splits["train"] = splits["train"].filter(lambda label: label != 1, input_columns="label")
    measured = measure_baselines(CLASSIFICATION, splits, Labels(["a", "b", "c"], 3))["frame-wise 3-mers"]
    assert [row[1] for row in measured["confusion_matrix"]] == [0, 0, 0]
    assert (measured["recall_per_label"]["b"], measured["auroc_per_label"]["b"]) == (0.0, 0.5)
    assert measured["auroc_per_label"]["c"] > 0.6


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_ridge_regressions_have_the_metrics_of_the_task(task):
    splits = drawn_splits()
    if task == "multi_label":
        for split, rows in splits.items():
            hot = [[float(label == 0), float(label == 1)] for label in rows["label"]]
            splits[split] = rows.remove_columns("label").add_column("label", hot)
    measured = measure_baselines(TASKS[task], splits, LABELS)["3-mer counts"]
    assert set(TASKS[task].metrics) - {"loss"} <= set(measured) and "alpha" in measured
    assert measured["auroc" if task == "multi_label" else "spearman"] > 0.4


@pytest.mark.parametrize(("limit", "value"), [("MAX_ROWS", 20), ("MAX_NT", 30 * 20), ("MAX_NT", 30 * 21 - 1)])
def test_rows_of_train_and_validation_are_limited_in_number_and_nucleotides_and_test_is_whole(
    monkeypatch, limit, value
):
    counted = []
    monkeypatch.setattr(baselines, limit, value)
    monkeypatch.setattr(baselines, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(
        baselines,
        "baseline_features",
        lambda sequences: counted.append(kept := list(sequences)) or baseline_features(kept),
    )
    splits = drawn_splits()
    measured = measure_baselines(CLASSIFICATION, splits, LABELS)
    assert [len(sequences) for sequences in counted] == [20, 20, 60]
    assert set(counted[0]) <= set(splits["train"]["sequence"]) and counted[2] == splits["test"]["sequence"][:]
    assert {scores["rows"] for scores in measured.values()} == {20}
    assert measured == measure_baselines(CLASSIFICATION, splits, LABELS)


def test_one_row_is_used_though_it_is_longer_than_the_limit(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_NT", 1)
    assert measure_baselines(TASKS["regression"], drawn_splits(), Labels([], 1))["3-mer counts"]["rows"] == 1


def test_rows_of_one_label_only_give_no_baseline(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_ROWS", 1)
    assert measure_baselines(CLASSIFICATION, drawn_splits(), LABELS) == {}
