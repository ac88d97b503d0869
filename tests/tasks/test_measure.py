"""Metrics of each task: against scikit-learn, SciPy and the metric module, by hand where they leave it open."""

import json
import math
import warnings
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy import stats
from sklearn import metrics
from transformers import EvalPrediction

from dnahub.metrics.rankings import rank
from dnahub.tasks import TASKS
from dnahub.tasks.labels import IGNORED
from dnahub.tasks.masked_lm import MaskedLM
from dnahub.tasks.task import SAME_OUTPUT
from dnahub.training.trainer import _compute_metrics as compute_metrics

METRIC_MODULE = Path(__file__).parents[2] / "dnahub" / "metrics" / "classification"
LABELLED = [name for name in TASKS if TASKS[name].takes_labels]
NAMES = ["fly", "mouse", "yeast"]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        yield


def draw(task: str, num_rows: int = 50, num_labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that know something of their labels."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(num_rows, num_labels)).astype(np.float32)
    if task == "classification":
        labels = rng.integers(num_labels, size=num_rows)
        outputs[np.arange(num_rows), labels] += 1
    elif task == "multi_label":
        labels = (rng.random((num_rows, num_labels)) < 0.3).astype(np.float32)
        outputs += 2 * labels - 1
    elif task == "regression":
        labels = rng.normal(size=(num_rows, num_labels)).round(1).astype(np.float32)
        outputs += labels
    elif task == "mlm":  # whether each token is predicted, and its loss
        labels = rng.integers(num_labels, size=(num_rows, 8))
        right = (rng.random(labels.shape) < 0.6).astype(np.float32)
        outputs = np.stack([right, rng.random(labels.shape, np.float32)], axis=2)
        labels[rng.random(labels.shape) < 0.2] = IGNORED
    else:
        labels = rng.integers(num_labels, size=(num_rows, 8))
        outputs = np.where(rng.random(labels.shape) < 0.6, labels, rng.integers(num_labels, size=labels.shape))
        outputs = (np.eye(num_labels)[outputs] + rng.normal(size=(num_rows, 8, num_labels)) / 2).astype(np.float32)
        labels[rng.random(labels.shape) < 0.2] = IGNORED
    return outputs, labels


def test_a_label_without_positives_or_without_negatives_has_neither_auroc_nor_auprc():
    logits, labels = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 0, 0])
    measured = TASKS["classification"].measure(logits, labels, NAMES)
    only_fly = TASKS["classification"].measure(logits, np.zeros(6, dtype=int), NAMES)
    for name in ("auroc", "auprc"):
        of_labels = measured[f"{name}_per_label"]
        assert of_labels["yeast"] is None
        assert measured[name] == pytest.approx((of_labels["fly"] + of_labels["mouse"]) / 2)
        assert only_fly[name] is None and set(only_fly[f"{name}_per_label"].values()) == {None}


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_multi_label_metrics_are_those_of_scikit_learn(num_labels):
    outputs, labels = draw("multi_label", num_labels=num_labels)
    measured = TASKS["multi_label"].measure(outputs, labels, NAMES[:num_labels])
    predicted = torch.tensor(outputs).sigmoid().numpy() > 0.5
    by_label = [metrics.f1_score(labels[:, i], predicted[:, i]) for i in range(num_labels)]
    precisions = [metrics.average_precision_score(labels[:, i], outputs[:, i]) for i in range(num_labels)]
    assert measured["micro_f1"] == pytest.approx(metrics.f1_score(labels.ravel(), predicted.ravel()))
    assert measured["macro_f1"] == pytest.approx(np.mean(by_label))
    assert measured["auprc"] == pytest.approx(np.mean(precisions))
    assert list(measured["auprc_per_label"].values()) == pytest.approx(precisions)
    assert measured["auroc"] == pytest.approx(metrics.roc_auc_score(labels, outputs))
    exact = [list(p) == list(t) for p, t in zip(predicted, labels, strict=True)]
    assert measured["subset_accuracy"] == pytest.approx(np.mean(exact))
    assert list(measured["f1_per_label"].values()) == pytest.approx(by_label)
    assert list(measured["recall_per_label"].values()) == pytest.approx(
        [metrics.recall_score(labels[:, i], predicted[:, i]) for i in range(num_labels)]
    )


