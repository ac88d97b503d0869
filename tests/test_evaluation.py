"""Metrics of each problem: against scikit-learn, SciPy and the metric module, by hand where they leave it open."""

import json
import math
import warnings

import evaluate
import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from torch import nn
from transformers import EvalPrediction, Trainer, TrainingArguments

from training.collators import IGNORED
from training.evaluation import (
    METRIC_MODULE,
    METRICS,
    answers,
    compute_metrics,
    constant_predictions,
    greater_is_better,
    mean_loss,
    mean_over_tokens,
    measure,
    most_likely,
)

NAMES = ["fly", "mouse", "yeast"]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        yield


def draw(problem: str, num_rows: int = 50, num_labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that know something of their labels."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(num_rows, num_labels)).astype(np.float32)
    if problem == "single_label_classification":
        labels = rng.integers(num_labels, size=num_rows)
        outputs[np.arange(num_rows), labels] += 1
    elif problem == "multi_label_classification":
        labels = (rng.random((num_rows, num_labels)) < 0.3).astype(np.float32)
        outputs += 2 * labels - 1
    elif problem == "regression":
        labels = rng.normal(size=(num_rows, num_labels)).round(1).astype(np.float32)
        outputs += labels
    else:
        labels = rng.integers(num_labels, size=(num_rows, 8))
        outputs = np.where(rng.random(labels.shape) < 0.6, labels, rng.integers(num_labels, size=labels.shape))
        labels[rng.random(labels.shape) < 0.2] = IGNORED
    return outputs, labels


def test_single_label_metrics_are_those_of_the_metric_module():
    outputs, labels = draw("single_label_classification")
    module = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)
    expected = module.compute(predictions=outputs.argmax(1), references=labels, label_names=NAMES)
    assert measure("single_label_classification", outputs, labels, NAMES) == expected


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_multi_label_metrics_are_those_of_scikit_learn(num_labels):
    outputs, labels = draw("multi_label_classification", num_labels=num_labels)
    measured = measure("multi_label_classification", outputs, labels, NAMES[:num_labels])
    predicted = torch.tensor(outputs).sigmoid().numpy() > 0.5
    by_label = [metrics.f1_score(labels[:, i], predicted[:, i]) for i in range(num_labels)]
    precisions = [metrics.average_precision_score(labels[:, i], outputs[:, i]) for i in range(num_labels)]
    assert measured["micro_f1"] == pytest.approx(metrics.f1_score(labels.ravel(), predicted.ravel()))
    assert measured["macro_f1"] == pytest.approx(np.mean(by_label))
    assert measured["average_precision"] == pytest.approx(np.mean(precisions))
    exact = [list(p) == list(t) for p, t in zip(predicted, labels, strict=True)]
    assert measured["subset_accuracy"] == pytest.approx(np.mean(exact))
    assert list(measured["f1_per_label"].values()) == pytest.approx(by_label)
    assert list(measured["recall_per_label"].values()) == pytest.approx(
        [metrics.recall_score(labels[:, i], predicted[:, i]) for i in range(num_labels)]
    )


def test_a_label_that_no_row_has_is_left_out_unless_it_is_predicted():
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, -1.0, -1.0], [-2.0, -1.0, -1.0]])
    measured = measure("multi_label_classification", logits, labels, NAMES)
    assert measured["recall_per_label"] == {"fly": 0.5, "mouse": None, "yeast": None}
    assert measured["f1_per_label"] == {"fly": pytest.approx(2 / 3), "mouse": 0.0, "yeast": None}
    assert measured["macro_f1"] == pytest.approx(1 / 3)  # of fly and mouse
    assert measured["average_precision"] == 1.0  # of fly


