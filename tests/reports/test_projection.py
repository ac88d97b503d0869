"""Embeddings in the plane."""

import warnings

import numpy as np
import pytest

from dnahub.reports.projection import MIN_POINTS, project


def test_clouds_stay_apart_and_the_same_seed_gives_the_same_points_without_a_warning():
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    embeddings = (generator.normal(size=(3, 16))[labels] * 20 + generator.normal(size=(90, 16))).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        points = project(embeddings, seed=3)
        again = project(embeddings, seed=3)
    assert points.shape == (90, 2)
    np.testing.assert_array_equal(points, again)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)  # (points, points)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()


@pytest.mark.parametrize("num_points", [MIN_POINTS, 6])
def test_fewer_points_than_neighbours_are_projected(num_points):
    assert np.isfinite(project(np.eye(num_points, dtype=np.float32), seed=0)).all()