def test_a_label_that_no_row_has_is_left_out_unless_it_is_predicted():
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, -1.0, -1.0], [-2.0, -1.0, -1.0]])
    measured = TASKS["multi_label"].measure(logits, labels, NAMES)
    assert measured["recall_per_label"] == {"fly": 0.5, "mouse": None, "yeast": None}
    assert measured["f1_per_label"] == {"fly": pytest.approx(2 / 3), "mouse": 0.0, "yeast": None}
    assert measured["macro_f1"] == pytest.approx(1 / 3)  # of fly and mouse
    assert (measured["auroc"], measured["auprc"]) == (1.0, 1.0)  # of fly
    measured = TASKS["multi_label"].measure(-np.ones((4, 3)), np.zeros((4, 3)), NAMES)
    assert [measured[name] for name in ("micro_f1", "macro_f1", "auroc", "auprc")] == [None] * 4


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_regression_metrics_are_those_of_scipy_and_scikit_learn(num_outputs):
    outputs, labels = draw("regression", num_labels=num_outputs)
    measured = TASKS["regression"].measure(outputs, labels, [])
    pairs = list(zip(labels.T.astype(float), outputs.T.astype(float), strict=True))
    assert measured == pytest.approx(
        {
            "spearman": np.mean([stats.spearmanr(y, x).statistic for y, x in pairs]),
            "pearson": np.mean([stats.pearsonr(y, x).statistic for y, x in pairs]),
            "r2": np.mean([metrics.r2_score(y, x) for y, x in pairs]),
            "rmse": np.mean([math.sqrt(np.mean((y - x) ** 2)) for y, x in pairs]),
            "mae": np.mean([np.mean(abs(y - x)) for y, x in pairs]),
            "constant": False,
        }
    )


def test_constant_predictions_correlate_with_nothing():
    labels = np.array([1.0, 2.0, 4.0])
    measured = TASKS["regression"].measure(np.full((3, 1), 2.0), labels, [])
    assert (measured["spearman"], measured["pearson"]) == (0.0, 0.0)
    assert measured["r2"] == pytest.approx(metrics.r2_score(labels, [2.0] * 3))


def test_an_output_of_constant_labels_is_left_out_of_correlations_but_not_of_errors():
    outputs = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 4.0]])
    measured = TASKS["regression"].measure(outputs, np.array([[2.0, 5.0], [4.0, 5.0], [6.0, 5.0]]), [])
    assert (measured["spearman"], measured["pearson"]) == (pytest.approx(1), pytest.approx(1))
    assert measured["mae"] == pytest.approx((2 + 2 / 3) / 2)
    constant = TASKS["regression"].measure(outputs, np.full((3, 2), 5.0), [])
    assert (constant["spearman"], constant["pearson"], constant["r2"]) == (None, None, None)
    assert constant["mae"] == pytest.approx((3 + 2 / 3) / 2)


@pytest.mark.parametrize("num_labels", [2, 3])
def test_token_metrics_are_those_of_the_metric_module_and_of_scikit_learn_on_the_labelled_tokens(num_labels):
    outputs, labels = draw("token_classification", num_labels=2)
    outputs = np.pad(outputs, ((0, 0), (0, 0), (0, num_labels - 2)), constant_values=-9)  # the third never occurs
    names = NAMES[:num_labels]
    pairs = [(p, t) for row in zip(outputs, labels, strict=True) for p, t in zip(*row, strict=True) if t != IGNORED]
    predicted, true = [logits.argmax() for logits, _ in pairs], np.array([label for _, label in pairs])
    module = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)
    expected = module.compute(predictions=predicted, references=true, label_names=names)
    measured = TASKS["token_classification"].measure(outputs, labels, names)
    for name in ("confusion_matrix", "recall_per_label"):
        assert measured[name] == expected.pop(name)
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    probabilities = torch.tensor(np.array([logits for logits, _ in pairs])).double().softmax(-1).numpy()
    for i, name in enumerate(names[:2]):
        auroc = metrics.roc_auc_score(true == i, probabilities[:, i])
        auprc = metrics.average_precision_score(true == i, probabilities[:, i])
        assert (measured["auroc_per_label"][name], measured["auprc_per_label"][name]) == pytest.approx((auroc, auprc))


