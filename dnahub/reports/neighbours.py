"""Embeddings and labels -> k nearest neighbours by cosine."""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from dnahub.reports.fitting import Features, Fit, Folds, Rows, held_out_loss
from dnahub.tasks.task import Labels, Task

K_GRID = (1, 3, 10, 30, 100)


def fit_neighbours(train: Rows, folds: Folds, task: Task, meaning: Labels) -> Fit:
    """
    The classes of the k nearest rows of train by cosine similarity; arguments as of `fit_linear`, of classes.

    The k with the lowest log loss on held-out rows is used. The probability of a class is its share of the k votes and
    of one more, which all classes share alike: a class without votes is not impossible.
    """
    of_folds = [_nearest(rows, held.features) for rows, held in folds]
    candidates, outputs = [], []
    for k in K_GRID:
        if k > min(each.shape[1] for each in of_folds):
            break
        outputs.append([_vote(nearest[:, :k], task, meaning) for nearest in of_folds])
        loss = np.mean([held_out_loss(task, each, *fold) for each, fold in zip(outputs[-1], folds, strict=True)])
        candidates.append({"k": k, "validation_log_loss": float(loss)})
    best = int(np.argmin([each["validation_log_loss"] for each in candidates]))
    k = K_GRID[best]
    return Fit(
        lambda features: _vote(_nearest(train, features, k), task, meaning),
        np.concatenate(outputs[best]),
        {"rows": len(train.labels), "k": k, "candidates": candidates},
    )


def _nearest(rows: Rows, features: Features, k: int = K_GRID[-1]) -> np.ndarray:
    """The labels of the k nearest rows, or of all if there are fewer, the nearest first, (features, k)."""
    # Of vectors of length 1, the nearest by Euclid are those by cosine, and found faster.
    search = NearestNeighbors(n_neighbors=min(k, len(rows.labels)), algorithm="brute").fit(normalize(rows.features))
    with threadpool_limits(1):
        return rows.labels[search.kneighbors(normalize(features), return_distance=False)]


def _vote(nearest: np.ndarray, task: Task, meaning: Labels) -> np.ndarray:
    votes = np.zeros((len(nearest), meaning.num_outputs))
    np.add.at(votes, (np.arange(len(nearest))[:, None], nearest), 1)
    return task.baseline_outputs(np.log(votes + 1 / meaning.num_outputs), np.arange(meaning.num_outputs), meaning)
