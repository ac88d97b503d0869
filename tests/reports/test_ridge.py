"""Ridge regression: beside the normal equations, and a penalty chosen by validation."""

import numpy as np

from dnahub.reports.ridge import ALPHA_GRID, fit_ridge


def by_normal_equations(features, targets, alpha):
    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0)
    train, test = ((features[split] - mean) / deviation for split in ("train", "test"))
    centre = targets["train"].mean(axis=0)
    weights = np.linalg.solve(train.T @ train + alpha * np.eye(train.shape[1]), train.T @ (targets["train"] - centre))
    return test @ weights + centre


def test_it_is_the_solution_of_the_normal_equations_with_the_penalty_that_validation_chose():
    rng = np.random.default_rng(0)
    features = {split: rng.normal(size=(40, 30)) * 3 + 1 for split in ("train", "validation", "test")}
    weights = rng.normal(size=(30, 2))
    targets = {split: matrix @ weights + rng.normal(size=(40, 2)) * 25 for split, matrix in features.items()}

    predictions, alpha = fit_ridge(features, targets)

    np.testing.assert_allclose(predictions, by_normal_equations(features, targets, alpha), rtol=1e-8)
    of_validation = {"train": features["train"], "test": features["validation"]}
    errors = {
        each: np.square(by_normal_equations(of_validation, targets, each) - targets["validation"]).mean()
        for each in ALPHA_GRID
    }
    assert alpha == min(errors, key=errors.get) and ALPHA_GRID[0] < alpha < ALPHA_GRID[-1]


def test_single_numbers_stay_single():
    rng = np.random.default_rng(1)
    features = {split: rng.normal(size=(20, 3)) for split in ("train", "validation", "test")}
    targets = {split: matrix[:, 0] for split, matrix in features.items()}

    assert fit_ridge(features, targets)[0].shape == (20,)