def test_rows_without_any_label_leave_the_label_metrics_undefined():
    measured = measure("multi_label_classification", -np.ones((4, 3)), np.zeros((4, 3)), NAMES)
    assert (measured["micro_f1"], measured["macro_f1"], measured["average_precision"]) == (None, None, None)
    assert measured["subset_accuracy"] == 1.0


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_regression_metrics_are_those_of_scipy_and_scikit_learn(num_outputs):
    outputs, labels = draw("regression", num_labels=num_outputs)
    measured = measure("regression", outputs, labels, [])
    pairs = list(zip(labels.T.astype(float), outputs.T.astype(float), strict=True))
    assert measured == pytest.approx(
        {
            "spearman": np.mean([stats.spearmanr(y, x).statistic for y, x in pairs]),
            "pearson": np.mean([stats.pearsonr(y, x).statistic for y, x in pairs]),
            "r2": np.mean([metrics.r2_score(y, x) for y, x in pairs]),
            "rmse": np.mean([math.sqrt(np.mean((y - x) ** 2)) for y, x in pairs]),
            "mae": np.mean([np.mean(abs(y - x)) for y, x in pairs]),
        }
    )


def test_numbers_of_one_column_may_come_without_it():
    outputs, labels = draw("regression", num_labels=1)
    assert measure("regression", outputs, labels[:, 0], []) == measure("regression", outputs[:, 0], labels, [])


def test_constant_predictions_correlate_with_nothing():
    labels = np.array([1.0, 2.0, 4.0])
    measured = measure("regression", np.full((3, 1), 2.0), labels, [])
    assert (measured["spearman"], measured["pearson"]) == (0.0, 0.0)
    assert measured["r2"] == pytest.approx(metrics.r2_score(labels, [2.0] * 3))


def test_an_output_of_constant_labels_is_left_out_of_correlations_but_not_of_errors():
    outputs = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 4.0]])
    measured = measure("regression", outputs, np.array([[2.0, 5.0], [4.0, 5.0], [6.0, 5.0]]), [])
    assert (measured["spearman"], measured["pearson"]) == (pytest.approx(1), pytest.approx(1))
    assert measured["mae"] == pytest.approx((2 + 2 / 3) / 2)
    constant = measure("regression", outputs, np.full((3, 2), 5.0), [])
    assert (constant["spearman"], constant["pearson"], constant["r2"]) == (None, None, None)
    assert constant["mae"] == pytest.approx((3 + 2 / 3) / 2)


@pytest.mark.parametrize("num_labels", [2, 3])
def test_token_metrics_are_those_of_the_metric_module_on_the_labelled_tokens(num_labels):
    outputs, labels = draw("token_classification", num_labels=2)
    names = NAMES[:num_labels]  # the third never occurs
    pairs = [(p, t) for row in zip(outputs, labels, strict=True) for p, t in zip(*row, strict=True) if t != IGNORED]
    predicted, true = zip(*pairs, strict=True)
    module = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)
    expected = module.compute(predictions=predicted, references=true, label_names=names)
    measured = measure("token_classification", outputs, labels, names)
    assert measured.pop("confusion_matrix") == expected.pop("confusion_matrix")
    assert measured.pop("recall_per_label") == expected.pop("recall_per_label")
    assert measured == pytest.approx(expected)
    logits = np.eye(num_labels)[outputs]
    assert measure("token_classification", logits, labels, names)["mcc"] == measured["mcc"]


def test_tokens_all_predicted_as_one_label_have_an_mcc_of_zero():
    labels = np.array([[IGNORED, 0, 1, 2]])
    assert measure("token_classification", np.ones_like(labels), labels, NAMES)["mcc"] == 0.0


