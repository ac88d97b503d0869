"""The linear models of probe and baselines, against a plain loop over the penalties."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from dnahub.reports import linear_probe
from dnahub.reports.fitting import Rows, folds_of
from dnahub.reports.linear_probe import ALPHA_GRID, C_GRID, fit_linear
from dnahub.tasks import TASKS
from dnahub.tasks.classification import NEVER
from dnahub.tasks.task import Labels

CLASSIFICATION = TASKS["classification"]

ROWS = {"train": 150, "validation": 60, "test": 90}


def meaning(num_labels: int = 3) -> Labels:
    return Labels([f"label {i}" for i in range(num_labels)], num_labels)


@pytest.fixture
def clouds() -> dict[str, Rows]:
    """Three overlapping clouds of points on scales from 0.01 to 100, and their labels."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 8))
    rows = {}
    for split, num_rows in ROWS.items():
        labels = np.arange(num_rows) % 3
        points = centres[labels] + generator.normal(size=(num_rows, 8))
        rows[split] = Rows((points * np.logspace(-2, 2, 8)).astype(np.float32), labels)
    return rows


def fit_of(rows: dict[str, Rows], task=CLASSIFICATION, labels: Labels | None = None):
    return fit_linear(rows["train"], [(rows["train"], rows["validation"])], task, labels or meaning())


@pytest.mark.parametrize("num_labels", [2, 3])
def test_the_chosen_model_is_that_of_a_plain_loop_fitted_on_train_alone(clouds, num_labels):
    rows = {split: each.take(np.flatnonzero(each.labels < num_labels)) for split, each in clouds.items()}
    fit = fit_of(rows, labels=meaning(num_labels))

    mean, deviation = rows["train"].features.mean(axis=0), rows["train"].features.std(axis=0)
    scaled = {split: (each.features - mean) / deviation for split, each in rows.items()}
    models = [LogisticRegression(C=c, max_iter=5000).fit(scaled["train"], rows["train"].labels) for c in C_GRID]
    losses = [log_loss(rows["validation"].labels, model.predict_proba(scaled["validation"])) for model in models]
    best = int(np.argmin(losses))
    tried = fit.facts["candidates"]  # until the loss rises
    assert [candidate["C"] for candidate in tried] == list(C_GRID[: len(tried)]) and len(tried) >= best + 1
    assert [each["validation_log_loss"] for each in tried] == pytest.approx(losses[: len(tried)], rel=1e-2)
    assert {name: fit.facts[name] for name in ("C", "converged", "rows", "num_features")} == {
        **{"C": C_GRID[best], "converged": True, "rows": len(rows["train"].labels), "num_features": 8}
    }
    outputs = fit.predict(rows["test"].features)
    np.testing.assert_allclose(softmax(outputs, axis=1), models[best].predict_proba(scaled["test"]), atol=0.01)
    np.testing.assert_array_equal(fit.held_out, fit.predict(rows["validation"].features))


def test_sparse_features_give_the_model_of_dense_ones(clouds):
    """They are not centred, which with an intercept is the same model; also where their mean is five deviations."""
    mean = 5 * clouds["train"].features.std(axis=0)
    shifted = {split: Rows(each.features + mean, each.labels) for split, each in clouds.items()}
    sparse = {split: Rows(csr_array(each.features), each.labels) for split, each in shifted.items()}
    dense, fit = fit_of(shifted), fit_of(sparse)
    assert fit.facts["C"] == dense.facts["C"]
    outputs = [each.predict(rows["test"].features) for each, rows in ((fit, sparse), (dense, shifted))]
    np.testing.assert_allclose(*(softmax(each, axis=1) for each in outputs), atol=0.02)
    numbers = {split: Rows(each.features, each.labels.astype(float)) for split, each in sparse.items()}
    of_dense = {split: Rows(each.features.toarray(), each.labels) for split, each in numbers.items()}
    ridges = [fit_of(rows, TASKS["regression"], Labels([], 1)) for rows in (numbers, of_dense)]
    outputs = [each.predict(rows["test"].features) for each, rows in zip(ridges, (numbers, of_dense), strict=True)]
    np.testing.assert_allclose(*outputs, rtol=1e-6)


