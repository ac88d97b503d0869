"""Seed and epoch -> the rows of each step, whatever the number of processes, and in a resumed run."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from dnahub.training.crops import Crops


class EpochRows(Sampler):
    """
    Rows in an order that depends on seed and epoch alone: transformers' own samplers differ in a resumed run.

    Rows that do not fill a step are dropped, others in each epoch. With `crops`, windows are drawn: a row and a start
    each. With `classes`, the class of each row, all come equally often; with `lengths`, those of a step are alike.
    """

    def __init__(
        self,
        num_rows: int,
        rows_per_step: int,
        seed: int,
        crops: Crops | None = None,
        classes: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
    ):
        self.rows = np.arange(num_rows) if crops is None else np.repeat(np.arange(num_rows), crops.windows_of_row)
        self.rows_per_step = rows_per_step
        self.seed = seed
        self.crops, self.classes, self.lengths = crops, classes, lengths
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.rows_per_step * self.rows_per_step or len(self.rows)

    def __iter__(self) -> Iterator[int] | Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.classes is None:
            rows = self.rows[rng.permutation(len(self.rows))[: len(self)]]
        else:
            rows = self.rows[draw_balanced(self.classes[self.rows], len(self), rng)]
        starts = None if self.crops is None else self.crops.draw_starts(rows, rng)
        if self.lengths is not None:
            generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
            lengths = self.lengths[rows].tolist()
            rows = rows[get_length_grouped_indices(lengths, self.rows_per_step, generator=generator)]
        return iter(rows.tolist()) if starts is None else zip(rows.tolist(), starts.tolist(), strict=True)


def draw_balanced(classes: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """
    `number` places in `classes`, each class as often as any other: int64 (number,), in random order.

    Within a class, each place is drawn as often as any other; counts differ by at most one. Classes alternate, so that
    a step has about as many rows of each: steps in which a class is rare by chance make the loss noisier.
    """
    _, sizes = np.unique(classes, return_counts=True)
    members = np.split(np.argsort(classes, kind="stable"), sizes.cumsum()[:-1])
    quotas = number // len(sizes) + (rng.permutation(len(sizes)) < number % len(sizes))
    drawn, times = [], []
    for places, quota in zip(members, quotas, strict=True):
        of_class = [np.tile(places, quota // len(places)), rng.permutation(places)[: quota % len(places)]]
        drawn.append(rng.permutation(np.concatenate(of_class)))
        times.append((np.arange(quota) + rng.random(quota)) / max(1, quota))  # in [0, 1), evenly spread
    return np.concatenate(drawn)[np.concatenate(times).argsort()]