def test_the_trainer_gives_every_labelled_token_once_however_batches_are_padded(tmp_path):
    """Rows of unlike lengths in several batches; the model predicts a token's id modulo 3."""

    class Modulo(nn.Module):
        def forward(self, input_ids, labels):
            return {"loss": torch.zeros(()), "logits": nn.functional.one_hot(input_ids % 3, 3).float()}

    rng = np.random.default_rng(0)
    rows = [rng.integers(9, size=length) for length in (3, 7, 2, 5, 6)]
    labels = [rng.integers(3, size=len(row)) for row in rows]

    def padded(batch, name, padding):
        return nn.utils.rnn.pad_sequence([torch.tensor(row[name]) for row in batch], True, padding)

    trainer = Trainer(
        Modulo(),
        TrainingArguments(
            output_dir=str(tmp_path),
            per_device_eval_batch_size=2,
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        data_collator=lambda batch: {
            "input_ids": padded(batch, "input_ids", 1),
            "labels": padded(batch, "labels", IGNORED),
        },
        compute_metrics=compute_metrics("token_classification", NAMES),
        preprocess_logits_for_metrics=most_likely,
    )
    output = trainer.predict([{"input_ids": row, "labels": label} for row, label in zip(rows, labels, strict=True)])
    confusion = [[0] * 3 for _ in range(3)]
    for row, label in zip(rows, labels, strict=True):
        for token, true in zip(row, label, strict=True):
            confusion[true][token % 3] += 1
    predicted = answers(output.predictions)
    measured = measure("token_classification", predicted, output.label_ids, NAMES)
    assert predicted.shape == (5, 7)
    assert measured["confusion_matrix"] == confusion
    assert output.metrics["test_accuracy"] == measured["accuracy"] == pytest.approx(np.trace(confusion) / 23)


def test_masked_accuracy_counts_the_drawn_tokens_alone():
    labels = torch.tensor([[IGNORED, 5, 6], [7, IGNORED, IGNORED]])
    logits = torch.eye(9)[torch.tensor([[0, 5, 1], [7, 3, 3]])]
    outputs, losses = most_likely(logits, labels)
    assert measure("masked_lm", outputs.numpy(), labels.numpy(), []) == {"masked_accuracy": pytest.approx(2 / 3)}
    assert measure("masked_lm", outputs.numpy(), np.full((2, 3), IGNORED), []) == {"masked_accuracy": None}
    right, wrong = math.log(math.e + 8) - 1, math.log(math.e + 8)
    mean = mean_loss("masked_lm", (outputs.numpy(), losses.numpy()), labels.numpy())
    assert mean == pytest.approx((2 * right + wrong) / 3)


def test_the_likeliest_of_a_token_without_label_is_none():
    logits = torch.eye(3)[torch.tensor([[2, 1, 0]])]
    assert most_likely(logits, torch.tensor([[IGNORED, 0, 0]]))[0].tolist() == [[IGNORED, 1, 0]]


@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification", "regression"])
def test_the_loss_over_all_rows_is_that_of_transformers_on_them_as_one_batch(problem):
    from hub_code import NucleotideTransformerConfig, NucleotideTransformerForSequenceClassification

    config = NucleotideTransformerConfig.from_preset("tiny", num_labels=3, problem_type=problem)
    model = NucleotideTransformerForSequenceClassification(config).eval()
    ids = torch.randint(6, 4000, (7, 5))
    labels = torch.arange(7) % 3 if problem == "single_label_classification" else torch.rand(7, 3).round()
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)

    assert mean_loss(problem, output.logits.numpy(), labels.numpy()) == pytest.approx(output.loss.item(), rel=1e-5)


def test_every_token_weighs_the_same_in_the_loss_of_training():
    logits, labels = torch.randn(2, 3, 5), torch.tensor([[IGNORED, 1, 2], [3, IGNORED, IGNORED]])
    expected = torch.nn.functional.cross_entropy(logits[labels != IGNORED], labels[labels != IGNORED])

    assert mean_over_tokens({"logits": logits}, labels, 3) == pytest.approx(expected)
    assert mean_over_tokens({"logits": logits}, torch.full((2, 3), IGNORED), 0) == 0


