"""Baselines: their scores, which suit a task, and which rows of large data sets are used."""

from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score

from dnahub.reports import baselines
from dnahub.reports.baselines import choose_baselines, measure_baselines
from dnahub.reports.fitting import Rows
from dnahub.reports.forest import TREES
from dnahub.reports.kmers import count_kmers
from dnahub.reports.linear_probe import fit_linear
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

CLASSIFICATION, LABELS = TASKS["classification"], Labels(["other", "promoter"], 2)
ALL = [baseline.name for baseline in choose_baselines(CLASSIFICATION, one_length=True)]


def drawn_splits(num_rows: int = 60, rare: float = 0.5, nt: int = 30) -> DatasetDict:
    """Sequences; those of label 1, as frequent as `rare`, have more A."""
    rng, splits = np.random.default_rng(0), {}
    for split in ("train", "validation", "test"):
        labels = (rng.random(num_rows) < rare).astype(int)
        sequences = ["".join(rng.choice(list("A" * label + "ACGT"), nt)) for label in labels]
        splits[split] = Dataset.from_dict({"sequence": sequences, "label": labels})
    return DatasetDict(splits)


def measured(splits, task=CLASSIFICATION, labels=LABELS, metric="accuracy", groups=None):
    return measure_baselines(task, splits, labels, metric, groups or {})


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr("dnahub.reports.forest.TREES", 5)


def test_a_baseline_has_the_scores_of_its_model_on_its_counts(few_trees):
    splits = drawn_splits()
    features = {split: count_kmers(rows["sequence"][:], 3).toarray() for split, rows in splits.items()}
    labels = {split: np.array(rows["label"]) for split, rows in splits.items()}
    train, held = (Rows(features[split], labels[split]) for split in ("train", "validation"))
    fit = fit_linear(train, [(train, held)], CLASSIFICATION, LABELS)
    found = measured(splits)
    assert list(found.scores) == ALL
    scores = found.scores["frame-wise 3-mers"]
    assert scores["C"] == fit.facts["C"] and scores["rows"] == 60 and scores["num_features"] == 192
    predicted = {"validation": fit.held_out.argmax(axis=1), "test": fit.predict(features["test"]).argmax(axis=1)}
    assert scores["validation"]["accuracy"] == (predicted["validation"] == labels["validation"]).mean()
    assert scores["accuracy"] == (predicted["test"] == labels["test"]).mean()
    low, high = scores["intervals"]["accuracy"]
    assert low < scores["accuracy"] < high
    on_validation = {name: each["validation"]["accuracy"] for name, each in found.scores.items()}
    assert on_validation[found.best] == max(on_validation.values())
    assert found.scores[found.best]["accuracy"] == (found.outputs.argmax(axis=1) == labels["test"]).mean()


def test_the_majority_is_that_of_train(few_trees):
    splits = drawn_splits(rare=0.3)
    scores = measured(splits).scores["majority class"]
    train, test = (np.array(splits[split]["label"]) for split in ("train", "test"))
    assert np.array(scores["confusion_matrix"])[:, 1].tolist() == [0, 0] and scores["balanced_accuracy"] == 0.5
    frequency = train.mean()
    expected = -(test * np.log(frequency) + (1 - test) * np.log(1 - frequency)).mean()
    assert scores["loss"] == pytest.approx(expected)


