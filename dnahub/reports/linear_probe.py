"""Features and labels of three splits -> scores on test of a linear model whose penalty validation chose."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dnahub.reports.intervals import bootstrap_intervals
from dnahub.tasks.task import Labels, Task

# Inverse strengths of the L2 penalty of a logistic regression. On 60-nt windows of real CDS of six species (5400 for
# training), six random splits, the k-mer baselines chose 0.01 or 0.1, once 1; test accuracy differed by under 0.01.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Strengths of the L2 penalty of a ridge regression.
ALPHA_GRID = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
# From zero, L-BFGS took at most 260 iterations for 5400 rows of 128 to 1024 strongly correlated features.
MAX_ITER = 2000


def measure_probe(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray], task: Task, meaning: Labels
) -> dict[str, Any]:
    """
    Fit a logistic regression, or for several labels or numbers a ridge regression, and measure it on test.

    Features are standardised by the mean and deviation of train. The penalty with the lowest log loss (ridge: squared
    error) on validation is used, fitted on train alone. Test is predicted once.

    Args:
        features: "train", "validation", "test" -> (rows, features), finite numbers.
        labels: The same keys -> as `task.encode` makes them. Train has two labels or more; validation rows whose label
            train lacks are not used.
        task: Of labels of sequences; it says which of the two models, see `Task.fits_classes`.

    Returns:
        `rows` and `num_features` of train, the chosen penalty (`C` or `alpha`), `converged` (False if L-BFGS needs
        more than `MAX_ITER` iterations; the fit is used), `candidates` (validation loss of every penalty), and the
        metrics of test with `intervals`, the 95 % bootstrap interval of each.
    """
    used = np.full(len(labels["validation"]), True)
    if task.fits_classes:
        used = np.isin(labels["validation"], labels["train"])
        model, penalty, grid, loss = LogisticRegression(max_iter=MAX_ITER), "C", C_GRID, "validation_log_loss"
        # "neg_log_loss" fails where validation lacks a label of train.
        classes = np.unique(labels["train"])
        scoring = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba", labels=classes)
    else:
        model, penalty, grid, loss = Ridge(), "alpha", ALPHA_GRID, "validation_squared_error"
        scoring = "neg_mean_squared_error"
    scaled_model = Pipeline([("scale", StandardScaler()), ("model", model)])
    fold = np.repeat([-1, 0], [len(labels["train"]), used.sum()])  # -1: always fitted on
    # With refit, GridSearchCV would fit the chosen model on train and validation.
    settings = {"scoring": scoring, "cv": PredefinedSplit(fold), "refit": False, "error_score": "raise"}
    search = GridSearchCV(scaled_model, {f"model__{penalty}": grid}, **settings)
    # On two busy cores, a fit of 48,000 rows of 128 took 1.5 s with one thread, and over 100 s with two.
    with threadpool_limits(1, "blas"):
        search.fit(*(np.concatenate([each["train"], each["validation"][used]]) for each in (features, labels)))
        scaled_model.set_params(**search.best_params_).fit(features["train"], labels["train"])
    if task.fits_classes:
        logits = scaled_model.decision_function(features["test"])
        if logits.ndim == 1:  # with two labels, scikit-learn gives the log odds of the second
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        outputs = task.baseline_outputs(logits, model.classes_, meaning)
    else:
        outputs = task.baseline_outputs(scaled_model.predict(features["test"]), None, meaning)
    losses = -search.cv_results_["mean_test_score"]
    return {
        "rows": len(labels["train"]),
        "num_features": features["train"].shape[1],
        penalty: search.best_params_[f"model__{penalty}"],
        "converged": not task.fits_classes or int(np.max(model.n_iter_)) < MAX_ITER,
        "candidates": [{penalty: value, loss: float(each)} for value, each in zip(grid, losses, strict=True)],
        **_score(outputs, labels["test"], task, meaning),
    }


def measure_majority(labels: dict[str, np.ndarray], task: Task, meaning: Labels) -> dict[str, Any]:
    """Scores on test of always predicting the most frequent label of train; arguments as of `measure_probe`."""
    outputs = np.zeros((len(labels["test"]), meaning.num_outputs))
    outputs[:, np.bincount(labels["train"]).argmax()] = 1
    return _score(outputs, labels["test"], task, meaning)


def _score(outputs: np.ndarray, labels: np.ndarray, task: Task, meaning: Labels) -> dict[str, Any]:
    intervals = bootstrap_intervals(task, outputs, labels, meaning.names)
    return {**task.measure(outputs, labels, meaning.names), "intervals": intervals}
