"""The linear models of probe and baselines, against a plain loop over the penalties."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from dnahub.reports import linear_probe
from dnahub.reports.linear_probe import ALPHA_GRID, C_GRID, measure_majority, measure_probe
from dnahub.tasks import TASKS
from dnahub.tasks.classification import NEVER
from dnahub.tasks.task import Labels

CLASSIFICATION = TASKS["classification"]

ROWS = {"train": 150, "validation": 60, "test": 90}


def meaning(num_labels: int = 3) -> Labels:
    return Labels([f"label {i}" for i in range(num_labels)], num_labels)


@pytest.fixture
def clouds():
    """Three overlapping clouds of points on scales from 0.01 to 100, and their labels."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 8))
    features, labels = {}, {}
    for split, num_rows in ROWS.items():
        labels[split] = np.arange(num_rows) % 3
        points = centres[labels[split]] + generator.normal(size=(num_rows, 8))
        features[split] = (points * np.logspace(-2, 2, 8)).astype(np.float32)
    return features, labels


@pytest.fixture
def measured(monkeypatch):
    """Outputs on test that were measured."""
    outputs = []
    score = linear_probe._score
    monkeypatch.setattr(linear_probe, "_score", lambda *given: outputs.append(given[0]) or score(*given))
    return outputs


@pytest.mark.parametrize("num_labels", [2, 3])
def test_the_chosen_model_is_that_of_a_plain_loop_fitted_on_train_alone(clouds, measured, num_labels):
    features, labels = clouds
    kept = {split: labels[split] < num_labels for split in ROWS}
    features, labels = ({split: each[split][kept[split]] for split in ROWS} for each in (features, labels))
    scores = measure_probe(features, labels, CLASSIFICATION, meaning(num_labels))

    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0)
    scaled = {split: (matrix - mean) / deviation for split, matrix in features.items()}
    models = [LogisticRegression(C=c, max_iter=5000).fit(scaled["train"], labels["train"]) for c in C_GRID]
    losses = [log_loss(labels["validation"], model.predict_proba(scaled["validation"])) for model in models]
    best = int(np.argmin(losses))
    assert [candidate["C"] for candidate in scores["candidates"]] == list(C_GRID)
    assert [each["validation_log_loss"] for each in scores["candidates"]] == pytest.approx(losses, rel=1e-2)
    assert (scores["C"], scores["converged"], scores["num_features"]) == (C_GRID[best], True, 8)
    assert len(measured) == 1  # test is predicted once
    np.testing.assert_allclose(softmax(measured[0], axis=1), models[best].predict_proba(scaled["test"]), atol=0.01)
    assert scores["accuracy"] == (measured[0].argmax(axis=1) == labels["test"]).mean() > 0.7
    low, high = scores["intervals"]["accuracy"]
    assert low < scores["accuracy"] < high


def test_a_fit_that_did_not_converge_is_marked_and_scikit_learn_warns(clouds, monkeypatch):
    monkeypatch.setattr(linear_probe, "MAX_ITER", 1)
    with pytest.warns(ConvergenceWarning):
        assert measure_probe(*clouds, CLASSIFICATION, meaning())["converged"] is False


def test_a_label_that_train_lacks_is_never_predicted_and_not_validated_on(clouds, measured):
    features, labels = clouds
    labels["train"] = np.where(labels["train"] == 1, 0, labels["train"])
    measure_probe(features, labels, CLASSIFICATION, meaning())
    assert (measured[0][:, 1] == NEVER).all() and (measured[0][:, [0, 2]] > NEVER).all()
    known = labels["validation"] != 1
    without = {**features, "validation": features["validation"][known]}
    measure_probe(without, {**labels, "validation": labels["validation"][known]}, CLASSIFICATION, meaning())
    np.testing.assert_array_equal(measured[0], measured[1])


def test_the_majority_is_that_of_train(clouds):
    _, labels = clouds
    labels["train"][:60] = 2
    confusion = measure_majority(labels, CLASSIFICATION, meaning())["confusion_matrix"]
    assert np.array(confusion)[:, 2].tolist() == [30, 30, 30]


def by_normal_equations(features, numbers, alpha, split):
    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0)
    train, other = ((features[each] - mean) / deviation for each in ("train", split))
    centre = numbers["train"].mean(axis=0)
    weights = np.linalg.solve(train.T @ train + alpha * np.eye(train.shape[1]), train.T @ (numbers["train"] - centre))
    return other @ weights + centre


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_ridge_is_the_solution_of_the_normal_equations_with_the_penalty_that_validation_chose(task, measured):
    rng = np.random.default_rng(0)
    features = {split: rng.normal(size=(40, 30)) * 3 + 1 for split in ROWS}
    weights = rng.normal(size=(30, 2))
    numbers = {split: matrix @ weights + rng.normal(size=(40, 2)) * 25 for split, matrix in features.items()}
    if task == "multi_label":
        numbers = {split: (values > 0).astype(float) for split, values in numbers.items()}
    scores = measure_probe(features, numbers, TASKS[task], Labels(["a", "b"], 2))

    errors = [
        np.square(by_normal_equations(features, numbers, alpha, "validation") - numbers["validation"]).mean()
        for alpha in ALPHA_GRID
    ]
    assert [each["validation_squared_error"] for each in scores["candidates"]] == pytest.approx(errors)
    assert scores["alpha"] == ALPHA_GRID[int(np.argmin(errors))]
    expected = by_normal_equations(features, numbers, scores["alpha"], "test")
    shift = 0.5 if task == "multi_label" else 0  # a logit above 0 means yes
    np.testing.assert_allclose(measured[0] + shift, expected, rtol=1e-8)
    assert ("macro_f1" if shift else "spearman") in scores
