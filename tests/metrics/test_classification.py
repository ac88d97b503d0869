"""The metric module, imported and loaded from its path, against a reference in plain Python."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

MODULE = Path(__file__).parents[2] / "dnahub" / "metrics" / "classification"
SPECIES = ["Homo sapiens", "Mus musculus", "Escherichia coli"]


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(MODULE), keep_in_memory=True)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_scores_are_those_of_scikit_learn_for_any_labels(metric, pairs):
    predicted, true = (np.array(labels) for labels in zip(*pairs, strict=True))
    names = ["a", "b", "c", "d"]

    got = metric.compute(predictions=predicted, references=true, label_names=names)

    confusion = metrics.confusion_matrix(true, predicted, labels=range(4))
    recalls = {names[i]: row[i] / row.sum() if row.any() else None for i, row in enumerate(confusion)}
    assert json.loads(json.dumps(got, allow_nan=False)) == got
    assert got["confusion_matrix"] == confusion.tolist() and got["recall_per_label"] == pytest.approx(recalls)
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted))
    assert got["macro_f1"] == pytest.approx(metrics.f1_score(true, predicted, average="macro", zero_division=0))
    assert got["mcc"] == pytest.approx(metrics.matthews_corrcoef(true, predicted), abs=1e-9)


def test_six_windows_score_as_computed_by_hand(metric):
    # true 0 0 0 1 1 2, predicted 0 0 1 1 2 2: recalls 2/3, 1/2, 1; precisions 1, 1/2, 1/2; F1 4/5, 1/2, 2/3.
    scores = metric.compute(predictions=[0, 0, 1, 1, 2, 2], references=[0, 0, 0, 1, 1, 2], label_names=SPECIES)
    assert scores["confusion_matrix"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert scores["recall_per_label"] == {"Homo sapiens": 2 / 3, "Mus musculus": 0.5, "Escherichia coli": 1.0}
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    # R_K = (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)) = (24 - 12) / sqrt(24 * 22)
    assert scores["mcc"] == pytest.approx(12 / math.sqrt(24 * 22))


def test_a_label_without_references_has_null_recall_and_lowers_macro_f1_only_if_predicted(metric):
    never_met = metric.compute(predictions=[0, 1], references=[0, 1], label_names=SPECIES)
    assert never_met["recall_per_label"]["Escherichia coli"] is None
    assert never_met["confusion_matrix"][2] == [0, 0, 0]
    assert never_met["macro_f1"] == 1.0

    predicted = metric.compute(predictions=[0, 2], references=[0, 1], label_names=SPECIES)
    assert predicted["recall_per_label"] == {"Homo sapiens": 1.0, "Mus musculus": 0.0, "Escherichia coli": None}
    assert predicted["macro_f1"] == pytest.approx(1 / 3)


def test_many_labels_have_all_scores_but_no_matrix(metric):
    names, labels = [f"family {i}" for i in range(301)], np.arange(301)
    scores = metric.compute(predictions=labels[::-1], references=labels, label_names=names)
    assert "confusion_matrix" not in scores and scores["accuracy"] == pytest.approx(1 / 301)
    assert [name for name, recall in scores["recall_per_label"].items() if recall] == ["family 150"]


def test_the_library_scores_without_writing_anything_to_the_cache():
    """HF_HOME cannot be made, not even by root."""
    code = "from dnahub.tasks import TASKS; import numpy as np\n"
    code += "print(TASKS['classification'].measure(np.eye(2), np.arange(2), ['a', 'b'])['accuracy'])"
    home = {"HF_HOME": "/dev/null/home", "HF_MODULES_CACHE": "/dev/null/modules"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=MODULE.parents[2], env=os.environ | home, capture_output=True, text=True
    )
    assert done.stdout == "1.0\n", done.stderr


@pytest.mark.parametrize(
    ("predictions", "references", "label_names", "message"),
    [
        ([3], [0], SPECIES, "label 3.* 3 names"),
        ([0], [-1], SPECIES, "label -1"),
        ([0], [0], None, "name of every label once"),
        ([0], [0], ["fly", "fly"], "name of every label once"),
    ],
)
def test_bad_input_is_an_error_that_says_what_it_is(metric, predictions, references, label_names, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references, label_names=label_names)
