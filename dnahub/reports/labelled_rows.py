"""Rows to fit on -> scores of models fitted on 100, 300, 1,000, ... of them, and of all."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from dnahub.reports.baselines import choose_prior
from dnahub.reports.fitting import Features, Fitting, Rows, folds_of
from dnahub.reports.intervals import group_numbers
from dnahub.tasks.task import Labels, Task

# Numbers of rows -> how often they are drawn: the more rows, the less their models differ and the longer they take.
SIZES = {100: 3, 300: 3, 1_000: 3, 3_000: 2, 10_000: 1}
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


def subsets(num_rows: int, groups: pa.Array | None, size: int) -> Iterator[np.ndarray]:
    """As often as `SIZES` says, `size` rows, of random whole groups but for the last, in their order."""
    number = group_numbers(groups, num_rows)
    for draw in range(SIZES[size]):
        rng = np.random.default_rng(draw)
        place = rng.permutation(number.max() + 1)[number]  # of the group of each row
        yield np.sort(np.lexsort((rng.random(num_rows), place))[:size])


def measure_by_rows(
    fitting: Fitting,
    train: Rows,
    validation: Rows | None,
    test: tuple[Features, np.ndarray],
    groups: pa.Array | None,
    task: Task,
    meaning: Labels,
    metric: str,
) -> list[dict[str, Any]]:
    """
    Fit a model on parts of train, whose settings are chosen as those of the whole, and measure it on test.

    Args:
        test: Features and labels.
        metric: As of `score_fit`.
        groups: Of the rows of train.

    Returns:
        For each number of rows below that of train, but not below that of classes: `rows`, `draws` (those with fewer
        than two classes are left out) and, for each of `METRICS`, its `mean`, `lowest` and `highest` over the draws.
    """
    curve = []
    for size in (size for size in SIZES if meaning.num_outputs <= size < len(train.labels)):
        scores = []
        for rows in subsets(len(train.labels), groups, size):
            part = train.take(rows)
            if len(np.unique(part.labels)) < 2:
                continue
            folds = folds_of(part, validation, groups and groups.take(pa.array(rows)))
            fit = fitting(part, folds, task, meaning)
            _, shift, _ = choose_prior(task, meaning, metric, fit, part.labels, folds)
            scores.append(task.measure(fit.predict(test[0]) + shift, test[1], meaning.names))
        if scores:
            of_metric = {name: [each[name] for each in scores] for name in METRICS}
            spread = {
                name: {"mean": float(np.mean(each)), "lowest": min(each), "highest": max(each)}
                for name, each in of_metric.items()
            }
            curve.append({"rows": size, "draws": len(scores), **spread})
    return curve
