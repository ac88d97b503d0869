"""The probe, its choice of C, and what it refuses."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from dnahub.reports.linear_probe import C_GRID, fit_linear_probe

SPLITS = ("train", "validation", "test")


@pytest.fixture
def clouds():
    """Three overlapping clouds of points on scales from 0.01 to 100, and their labels."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 8))
    features, labels = {}, {}
    for split, num_examples in zip(SPLITS, (150, 60, 90), strict=True):
        labels[split] = np.arange(num_examples) % 3
        points = centres[labels[split]] + generator.normal(size=(num_examples, 8))
        features[split] = (points * np.logspace(-2, 2, 8)).astype(np.float32)
    return features, labels


def test_the_chosen_model_is_the_one_that_a_plain_loop_chooses(clouds):
    features, labels = clouds
    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0)
    scaled = {split: (matrix - mean) / deviation for split, matrix in features.items()}
    losses, predictions = [], []
    for c in C_GRID:
        model = LogisticRegression(C=c, max_iter=5000).fit(scaled["train"], labels["train"])
        losses.append(log_loss(labels["validation"], model.predict_proba(scaled["validation"])))
        predictions.append(model.predict(scaled["test"]))

    fit = fit_linear_probe(features, labels)
    # Tried up to the first C that is worse than the one before.
    tried = int(np.argmin(losses)) + 2
    assert [candidate["C"] for candidate in fit.candidates] == list(C_GRID[:tried])
    assert [candidate["validation_log_loss"] for candidate in fit.candidates] == pytest.approx(
        losses[:tried], rel=1e-2
    )
    assert C_GRID[int(np.argmin(losses))] == fit.C
    assert (fit.predictions == predictions[int(np.argmin(losses))]).mean() > 0.98
    assert fit.converged
    assert (fit.predictions == labels["test"]).mean() > 0.7


@pytest.mark.parametrize("num_labels", [2, 3])
def test_logits_of_the_test_examples_are_those_of_the_probabilities(clouds, num_labels):
    features, labels = clouds
    kept = {split: labels[split] < num_labels for split in SPLITS}
    features = {split: matrix[kept[split]] for split, matrix in features.items()}
    labels = {split: 10 * each[kept[split]] for split, each in labels.items()}
    fit = fit_linear_probe(features, labels)

    scaler = StandardScaler().fit(features["train"])
    model = LogisticRegression(C=fit.C, max_iter=5000).fit(scaler.transform(features["train"]), labels["train"])
    assert fit.labels.tolist() == [0, 10, 20][:num_labels]
    expected = model.predict_proba(scaler.transform(features["test"]))
    np.testing.assert_allclose(softmax(fit.logits, axis=1), expected, atol=0.01)
    np.testing.assert_array_equal(fit.labels[fit.logits.argmax(axis=1)], fit.predictions)


def test_test_examples_have_no_say_in_the_choice(clouds):
    features, labels = clouds
    fit = fit_linear_probe(features, labels)
    shuffled = {**labels, "test": np.random.default_rng(1).permutation(labels["test"])}
    other = fit_linear_probe({**features, "test": features["test"][::-1]}, shuffled)
    assert other.candidates == fit.candidates
    np.testing.assert_array_equal(other.predictions, fit.predictions[::-1])


def test_a_fit_that_did_not_converge_says_so_and_warns(clouds):
    with pytest.warns(ConvergenceWarning):
        fit = fit_linear_probe(*clouds, c_grid=(1.0,), max_iter=1)
    assert not fit.converged
    assert fit.candidates[0]["converged"] is False
    assert fit.candidates[0]["iterations"] == 1


def test_a_constant_feature_does_no_harm(clouds):
    features, labels = clouds
    with_constant = {split: np.pad(matrix, ((0, 0), (0, 1)), constant_values=7) for split, matrix in features.items()}
    np.testing.assert_array_equal(
        fit_linear_probe(with_constant, labels).predictions, fit_linear_probe(features, labels).predictions
    )


def test_nan_among_the_features_is_an_error_with_its_row(clouds):
    features, labels = clouds
    features["test"][4, 2] = np.nan
    with pytest.raises(ValueError, match="test.*row 4"):
        fit_linear_probe(features, labels)


def test_features_and_labels_of_different_numbers_are_an_error(clouds):
    features, labels = clouds
    with pytest.raises(ValueError, match="60 .*59 .*validation"):
        fit_linear_probe(features, {**labels, "validation": labels["validation"][1:]})


def test_one_label_alone_in_train_is_an_error(clouds):
    features, labels = clouds
    with pytest.raises(ValueError, match=r"1 label.*train"):
        fit_linear_probe(features, {**labels, "train": np.zeros(150, dtype=int)})


def test_a_label_that_train_lacks_is_an_error(clouds):
    features, labels = clouds
    labels["test"][0] = 9
    with pytest.raises(ValueError, match="label 9.*test.*train"):
        fit_linear_probe(features, labels)
