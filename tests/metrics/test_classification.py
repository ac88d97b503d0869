"""The metric module, imported and loaded from its path, against a reference in plain Python."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.metrics.classification.classification import score_classes

MODULE = Path(__file__).parents[2] / "dnahub" / "metrics" / "classification"
SPECIES = ["Homo sapiens", "Mus musculus", "Escherichia coli"]


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(MODULE), keep_in_memory=True)


def reference_scores(predictions: list[int], references: list[int], label_names: list[str]) -> dict:
    """By the definitions, one example at a time."""
    n = len(label_names)
    confusion = [[0] * n for _ in range(n)]
    for predicted, true in zip(predictions, references, strict=True):
        confusion[true][predicted] += 1

    recalls, f1_scores = {}, []
    for i, name in enumerate(label_names):
        right = confusion[i][i]
        num_true = sum(confusion[i])
        num_predicted = sum(row[i] for row in confusion)
        recalls[name] = right / num_true if num_true else None
        if num_true + num_predicted:
            f1_scores.append(2 * right / (num_true + num_predicted))

    # Gorodkin's R_K: the correlation of the one-hot matrices of predictions and references.
    total = len(references)
    covariance = {"xy": 0.0, "xx": 0.0, "yy": 0.0}
    for k in range(n):
        mean_x = predictions.count(k) / total
        mean_y = references.count(k) / total
        for predicted, true in zip(predictions, references, strict=True):
            x, y = (predicted == k) - mean_x, (true == k) - mean_y
            covariance["xy"] += x * y
            covariance["xx"] += x * x
            covariance["yy"] += y * y
    spread = math.sqrt(covariance["xx"] * covariance["yy"])
    return {
        "accuracy": sum(confusion[i][i] for i in range(n)) / total,
        "macro_f1": sum(f1_scores) / len(f1_scores),
        "mcc": covariance["xy"] / spread if spread > 1e-9 else 0.0,
        "recall_per_label": recalls,
        "confusion_matrix": confusion,
    }


def test_six_windows_score_as_computed_by_hand(metric):
    # true 0 0 0 1 1 2, predicted 0 0 1 1 2 2: recalls 2/3, 1/2, 1; precisions 1, 1/2, 1/2; F1 4/5, 1/2, 2/3.
    scores = metric.compute(predictions=[0, 0, 1, 1, 2, 2], references=[0, 0, 0, 1, 1, 2], label_names=SPECIES)
    assert scores["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert scores["recall_per_label"] == {"Homo sapiens": 2 / 3, "Mus musculus": 0.5, "Escherichia coli": 1.0}
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    # R_K = (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)) = (24 - 12) / sqrt(24 * 22)
    assert scores["mcc"] == pytest.approx(12 / math.sqrt(24 * 22))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scores_equal_the_plain_reference_for_any_labels(metric, pairs):
    predictions, references = (list(labels) for labels in zip(*pairs, strict=True))
    names = ["a", "b", "c", "d"]
    got = metric.compute(predictions=predictions, references=references, label_names=names)
    expected = reference_scores(predictions, references, names)
    assert got["confusion_matrix"] == expected["confusion_matrix"]
    assert got["recall_per_label"] == pytest.approx(expected["recall_per_label"])
    for name in ("accuracy", "macro_f1", "mcc"):
        assert got[name] == pytest.approx(expected[name], abs=1e-9)


def test_a_label_without_references_has_null_recall_and_lowers_macro_f1_only_if_predicted(metric):
    never_met = metric.compute(predictions=[0, 1], references=[0, 1], label_names=SPECIES)
    assert never_met["recall_per_label"]["Escherichia coli"] is None
    assert never_met["confusion_matrix"][2] == [0, 0, 0]
    assert never_met["macro_f1"] == 1.0

    predicted = metric.compute(predictions=[0, 2], references=[0, 1], label_names=SPECIES)
    assert predicted["recall_per_label"] == {"Homo sapiens": 1.0, "Mus musculus": 0.0, "Escherichia coli": None}
    assert predicted["macro_f1"] == pytest.approx(1 / 3)


def test_the_library_scores_without_writing_anything_to_the_cache():
    """HF_HOME cannot be made, not even by root."""
    code = "from dnahub.tasks import TASKS; import numpy as np\n"
    code += "print(TASKS['classification'].measure(np.eye(2), np.arange(2), ['a', 'b'])['accuracy'])"
    home = {"HF_HOME": "/dev/null/home", "HF_MODULES_CACHE": "/dev/null/modules"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=MODULE.parents[2], env=os.environ | home, capture_output=True, text=True
    )
    assert done.stdout == "1.0\n", done.stderr


def test_a_million_tokens_are_scored_in_a_moment():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(3, size=(2, 1_000_000))
    started = time.perf_counter()
    scores = score_classes(predicted, true, SPECIES)
    assert time.perf_counter() - started < 1
    assert scores["accuracy"] == (true == predicted).mean()
    assert score_classes(true[:0], true[:0], SPECIES)["accuracy"] is None


def test_mcc_of_constant_predictions_is_zero(metric):
    scores = metric.compute(predictions=[1, 1, 1], references=[0, 1, 2], label_names=SPECIES)
    assert scores["mcc"] == 0.0


def test_scores_survive_json_and_numpy_labels(metric):
    labels = np.array([0, 1, 2, 2], dtype=np.int64)
    scores = metric.compute(predictions=labels, references=labels, label_names=SPECIES)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_batches_that_were_added_count_together(metric):
    metric.add_batch(predictions=[0, 0], references=[0, 1])
    metric.add_batch(predictions=[2, 2], references=[2, 2])
    assert metric.compute(label_names=SPECIES)["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("predictions", "references", "label_names", "message"),
    [
        ([3], [0], SPECIES, r"label 3 among the predictions.*3 names \(0 to 2\)"),
        ([0], [-1], SPECIES, r"label -1 among the references"),
        ([0, 1], [0], SPECIES, r"Mismatch in the number of predictions \(2\) and references \(1\)"),
        ([], [], SPECIES, "no predictions and no references"),
        ([0], [0], [], "name of every label once"),
        ([0], [0], None, "name of every label once"),
        ([0], [0], ["fly", "fly"], "name of every label once"),
    ],
)
def test_bad_input_is_an_error_that_says_what_it_is(metric, predictions, references, label_names, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references, label_names=label_names)