@pytest.mark.parametrize("problem", METRICS)
def test_the_trainer_gets_a_float_for_each_metric_and_metrics_json_takes_all_but_the_loss(problem):
    outputs, labels = draw(problem)
    names = [] if problem in ("regression", "masked_lm") else NAMES
    beside = outputs
    if problem in ("token_classification", "masked_lm"):
        outputs = outputs.argmax(axis=-1) if outputs.ndim == 3 else outputs
        beside = outputs, np.ones(outputs.shape, np.float32)
    computed = compute_metrics(problem, names)(EvalPrediction(predictions=beside, label_ids=labels))
    measured = measure(problem, outputs, labels, names)
    assert set(computed) == {*METRICS[problem], "constant"}
    assert all(type(value) is float for value in computed.values())
    assert all(computed[name] == measured[name] for name in METRICS[problem] if name != "loss")
    assert computed["constant"] == 0
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_outputs_that_are_no_numbers_leave_metrics_undefined_and_do_not_fail(problem):
    outputs, labels = draw(problem)
    outputs[0, 0] = np.nan
    undefined = "average_precision" if problem != "regression" else "rmse"
    assert measure(problem, outputs, labels, NAMES)[undefined] is None
    assert math.isnan(compute_metrics(problem, NAMES)(EvalPrediction(outputs, labels))[undefined])


def test_errors_and_losses_are_better_when_lower():
    lower = {name for names in METRICS.values() for name in names if not greater_is_better(name)}
    assert lower == {"loss", "rmse", "mae"}
    assert not greater_is_better("eval_rmse") and greater_is_better("eval_spearman")


def test_an_unknown_problem_is_an_error_that_lists_those_there_are():
    with pytest.raises(ValueError, match="problem 'ranking': it is one of single_label_classification, multi"):
        measure("ranking", np.zeros((2, 2)), np.zeros(2), NAMES)


@pytest.mark.parametrize("problem", METRICS)
def test_predictions_that_differ_are_not_constant(problem):
    assert constant_predictions(problem, draw(problem)[0], NAMES) is None


def test_constant_predictions_are_named():
    logits = np.random.default_rng(0).random((5, 3)) + [0, 1, 0]
    assert constant_predictions("single_label_classification", logits, NAMES) == "mouse"
    tokens = np.array([[IGNORED, 2, 2], [IGNORED, 2, IGNORED]])
    assert constant_predictions("token_classification", tokens, NAMES) == "yeast"
    noise = np.random.default_rng(0).random((5, 1)) * 9e-5
    assert constant_predictions("regression", 1.25 + noise, []) == "1.25"
    assert constant_predictions("regression", 1.25 + 100 * noise, []) is None
    assert constant_predictions("multi_label_classification", [0, 9, -9] + noise, NAMES) == (
        "fly (0.50), mouse (1.00), yeast (0.00)"
    )
    assert constant_predictions("regression", np.tile(np.arange(7), (2, 1)), []) == "0, 1, 2, 3, 4, …"


def test_one_output_that_varies_is_enough():
    outputs = np.array([[1.0, 2.0], [1.0, 3.0]])
    assert constant_predictions("regression", outputs, []) is None


def test_one_row_masked_tokens_and_what_is_no_number_are_never_called_constant():
    assert constant_predictions("single_label_classification", np.eye(3)[:1], NAMES) is None
    assert constant_predictions("regression", np.ones(1), []) is None
    assert constant_predictions("masked_lm", np.ones((4, 4)), []) is None
    assert constant_predictions("single_label_classification", np.full((4, 3), np.nan), NAMES) is None


def test_the_same_answer_for_every_row_is_noted_for_every_problem_and_ends_no_evaluation():
    losses = np.ones((2, 3), np.float32)
    for problem, outputs, labels in (
        ("single_label_classification", np.eye(3)[[1, 1]], np.array([0, 2])),
        ("multi_label_classification", np.zeros((2, 3)), np.array([[0, 1, 0], [1, 0, 0]])),
        ("regression", np.full((2, 1), 1e-9), np.array([1e-3, 5e-3])),
        ("token_classification", (np.array([[IGNORED, 1, 1]] * 2), losses), np.array([[IGNORED, 0, 1]] * 2)),
    ):
        assert compute_metrics(problem, NAMES)(EvalPrediction(outputs, labels))["constant"] == 1, problem
    small = compute_metrics("regression", [])(EvalPrediction(np.array([[1e-6], [5e-6]]), np.array([1e-6, 5e-6])))
    assert small["constant"] == 0