def test_the_penalty_is_chosen_on_some_rows_of_every_label_and_the_model_fitted_on_all(clouds, monkeypatch):
    train = clouds["train"]
    clouds["train"] = Rows(train.features, np.where(np.arange(150) == 7, 2, train.labels % 2))  # one row of label 2
    whole = fit_of(clouds)
    monkeypatch.setattr(linear_probe, "CHOOSING_ROWS", 100)
    fit = fit_of(clouds)
    assert fit.facts["rows"] == 150 and fit.facts["C"] == whole.facts["C"]
    assert fit.facts["candidates"] != whole.facts["candidates"]
    np.testing.assert_allclose(*(softmax(each.held_out, axis=1) for each in (fit, whole)), atol=0.01)


def test_without_validation_folds_of_whole_groups_choose_and_hold_each_row_out_once(clouds):
    train, groups = clouds["train"], np.arange(150) // 7
    folds = folds_of(train, None, pa.array([f"gene {group}" for group in groups]))
    assert len(folds) == 5
    rows_of = {tuple(row): i for i, row in enumerate(train.features.tolist())}
    for fitted, held in folds:
        of_fitted, of_held = (
            {groups[rows_of[tuple(row)]] for row in each.features.tolist()} for each in (fitted, held)
        )
        assert not of_fitted & of_held and len(fitted.labels) + len(held.labels) == 150
    held_rows = [rows_of[tuple(row)] for _, held in folds for row in held.features.tolist()]
    assert sorted(held_rows) == list(range(150))
    fit = fit_linear(train, folds, CLASSIFICATION, meaning())
    mean, deviation = train.features.mean(axis=0), train.features.std(axis=0)
    model = LogisticRegression(C=fit.facts["C"], max_iter=5000).fit((train.features - mean) / deviation, train.labels)
    expected = model.predict_proba((clouds["test"].features - mean) / deviation)
    np.testing.assert_allclose(softmax(fit.predict(clouds["test"].features), axis=1), expected, atol=0.01)
    right = fit.held_out.argmax(axis=1) == train.labels[held_rows]
    assert right.mean() > 0.7
    with pytest.raises(ValueError, match="one group"):
        folds_of(train, None, pa.array(["gene"] * 150))


def test_a_fit_that_did_not_converge_is_marked_and_scikit_learn_warns(clouds, monkeypatch):
    monkeypatch.setattr(linear_probe, "MAX_ITER", 1)
    with pytest.warns(ConvergenceWarning):
        assert fit_of(clouds).facts["converged"] is False


def test_a_label_that_train_lacks_is_never_predicted_and_not_validated_on(clouds):
    train, validation = clouds["train"], clouds["validation"]
    clouds["train"] = Rows(train.features, np.where(train.labels == 1, 0, train.labels))
    outputs = [fit_of(clouds).predict(clouds["test"].features)]
    assert (outputs[0][:, 1] == NEVER).all() and (outputs[0][:, [0, 2]] > NEVER).all()
    clouds["validation"] = validation.take(np.flatnonzero(validation.labels != 1))
    outputs.append(fit_of(clouds).predict(clouds["test"].features))
    np.testing.assert_array_equal(*outputs)


def by_normal_equations(rows, alpha, split):
    mean, deviation = rows["train"].features.mean(axis=0), rows["train"].features.std(axis=0)
    train, other = ((rows[each].features - mean) / deviation for each in ("train", split))
    centre = rows["train"].labels.mean(axis=0)
    penalty = alpha * np.eye(train.shape[1])
    weights = np.linalg.solve(train.T @ train + penalty, train.T @ (rows["train"].labels - centre))
    return other @ weights + centre


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_ridge_is_the_solution_of_the_normal_equations_with_the_penalty_that_validation_chose(task):
    rng = np.random.default_rng(0)
    weights, rows = rng.normal(size=(30, 2)), {}
    for split in ROWS:
        features = rng.normal(size=(40, 30)) * 3 + 1
        numbers = features @ weights + rng.normal(size=(40, 2)) * 25
        rows[split] = Rows(features, (numbers > 0).astype(float) if task == "multi_label" else numbers)
    fit = fit_of(rows, TASKS[task], Labels(["a", "b"], 2))

    errors = [
        np.square(by_normal_equations(rows, alpha, "validation") - rows["validation"].labels).mean()
        for alpha in ALPHA_GRID
    ]
    assert [each["validation_squared_error"] for each in fit.facts["candidates"]] == pytest.approx(errors)
    assert fit.facts["alpha"] == ALPHA_GRID[int(np.argmin(errors))]
    expected = by_normal_equations(rows, fit.facts["alpha"], "test")
    shift = 0.5 if task == "multi_label" else 0  # a logit above 0 means yes
    np.testing.assert_allclose(fit.predict(rows["test"].features) + shift, expected, rtol=1e-8)
