"""Sequences and labels of three splits -> what linear fits on k-mer counts reach on test."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from dnahub.reports.intervals import bootstrap_intervals
from dnahub.reports.kmers import baseline_features
from dnahub.reports.linear_probe import fit_linear_probe
from dnahub.reports.ridge import fit_ridge
from dnahub.tasks.task import Labels, Task

# Rows of train and of validation that are used at most: to fit 60,000 took 5 s of CPU time.
MAX_ROWS = 100_000
# Of sequences of 12,000 nt 8,333 rows: to count 1 Mnt of them took 0.09 s.
MAX_NT = 100_000_000
ROWS_AT_ONCE = 1_000  # 12 MB of such sequences


def measure_baselines(task: Task, splits: DatasetDict, meaning: Labels) -> dict[str, Any]:
    """
    Fit a logistic regression, or for several labels and numbers a ridge regression, on each of `baseline_features`.

    Of train and validation, rows are sampled where there are more than `MAX_ROWS`, or more than `MAX_NT` nt; test is
    used whole, as it is for the model.

    Args:
        task: What the model is trained for; it says which of the two, see `Task.fits_classes`.
        splits: train, validation and test, with columns `sequence` and `label`.
        meaning: What the labels mean.

    Returns:
        By the name of each baseline `rows` (of train that were used), the strength of the penalty that validation
        chose (`C` or `alpha`), and the metrics on test with `intervals`, as `task.measure` gives them of a model.
        Empty where the rows of train that were drawn have one label only.
    """
    rows = {split: _sample(splits[split]) for split in ("train", "validation")} | {"test": splits["test"]}
    labels = {split: np.array(rows[split]["label"]) for split in rows}
    if task.fits_classes and len(np.unique(labels["train"])) < 2:
        return {}
    counts = {split: baseline_features(_sequences(rows[split])) for split in rows}
    measured = {}
    for name in counts["train"]:
        fit = _fit_classes if task.fits_classes else _fit_numbers
        penalty, predicted, classes = fit({split: counts[split][name] for split in rows}, labels)
        outputs = task.baseline_outputs(predicted, classes, meaning)
        scores = task.measure(outputs, labels["test"], meaning.names)
        intervals = bootstrap_intervals(task, outputs, labels["test"], meaning.names)
        measured[name] = {"rows": len(labels["train"]), **penalty, **scores, "intervals": intervals}
    return measured


def _sample(rows: Dataset) -> Dataset:
    """As many rows, drawn at random, as `MAX_ROWS` and `MAX_NT` allow, in their order."""
    drawn = np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS]
    batches = rows.select(drawn).select_columns("sequence").with_format("arrow").iter(ROWS_AT_ONCE)
    nt = np.concatenate([pc.binary_length(batch["sequence"]).to_numpy() for batch in batches])
    num_fitting = np.searchsorted(nt.cumsum(dtype=np.int64), MAX_NT, side="right")
    return rows.select(np.sort(drawn[: max(1, num_fitting)]))


def _sequences(rows: Dataset) -> Iterator[str]:
    for batch in rows.select_columns("sequence").iter(ROWS_AT_ONCE):
        yield from batch["sequence"]


def _fit_classes(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """The strength of the penalty that validation chose, logits on test, and the class of each logit."""
    known = np.isin(labels["validation"], labels["train"])
    fit = fit_linear_probe(
        {**features, "validation": features["validation"][known]},
        {"train": labels["train"], "validation": labels["validation"][known]},
    )
    return {"C": fit.C}, fit.logits, fit.labels


def _fit_numbers(
    features: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> tuple[dict[str, float], np.ndarray, None]:
    predicted, alpha = fit_ridge(features, labels)
    return {"alpha": alpha}, predicted, None
