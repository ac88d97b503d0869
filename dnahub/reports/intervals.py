"""Outputs and labels of test sequences -> 95 % bootstrap intervals of the metrics."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dnahub.tasks.task import Task

PERCENTILES = (2.5, 97.5)
MOST_RESAMPLES, FEWEST_RESAMPLES = 300, 100
# Resamples x outputs at most, but for the fewest resamples: 6,000 rows of 6 classes took 1.3 s.
OUTPUTS_AT_MOST = 20_000_000


@dataclass(frozen=True)
class Predictions:
    """Of a model or baseline, for the rows of a split, in their order."""

    outputs: np.ndarray  # logits or numbers, as `Task.measure` takes them: (rows, outputs) or (rows, tokens, outputs)
    labels: np.ndarray  # as the collator makes them, (rows, ...)
    groups: pa.Array | None = None  # (rows,), such as the gene of each; None: rows are independent


def bootstrap_intervals(
    task: Task, outputs: np.ndarray, labels: np.ndarray, label_names: list[str], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """
    The percentile bootstrap over sequences, also where tokens have labels; the other arguments are of `task.measure`.

    Rows are taken as independent; those of one gene are not quite, which makes the true interval wider: a bootstrap
    over genes gave intervals 10 to 30 % wider for k-mer baselines on real coding sequences.

    Returns:
        Lower and upper end by the names of `task.metrics`, without the loss and without what is undefined; a resample
        in which a metric is undefined does not count for it. Empty if an output is not finite.
    """
    if not len(labels) or not np.isfinite(outputs).all():
        return {}
    generator = np.random.default_rng(seed)
    values: dict[str, list[float]] = defaultdict(list)
    for _ in range(num_resamples(outputs.size)):
        rows = generator.integers(len(labels), size=len(labels))
        measured = task.measure(outputs[rows], labels[rows], label_names)
        for name in task.metrics:
            if measured.get(name) is not None:
                values[name].append(measured[name])
    return {name: tuple(map(float, np.percentile(found, PERCENTILES))) for name, found in values.items()}


def num_resamples(num_outputs: int) -> int:
    """How many resamples are drawn, given how many numbers the model gave: fewer where each takes longer."""
    return min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, OUTPUTS_AT_MOST // max(1, num_outputs)))
