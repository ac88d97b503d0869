"""Sequences and labels of three splits -> scores on test of linear models of k-mer counts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from dnahub.reports.kmers import baseline_features
from dnahub.reports.linear_probe import measure_probe
from dnahub.tasks.task import Labels, Task

# Most rows of train, and of validation, that are used: fitting 60,000 takes 10 s of CPU time.
MAX_ROWS = 100_000
# 8,333 rows of 12,000 nt; counting takes 0.04 s for 1 Mnt.
MAX_NT = 100_000_000
ROWS_AT_ONCE = 1_000  # 12 MB of such sequences; `datasets` takes 40 µs for one row alone


def measure_baselines(task: Task, splits: DatasetDict, meaning: Labels) -> dict[str, Any]:
    """
    Fit and measure a linear model on each of `baseline_features`.

    Train and validation are sampled at random where they have more than `MAX_ROWS` rows or `MAX_NT` nt; test is used
    whole, as it is for the model.

    Args:
        splits: train, validation and test, with columns `sequence` and `label`.

    Returns:
        Name of each baseline -> what `measure_probe` gives. Empty where the rows used of train have one label only,
        or validation has none of train's labels.
    """
    rows = {split: _sample(splits[split]) for split in ("train", "validation")} | {"test": splits["test"]}
    labels = {split: np.array(rows[split]["label"]) for split in rows}
    if task.fits_classes:
        if len(np.unique(labels["train"])) < 2 or not np.isin(labels["validation"], labels["train"]).any():
            return {}
    counts = {split: baseline_features(_sequences(rows[split])) for split in rows}
    return {
        name: measure_probe({split: counts[split][name] for split in rows}, labels, task, meaning)
        for name in counts["train"]
    }


def _sample(rows: Dataset) -> Dataset:
    """As many random rows as `MAX_ROWS` and `MAX_NT` allow, in their order; at least one."""
    drawn = np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS]
    batches = rows.select(drawn).select_columns("sequence").with_format("arrow").iter(ROWS_AT_ONCE)
    nt = np.concatenate([pc.binary_length(batch["sequence"]).to_numpy() for batch in batches])
    num_fitting = np.searchsorted(nt.cumsum(dtype=np.int64), MAX_NT, side="right")
    return rows.select(np.sort(drawn[: max(1, num_fitting)]))


def _sequences(rows: Dataset) -> Iterator[str]:
    for batch in rows.select_columns("sequence").iter(ROWS_AT_ONCE):
        yield from batch["sequence"]
