"""Baselines: their scores, and which rows of large data sets are used."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from dnahub.reports import baselines
from dnahub.reports.baselines import measure_baselines
from dnahub.reports.kmers import baseline_features
from dnahub.reports.linear_probe import measure_probe
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

CLASSIFICATION, LABELS = TASKS["classification"], Labels(["other", "promoter"], 2)


def drawn_splits(num_rows: int = 60) -> DatasetDict:
    """Sequences; those of label 1 have more A."""
    rng, splits = np.random.default_rng(0), {}
    for split in ("train", "validation", "test"):
        labels = rng.integers(2, size=num_rows)
        sequences = ["".join(rng.choice(list("A" * label + "ACGT"), 30)) for label in labels]
        splits[split] = Dataset.from_dict({"sequence": sequences, "label": labels})
    return DatasetDict(splits)


def test_a_baseline_has_the_scores_of_a_linear_model_on_its_counts():
    splits = drawn_splits()
    features = {split: baseline_features(rows["sequence"])["3-mer counts"] for split, rows in splits.items()}
    labels = {split: np.array(rows["label"]) for split, rows in splits.items()}
    measured = measure_baselines(CLASSIFICATION, splits, LABELS)
    assert measured["3-mer counts"] == measure_probe(features, labels, CLASSIFICATION, LABELS)
    assert list(measured) == ["3-mer counts", "in-frame codons", "frame-wise 3-mers"]


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


@pytest.mark.parametrize(("limit", "value"), [("MAX_ROWS", 20), ("MAX_NT", 30 * 21 - 1)])
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
    monkeypatch.setattr(baselines, "MAX_NT", 1)  # one row is used though it is longer
    assert measure_baselines(TASKS["regression"], splits, Labels([], 1))["3-mer counts"]["rows"] == 1


@pytest.mark.parametrize("split", ["train", "validation"])
def test_rows_of_one_label_only_or_no_known_label_give_no_baseline(split):
    splits = drawn_splits()
    label = {"train": 0, "validation": 2}[split]
    splits[split] = Dataset.from_dict({"sequence": splits[split]["sequence"], "label": [label] * len(splits[split])})
    assert measure_baselines(CLASSIFICATION, splits, LABELS) == {}
