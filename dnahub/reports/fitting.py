"""Rows with labels -> what a model is fitted on, what is held out to choose its settings, and what a fit gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from sklearn.model_selection import GroupKFold

from dnahub.reports.intervals import group_numbers
from dnahub.tasks.task import Labels, Task

NUM_FOLDS = 5  # of a cross-validation

Features = np.ndarray | csr_array  # (rows, features)


@dataclass(frozen=True)
class Rows:
    features: Features
    labels: np.ndarray  # (rows,), or of several labels or numbers (rows, outputs)

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(self.features[rows], self.labels[rows])


# Rows to fit on, and rows held out of them: train and validation, or those of a cross-validation.
Folds = list[tuple[Rows, Rows]]


@dataclass(frozen=True)
class Fit:
    predict: Callable[[Features], np.ndarray]  # features -> (rows, outputs), as `Task.measure` takes them
    held_out: np.ndarray  # the outputs for the held-out rows of all folds, one fold after the other
    facts: dict[str, Any]  # for JSON


# Rows of train, their folds, task and labels -> a model fitted on train, whose settings the folds chose.
Fitting = Callable[[Rows, Folds, Task, Labels], Fit]


def folds_of(train: Rows, validation: Rows | None, groups: pa.Array | None) -> Folds:
    """
    Train and validation; without validation, five folds of train, in which rows of one group stay together.

    Raises ValueError if train has fewer than two groups to fold.
    """
    if validation is not None:
        return [(train, validation)]
    number = group_numbers(groups, len(train.labels))
    num_folds = min(NUM_FOLDS, len(np.unique(number)))
    if num_folds < 2:
        raise ValueError("split train: all its rows are of one group, so that none can be held out; give validation.")
    split = GroupKFold(num_folds, shuffle=True, random_state=0).split(number, groups=number)
    return [(train.take(fitted), train.take(held)) for fitted, held in split]


def held_out_loss(task: Task, outputs: np.ndarray, fitted: Rows, held: Rows) -> float:
    """The mean loss of the held-out rows whose label the fitted ones have; 0 without any."""
    known = np.isin(held.labels, fitted.labels)
    return task.mean_loss(outputs[known], held.labels[known]) if known.any() else 0.0