def test_rare_classes_are_predicted_where_the_metric_asks_for_them(few_trees):
    splits = drawn_splits(300, rare=0.1)
    by_accuracy, by_balanced = (measured(splits, metric=metric) for metric in ("accuracy", "balanced_accuracy"))
    name = "3-mer counts"
    assert by_accuracy.scores[name]["class_frequencies"] == "train"
    assert by_balanced.scores[name]["class_frequencies"] == "equal"
    assert by_balanced.scores[name]["balanced_accuracy"] > by_accuracy.scores[name]["balanced_accuracy"] + 0.05
    assert by_balanced.scores[name]["accuracy"] < by_accuracy.scores[name]["accuracy"]
    if by_balanced.best == name:
        predicted = by_balanced.outputs.argmax(axis=1)
        expected = balanced_accuracy_score(splits["test"]["label"], predicted)
        assert by_balanced.scores[name]["balanced_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_ridge_regressions_have_the_metrics_of_the_task(task, few_trees):
    splits = drawn_splits()
    if task == "multi_label":
        for split, rows in splits.items():
            hot = [[float(label == 0), float(label == 1)] for label in rows["label"]]
            splits[split] = rows.remove_columns("label").add_column("label", hot)
    metric = TASKS[task].compared_by("loss")[0]
    assert metric == {"multi_label": "micro_f1", "regression": "loss"}[task]
    found = measured(splits, TASKS[task], metric=metric).scores
    assert list(found) == ["mean of train", *[name for name in ALL[1:] if "Bayes" not in name]]
    scores = found["3-mer counts"]
    assert set(TASKS[task].metrics) - {"loss"} <= set(scores) and "alpha" in scores
    assert scores["auroc" if task == "multi_label" else "spearman"] > 0.4


def test_letters_are_for_one_length_alone_and_know_places(monkeypatch):
    """The forest is scikit-learn's; labels depend on two letters together, which only it can learn."""
    rng, splits = np.random.default_rng(0), {}
    for split in ("train", "validation", "test"):
        letters = rng.integers(4, size=(300, 12))
        labels = (letters[:, 3] < 2) ^ (letters[:, 8] < 2)
        sequences = ["".join("ACGT"[letter] for letter in row) for row in letters]
        splits[split] = Dataset.from_dict({"sequence": sequences, "label": labels.astype(int)})
    chosen = [each for each in choose_baselines(CLASSIFICATION, True) if each.name.startswith("letters")]
    monkeypatch.setattr(baselines, "choose_baselines", lambda task, one_length: chosen if one_length else [])
    found = measured(DatasetDict(splits))
    assert found.best == "letters, random forest" and found.scores[found.best]["accuracy"] > 0.75
    assert found.scores["letters"]["accuracy"] < 0.65
    hot = {
        split: np.array([[float(letter == each) for letter, each in product(row, "ACGT")] for row in rows["sequence"]])
        for split, rows in splits.items()
    }
    forest = RandomForestClassifier(TREES, random_state=0).fit(hot["train"], splits["train"]["label"])
    right = forest.predict(hot["test"]) == np.array(splits["test"]["label"])
    assert found.scores[found.best]["accuracy"] == pytest.approx(right.mean(), abs=0.02)  # ties of votes

    splits["test"] = Dataset.from_dict({"sequence": ["A" * 12, "A" * 13], "label": [0, 1]})
    assert measured(DatasetDict(splits)).scores == {}


@pytest.mark.parametrize(("limit", "value"), [("MAX_ROWS", 20), ("MAX_NT", 30 * 21 - 1)])
def test_rows_of_train_and_validation_are_limited_in_number_and_nucleotides_and_test_is_whole(
    monkeypatch, limit, value
):
    counted = []
    gc_content = choose_baselines(CLASSIFICATION, False)[1]

    def count(sequences):
        counted.append(sequences)
        return gc_content.features(sequences)

    counting = baselines.Baseline("GC content", count, gc_content.fit)
    monkeypatch.setattr(baselines, "choose_baselines", lambda *_: [counting])
    monkeypatch.setattr(baselines, limit, value)
    monkeypatch.setattr(baselines, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(baselines, "NT_AT_ONCE", 10 * 30)
    splits = drawn_splits()
    found = measured(splits)
    assert [len(sequences) for sequences in counted] == [10] * 10  # twice 20 and 60, in blocks
    assert set(sum(counted[:2], [])) <= set(splits["train"]["sequence"])
    assert sum(counted[4:], []) == splits["test"]["sequence"][:]
    assert found.scores["GC content"]["rows"] == 20 and len(found.outputs) == 60
    monkeypatch.setattr(baselines, "MAX_NT", 1)  # one row is used though it is longer
    assert measured(splits, TASKS["regression"], Labels([], 1)).scores["GC content"]["rows"] == 1


def test_rows_of_train_are_cut_into_windows_next_to_each_other(monkeypatch):
    """As if the windows had been given, with the groups of their rows."""
    monkeypatch.setattr(baselines, "choose_baselines", lambda *_: choose_baselines(CLASSIFICATION, False)[:3])
    splits = drawn_splits()
    genes = {"sequence": [], "label": []}
    windows = {"sequence": [], "label": []}
    for label in (0, 1):
        of_label = [row["sequence"] for row in splits["train"] if row["label"] == label]
        for i in range(0, len(of_label) - 2, 3):
            genes["sequence"].append("".join(of_label[i : i + 3]) + "ACGTA")  # the rest is left out
            windows["sequence"] += of_label[i : i + 3]
            windows["label"] += [label] * 3
            genes["label"].append(label)
    genes["sequence"].append("ACGTACGTAC")  # shorter than a window
    windows["sequence"].append("ACGTACGTAC")
    for rows in (genes, windows):
        rows["label"].append(1)
    cut = measure_baselines(
        *(CLASSIFICATION, DatasetDict({**splits, "train": Dataset.from_dict(genes)}), LABELS, "accuracy", {}),
        window_nt=30,
    )
    given = measured(DatasetDict({**splits, "train": Dataset.from_dict(windows)}))
    assert cut.scores == given.scores
    found, row = baselines._cut(Dataset.from_dict(genes), 30)
    assert found["sequence"][:] == windows["sequence"]
    assert row.tolist() == [i // 3 for i in range(len(windows["label"]))]  # whose groups they have


@pytest.mark.parametrize("split", ["train", "validation"])
def test_rows_of_one_label_only_or_no_known_label_give_no_baseline(split):
    splits = drawn_splits()
    label = {"train": 0, "validation": 2}[split]
    splits[split] = Dataset.from_dict({"sequence": splits[split]["sequence"], "label": [label] * len(splits[split])})
    found = measured(splits)
    assert (found.scores, found.best, found.outputs) == ({}, None, None)


def test_without_validation_folds_of_train_choose(few_trees):
    splits = drawn_splits()
    groups = {"train": pa.array([str(i // 3) for i in range(60)])}
    found = measured(DatasetDict({split: splits[split] for split in ("train", "test")}), groups=groups)
    assert list(found.scores) == ALL and found.scores["3-mer counts"]["validation"]["accuracy"] > 0.5