def test_masked_accuracy_loss_and_perplexity_count_the_drawn_tokens_alone():
    labels = torch.tensor([[IGNORED, 5, 6], [7, IGNORED, IGNORED]])
    logits = torch.eye(9)[torch.tensor([[0, 5, 1], [7, 3, 3]])]
    outputs = MaskedLM.outputs_kept(logits, labels).numpy()
    loss = math.log(math.e + 8) - 2 / 3  # two of three are right
    assert TASKS["mlm"].mean_loss(outputs, labels.numpy()) == pytest.approx(loss)
    measured = TASKS["mlm"].measure(outputs, labels.numpy(), [])
    assert measured == pytest.approx({"masked_accuracy": 2 / 3, "perplexity": math.exp(loss)})
    assert set(TASKS["mlm"].measure(outputs, np.full((2, 3), IGNORED), []).values()) == {None}


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_and_average_precision_are_those_of_scikit_learn(ties):
    rng = np.random.default_rng(0)
    for num_items in (2, 3, 20, 500):
        has_label = np.arange(num_items) < max(1, num_items // 10)
        scores = has_label + rng.normal(size=num_items)
        scores = scores.round() if ties else scores
        expected = metrics.roc_auc_score(has_label, scores), metrics.average_precision_score(has_label, scores)
        assert np.ravel(rank(has_label, scores, np.ones((1, len(scores)), int))) == pytest.approx(expected)


@pytest.mark.parametrize("task", ["classification", "multi_label", "regression"])
def test_the_loss_over_all_rows_is_that_of_transformers_on_them_as_one_batch(task):
    from dnahub.checkpoints.presets import PRESETS
    from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForSequenceClassification

    config = NucleotideTransformerConfig(**PRESETS["tiny"], num_labels=3, problem_type=TASKS[task].problem_type)
    model = NucleotideTransformerForSequenceClassification(config).eval()
    ids = torch.randint(6, 4000, (7, 5))
    labels = torch.arange(7) % 3 if task == "classification" else torch.rand(7, 3).round()
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)

    assert TASKS[task].mean_loss(output.logits.numpy(), labels.numpy()) == pytest.approx(output.loss.item(), rel=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_the_trainer_gets_a_float_for_each_metric_and_metrics_json_takes_all_but_the_loss(task):
    outputs, labels = draw(task)
    names = [] if task in ("regression", "mlm") else NAMES
    computed = compute_metrics(TASKS[task], names)(EvalPrediction(predictions=outputs, label_ids=labels))
    measured = TASKS[task].measure(outputs, labels, names)
    assert set(computed) == {*TASKS[task].metrics, "constant"}
    assert all(type(value) is float for value in computed.values())
    assert all(computed[name] == measured[name] for name in TASKS[task].metrics if name != "loss")
    assert computed["constant"] == 0
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_references_of_masked_tokens_are_those_of_ordinary_tokens():
    """Of ids from 6 to 9: 1, 3, 3 and 2 of 9, each counted once more than it occurs."""
    train = Dataset.from_dict({"input_ids": [[3, 7, 7, 8], [3, 8, 9]]})
    found = TASKS["mlm"].references(np.array([[-100, 7, 9], [8, -100, -100]]), train, 10, [0, 1, 2, 3, 4, 5])
    assert found["unigram_loss"] == pytest.approx(-(2 * math.log(3 / 9) + math.log(2 / 9)) / 3)
    assert found["uniform_loss"] == pytest.approx(math.log(10))


@pytest.mark.parametrize("task", LABELLED)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_leave_metrics_undefined_and_do_not_fail(task, value):
    outputs, labels = draw(task)
    outputs[labels != IGNORED if task == "token_classification" else 0] = value
    for undefined in ("rmse",) if task == "regression" else ("auroc", "auprc"):
        assert TASKS[task].measure(outputs, labels, NAMES)[undefined] is None
        assert math.isnan(compute_metrics(TASKS[task], NAMES)(EvalPrediction(outputs, labels))[undefined])


def constant_outputs(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that differ by rounding alone, and labels that differ."""
    outputs, labels = draw(task)
    noise = np.random.default_rng(1).random(outputs.shape) * SAME_OUTPUT / 2
    if task == "regression":
        noise *= labels.std(axis=0)
    return np.array([0.5, -0.25, 1.25]) + noise, labels


@pytest.mark.parametrize("task", LABELLED)
def test_outputs_are_constant_where_every_one_of_them_is(task):
    outputs, labels = constant_outputs(task)
    assert TASKS[task].measure(*draw(task), NAMES)["constant"] is False
    assert TASKS[task].measure(outputs, labels, NAMES)["constant"] is True
    assert compute_metrics(TASKS[task], NAMES)(EvalPrediction(outputs, labels))["constant"] == 1
    outputs[..., 2] += np.arange(outputs[..., 2].size).reshape(outputs.shape[:-1])
    assert TASKS[task].measure(outputs, labels, NAMES)["constant"] is False  # one that varies is enough


def test_one_class_for_every_row_is_not_constant_while_the_outputs_rank_them():
    probability = np.linspace(0.01, 0.2, 40)  # of the rare class, never the likelier
    logits = np.log(np.stack([1 - probability, probability], axis=1))
    labels = (np.arange(40) >= 38).astype(int)
    measured = TASKS["classification"].measure(logits, labels, NAMES[:2])
    assert measured["constant"] is False
    assert (measured["auroc"], measured["recall_per_label"]["mouse"]) == (1.0, 0.0)


def test_numbers_in_small_units_are_not_constant_and_in_large_units_rounding_does_not_count():
    small = np.array([[1e-6], [5e-6]])
    assert not TASKS["regression"].is_constant(small, np.array([1e-6, 5e-6]))
    assert TASKS["regression"].is_constant(np.array([[1e-9], [2e-9]]), np.array([1e-3, 5e-3]))
    assert TASKS["regression"].is_constant(np.array([[1e6], [1e6 + 0.01]]), np.array([1e3, 1e6]))
    assert TASKS["regression"].is_constant(np.array([1.0, 1.0]), np.array([2.0, 2.0]))  # labels without a deviation
