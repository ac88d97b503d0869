"""Features and labels of three splits -> scores on test of a linear model whose penalty validation chose."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error
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
    features: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    task: Task,
    meaning: Labels,
    max_iter: int = MAX_ITER,
) -> dict[str, Any]:
    """
    Fit a logistic regression, or for several labels or numbers a ridge regression, and measure it on test.

    Features are standardised by the mean and deviation of train. Every penalty is fitted on train; the one with the
    lowest log loss (ridge: squared error) on validation is used. Test is predicted once.

    Args:
        features: "train", "validation", "test" -> (rows, features), finite numbers.
        labels: The same keys -> as `task.encode` makes them. Train has two labels or more; validation rows whose label
            train lacks are not used.
        task: Of labels of sequences; it says which of the two models, see `Task.fits_classes`.
        meaning: What the labels mean.
        max_iter: Most iterations of L-BFGS. A fit that needs more is used; scikit-learn warns, and `converged` is
            False.

    Returns:
        `rows` and `num_features` of train, the chosen penalty (`C` or `alpha`), `converged`, `candidates` (validation
        loss of every penalty), and the metrics of test with `intervals`, the 95 % bootstrap interval of each.
    """
    scaler = StandardScaler().fit(features["train"])
    train, validation, test = (scaler.transform(features[split]) for split in ("train", "validation", "test"))
    of_classes = task.fits_classes
    if of_classes:
        models = {value: LogisticRegression(C=value, max_iter=max_iter) for value in C_GRID}
        used = np.isin(labels["validation"], labels["train"])
    else:
        models = {value: Ridge(value) for value in ALPHA_GRID}
        used = slice(None)
    losses = {}
    # On two busy cores, a fit of 48,000 rows of 128 took 1.5 s with one thread, and over 100 s with two.
    with threadpool_limits(1, "blas"):
        for value, model in models.items():
            model.fit(train, labels["train"])
            if of_classes:
                probabilities = model.predict_proba(validation[used])
                losses[value] = log_loss(labels["validation"][used], probabilities, labels=model.classes_)
            else:
                losses[value] = mean_squared_error(labels["validation"], model.predict(validation))
    chosen = min(losses, key=losses.get)
    model = models[chosen]
    if of_classes:
        logits = model.decision_function(test)
        if logits.ndim == 1:  # with two labels, scikit-learn gives the log odds of the second
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        outputs = task.baseline_outputs(logits, model.classes_, meaning)
    else:
        outputs = task.baseline_outputs(model.predict(test), None, meaning)
    penalty, loss = ("C", "validation_log_loss") if of_classes else ("alpha", "validation_squared_error")
    return {
        "rows": len(train),
        "num_features": train.shape[1],
        penalty: chosen,
        "converged": not of_classes or int(np.max(model.n_iter_)) < max_iter,
        "candidates": [{penalty: value, loss: float(losses[value])} for value in models],
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
