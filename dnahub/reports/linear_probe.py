"""Features and labels -> logistic or ridge regression whose penalty held-out rows chose."""

import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dnahub.reports.fitting import Features, Fit, Folds, Rows, held_out_loss
from dnahub.tasks.task import Labels, Task, columns

# Inverse strengths of the L2 penalty of a logistic regression, strongest first. On 60-nt windows of real CDS of six
# species, the k-mer baselines chose 0.001 to 0.1.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Strengths of the L2 penalty of a ridge regression.
ALPHA_GRID = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
# From zero, L-BFGS took at most 260 iterations for 5400 rows of 128 to 1024 strongly correlated features.
MAX_ITER = 2000
# Sparse features become dense where more of them than this are not 0: centred, 50,000 rows of 64 3-mers took a fifth
# of the time, and dense numbers of 4 bytes take no more than two times the memory.
DENSE = 0.3
# Of train, by which the penalty of a logistic regression is chosen; it is then fitted on all rows.
CHOOSING_ROWS = 10_000


def fit_linear(train: Rows, folds: Folds, task: Task, meaning: Labels) -> Fit:
    """
    Fit a logistic regression, or for several labels or numbers a ridge regression, on train.

    Features are standardised: dense ones by mean and deviation, sparse ones by the deviation alone, which with an
    intercept is the same model. Sparse ones of which many are not 0 become dense. The penalty with the lowest log loss
    (ridge: squared error) on held-out rows is used.

    Args:
        train: Two labels or more.
        folds: Held-out rows whose label the fold's other rows lack do not count.
        task: Of labels of sequences; it says which of the two models, see `Task.fits_classes`.

    Returns:
        Its facts are `rows` and `num_features` of train, the chosen penalty (`C` or `alpha`), `converged` (False if
        L-BFGS needs more than `MAX_ITER` iterations; the fit is used), and `candidates`, the held-out loss of every
        penalty tried: those of a logistic regression grow weaker until the loss rises.
    """
    facts = {"rows": len(train.labels), "num_features": train.features.shape[1]}
    if issparse(train.features) and train.features.nnz > DENSE * np.prod(train.features.shape):
        sparse, train = train, Rows(_dense(train.features), train.labels)
        folds = [
            (train if fitted is sparse else Rows(_dense(fitted.features), fitted.labels), held)
            for fitted, held in folds
        ]
    # On two busy cores, a fit of 48,000 rows of 128 took 1.5 s with one thread, and over 100 s with two.
    with threadpool_limits(1, "blas"):
        fit = (_fit_logistic if task.fits_classes else _fit_ridge)(train, folds, task, meaning)
    return Fit(fit.predict, fit.held_out, facts | fit.facts)


def _fit_logistic(train: Rows, folds: Folds, task: Task, meaning: Labels) -> Fit:
    def new_model():
        scaler = StandardScaler(with_mean=not issparse(train.features))
        return make_pipeline(scaler, LogisticRegression(max_iter=MAX_ITER, warm_start=True))

    def predict(model, features: Features) -> np.ndarray:
        logits = model.decision_function(features if issparse(train.features) else _dense(features))
        if logits.ndim == 1:  # with two labels, scikit-learn gives the log odds of the second
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        return task.baseline_outputs(logits, model.classes_, meaning)

    models = [new_model() for _ in folds]
    choosing = [_some(rows) for rows, _ in folds]
    candidates, outputs = [], []
    for c in C_GRID:
        for model, rows in zip(models, choosing, strict=True):
            model.set_params(logisticregression__C=c).fit(rows.features, rows.labels)
        outputs.append([predict(model, held.features) for model, (_, held) in zip(models, folds, strict=True)])
        loss = np.mean([held_out_loss(task, each, *fold) for each, fold in zip(outputs[-1], folds, strict=True)])
        candidates.append({"C": c, "validation_log_loss": float(loss)})
        if len(candidates) > 1 and loss > candidates[-2]["validation_log_loss"]:
            break
    best = int(np.argmin([each["validation_log_loss"] for each in candidates]))
    model = models[0] if len(folds) == 1 else new_model()  # its weights are near those of all rows
    model.set_params(logisticregression__C=C_GRID[best]).fit(train.features, train.labels)
    held_out = [predict(model, folds[0][1].features)] if len(folds) == 1 else outputs[best]
    converged = int(np.max(model[-1].n_iter_)) < MAX_ITER
    facts = {"C": C_GRID[best], "converged": converged, "candidates": candidates}
    return Fit(lambda features: predict(model, features), np.concatenate(held_out), facts)


def _dense(features: Features) -> np.ndarray:
    return features.toarray() if issparse(features) else features


def _some(rows: Rows) -> Rows:
    """`CHOOSING_ROWS` random rows, one of every label among them."""
    if len(rows.labels) <= CHOOSING_ROWS:
        return rows
    drawn = np.random.default_rng(0).permutation(len(rows.labels))[:CHOOSING_ROWS]
    return rows.take(np.union1d(drawn, np.unique(rows.labels, return_index=True)[1]))


def _fit_ridge(train: Rows, folds: Folds, task: Task, meaning: Labels) -> Fit:
    candidates, outputs = [], []
    paths = [_RidgePath(rows) for rows, _ in folds]
    for alpha in ALPHA_GRID:
        outputs.append([path.predict(held.features, alpha) for path, (_, held) in zip(paths, folds, strict=True)])
        pairs = zip(outputs[-1], folds, strict=True)
        error = np.mean([np.square(each - columns(held.labels)).mean() for each, (_, held) in pairs])
        candidates.append({"alpha": alpha, "validation_squared_error": float(error)})
    best = int(np.argmin([each["validation_squared_error"] for each in candidates]))
    path = paths[0] if len(folds) == 1 else _RidgePath(train)

    def to_outputs(numbers: np.ndarray) -> np.ndarray:
        return task.baseline_outputs(numbers.reshape(-1, *train.labels.shape[1:]), None, meaning)

    return Fit(
        lambda features: to_outputs(path.predict(features, ALPHA_GRID[best])),
        to_outputs(np.concatenate(outputs[best])),
        {"alpha": ALPHA_GRID[best], "converged": True, "candidates": candidates},
    )


class _RidgePath:
    """Ridge regressions of all penalties, from one eigendecomposition: sparse rows need not be centred, or dense."""

    def __init__(self, rows: Rows):
        self._scaler = StandardScaler(with_mean=False)
        scaled = self._scaler.fit_transform(rows.features.astype(np.float64))
        numbers = columns(rows.labels)
        self._mean, self._centre = np.asarray(scaled.mean(axis=0)).ravel(), numbers.mean(axis=0)
        gram = scaled.T @ scaled
        gram = (gram.toarray() if issparse(gram) else gram) - len(numbers) * np.outer(self._mean, self._mean)
        self._values, self._vectors = np.linalg.eigh(gram)
        self._target = self._vectors.T @ (scaled.T @ (numbers - self._centre))

    def predict(self, features: Features, alpha: float) -> np.ndarray:
        """(rows, outputs)"""
        weights = self._vectors @ (self._target / (np.maximum(self._values, 0) + alpha)[:, None])
        scaled = self._scaler.transform(features.astype(np.float64))
        return scaled @ weights + (self._centre - self._mean @ weights)
