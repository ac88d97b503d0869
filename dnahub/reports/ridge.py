"""Features and numbers of three splits -> test predictions of a ridge regression."""

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

# Strengths of the L2 penalty that are tried; features are standardised.
ALPHA_GRID = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)


def fit_ridge(features: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """
    Fit ridge regressions on train, choose the penalty by squared error on validation, predict test once with that one.

    Args:
        features: "train", "validation", "test" -> (examples, features), finite numbers.
        targets: "train", "validation" -> (examples,) or (examples, numbers).

    Returns:
        Predictions of test, (examples,) or (examples, numbers), and the strength of the penalty.
    """
    scaler = StandardScaler().fit(features["train"])
    scaled = {split: scaler.transform(matrix) for split, matrix in features.items()}
    fits = {alpha: Ridge(alpha=alpha).fit(scaled["train"], targets["train"]) for alpha in ALPHA_GRID}
    errors = {
        alpha: np.square(fit.predict(scaled["validation"]) - targets["validation"]) for alpha, fit in fits.items()
    }
    best = min(fits, key=lambda alpha: errors[alpha].mean())
    return fits[best].predict(scaled["test"]), best
