"""Predictions for test sequences -> 95 % bootstrap intervals of metrics, and of differences between two models."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import logit

from dnahub.tasks.task import Task

PERCENTILES = (2.5, 97.5)
MOST_RESAMPLES, FEWEST_RESAMPLES = 300, 100
# Resamples x outputs at most, but for the fewest resamples: 6,000 rows of 6 classes took 0.3 s.
OUTPUTS_AT_MOST = 20_000_000
COUNTS_AT_ONCE = 2_000_000  # 16 MB; a metric takes some such arrays


@dataclass(frozen=True)
class Predictions:
    """Of a model or baseline, for the rows of a split, in their order."""

    outputs: np.ndarray  # logits or numbers, as `Task.measure` takes them: (rows, outputs) or (rows, tokens, outputs)
    labels: np.ndarray  # as the collator makes them, (rows, ...)
    groups: pa.Array | None = None  # (rows,), such as the gene of each; None: rows are independent
    # Of the second of two classes, from which on it is predicted; None: 0.5.
    threshold: float | None = None

    @property
    def decided(self) -> np.ndarray:
        """The outputs, moved so that the highest one is the predicted class; the ranking of rows is the same."""
        return self.outputs if self.threshold is None else self.outputs - [0.0, logit(self.threshold)]


def bootstrap_intervals(
    task: Task, predictions: Predictions, label_names: list[str], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """
    The percentile bootstrap over groups, or without them over sequences, also where tokens have labels.

    Windows of one gene are alike: over genes, intervals of k-mer baselines on real coding sequences were 10 to 30 %
    wider than over windows.

    Returns:
        Lower and upper end by the names of `task.metrics` and "recall of" each class, without the loss and without
        what is undefined; a resample in which a metric is undefined does not count for it. Empty if an output is not
        finite.
    """
    measured = _measure_resamples(task, predictions, label_names, seed)
    intervals = {metric: _interval(values) for metric, values in measured.items() if metric != "loss"}
    return {metric: ends for metric, ends in intervals.items() if ends is not None}


def paired_differences(
    task: Task, model: Predictions, baseline: np.ndarray, metrics: list[str], label_names: list[str], seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """
    The 95 % interval of each metric of a model minus that of a baseline: both are measured on the same resamples.

    `baseline` are its outputs for the same rows. None where an interval is undefined.
    """
    other = Predictions(baseline, model.labels, model.groups)
    ours, theirs = (_measure_resamples(task, each, label_names, seed) for each in (model, other))
    return {
        name: _interval(ours[name] - theirs[name]) if {name} <= ours.keys() & theirs.keys() else None
        for name in metrics
    }


def num_resamples(num_outputs: int) -> int:
    """How many resamples are drawn, given how many numbers the model gave: fewer where each takes longer."""
    return min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, OUTPUTS_AT_MOST // max(1, num_outputs)))


def group_numbers(groups: pa.Array | None, num_rows: int) -> np.ndarray:
    """The number of each row's group, (rows,); missing values are one group, and without groups each row is one."""
    if groups is None:
        return np.arange(num_rows)
    return groups.dictionary_encode(null_encoding="encode").indices.to_numpy()


def _measure_resamples(
    task: Task, predictions: Predictions, label_names: list[str], seed: int
) -> dict[str, np.ndarray]:
    outputs, labels = predictions.outputs, predictions.labels
    if not len(labels) or not np.isfinite(outputs).all():
        return {}
    parts = [
        _measure(task, predictions, label_names, counts)
        for counts in _draw(len(labels), predictions.groups, num_resamples(outputs.size), len(label_names), seed)
    ]
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}


def _measure(
    task: Task, predictions: Predictions, label_names: list[str], counts: np.ndarray
) -> dict[str, np.ndarray]:
    measured = task.measure_resamples(predictions.decided, predictions.labels, label_names, counts)
    if predictions.threshold is not None:  # which is no part of the probabilities
        unmoved = task.measure_resamples(predictions.outputs, predictions.labels, label_names, counts)
        measured["loss"] = unmoved["loss"]
    return measured


def _draw(
    num_rows: int, groups: pa.Array | None, num_resamples: int, num_labels: int, seed: int
) -> Iterator[np.ndarray]:
    """How often each row is in each resample, (some resamples, rows): the same for all models."""
    generator = np.random.default_rng(seed)
    group = group_numbers(groups, num_rows)
    num_groups = group.max() + 1
    at_once = max(1, COUNTS_AT_ONCE // max(num_rows, num_labels))
    for start in range(0, num_resamples, at_once):
        drawn = generator.integers(num_groups, size=(min(at_once, num_resamples - start), num_groups))
        yield np.stack([np.bincount(each, minlength=num_groups) for each in drawn])[:, group]


def _interval(values: np.ndarray) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    return tuple(map(float, np.percentile(defined, PERCENTILES))) if len(defined) else None
