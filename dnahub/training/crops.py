"""Rows of sequences -> windows drawn from them, others in every epoch, as token ids."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from dnahub.training.tokens import NUM_TOKENS, token_ids

SAMPLE = 500  # windows that are tokenised to learn how many tokens they have
ROWS_AT_ONCE = 1_000


class Crops(torch.utils.data.Dataset):
    """
    The windows of `crop_nt` of each row, at multiples of `crop_step` from its first nt; an item is (row, start).

    A row that is not longer than `crop_nt` is one window, whole. Of a window of more than `max_tokens` tokens, as of
    one with many N, the end is cut off.
    """

    def __init__(
        self, rows: Dataset, tokenizer: PreTrainedTokenizerFast, crop_nt: int, crop_step: int, max_tokens: int
    ):
        self.tokenizer, self.crop_nt, self.crop_step, self.max_tokens = tokenizer, crop_nt, crop_step, max_tokens
        # In the memory map of the data set, unless its rows were selected.
        self.sequences = rows.select_columns("sequence").with_format("arrow")[:]["sequence"]
        self.labels = (
            np.asarray(rows.select_columns("label").with_format("numpy")[:]["label"])
            if "label" in rows.features
            else None
        )
        self.lengths = pc.binary_length(self.sequences).to_numpy()  # (rows,)
        # As many as fit without overlap: a row counts by its length, and an epoch keeps its meaning.
        self.windows_of_row = np.maximum(1, self.lengths // crop_nt)
        self.num_whole = int((self.lengths <= crop_nt).sum())
        longer = np.flatnonzero(self.lengths > crop_nt)[:SAMPLE]
        if not len(longer):
            raise ValueError(
                f"--crop_nt {crop_nt} has no effect, for no row of train is longer; leave it out, or give longer "
                "rows, such as those of dataset_builder --whole_genes."
            )
        num_tokens = np.median([made[NUM_TOKENS] for made in self.__getitems__([(row, 0) for row in longer.tolist()])])
        if num_tokens > max_tokens:
            raise ValueError(
                f"--crop_nt {crop_nt}: such windows have {num_tokens:.0f} tokens, but the model or --max_length takes "
                f"{max_tokens}; give a smaller one."
            )
        sampled = np.array([made[NUM_TOKENS] for made in self.take(SAMPLE)])
        self.mean_tokens = float(np.minimum(sampled, max_tokens).mean())
        self.fraction_cut = float((sampled > max_tokens).mean())  # of many N, for instance

    def __len__(self) -> int:
        """Windows in an epoch."""
        return int(self.windows_of_row.sum())

    def draw_starts(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Where a window of each of these rows starts, in nt."""
        places = np.maximum(0, self.lengths[rows] - self.crop_nt) // self.crop_step + 1
        return (rng.random(len(rows)) * places).astype(np.int64) * self.crop_step

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Any]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """A batch at once, as torch's DataLoader asks for it."""
        letters = [self.sequences[row].as_buffer()[start : start + self.crop_nt] for row, start in items]
        made = token_ids(self.tokenizer, [str(each, "ascii") for each in letters], self.max_tokens)
        if self.labels is not None:
            made["label"] = self.labels[[row for row, _ in items]].tolist()
        return [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]

    def take(self, number: int) -> Iterator[dict[str, Any]]:
        """So many windows at random, the same ones always."""
        rng = np.random.default_rng(0)
        rows = rng.choice(len(self.lengths), number, p=self.windows_of_row / self.windows_of_row.sum())
        items = list(zip(rows.tolist(), self.draw_starts(rows, rng).tolist(), strict=True))
        for first in range(0, number, ROWS_AT_ONCE):
            yield from self.__getitems__(items[first : first + ROWS_AT_ONCE])

    def rows_of_windows(self, rows: Dataset) -> Dataset:
        """The rows, each as often as it has windows."""
        return rows.select(np.repeat(np.arange(len(rows)), self.windows_of_row))

    def note(self) -> str:
        """What to tell the user before the training."""
        text = f"{len(self):,} windows of {self.crop_nt} nt in an epoch, from {len(self.lengths):,} rows of train"
        if self.num_whole:
            text += f"; {self.num_whole:,} of them are not longer, and are used whole"
        if self.fraction_cut:
            text += f"; {self.fraction_cut:.1%} of windows have more than {self.max_tokens} tokens, and are cut"
        return text


def tile(rows: Dataset, window_nt: int, step_nt: int, most: int) -> tuple[Dataset, np.ndarray]:
    """
    Rows cut, from their first nt, into windows that do not overlap, as near to each other as multiples of `step_nt`
    allow; a shorter rest is not used.

    A row that is not longer than `window_nt` stays whole. Of more than `most` windows, as many at random. Returns the
    windows, in the order of the rows, and the number of the row of each, (windows,).
    """
    table = rows.with_format("arrow")[:]
    stride = -(-window_nt // step_nt) * step_nt
    num_windows = np.maximum(1, (pc.binary_length(table["sequence"]).to_numpy() - window_nt) // stride + 1)  # (rows,)
    stops = num_windows.cumsum()
    chosen = np.sort(np.random.default_rng(0).permutation(stops[-1])[:most])
    of_row = np.searchsorted(stops, chosen, side="right")
    starts = stride * (chosen - (stops - num_windows)[of_row])
    letters = [
        str(table["sequence"][row].as_buffer()[start : start + window_nt], "ascii")
        for row, start in zip(of_row.tolist(), starts.tolist(), strict=True)
    ]
    columns = {name: table[name].take(of_row) for name in rows.column_names}
    columns["sequence"] = pa.array(letters, pa.large_string())
    return Dataset(pa.table(columns, schema=rows.features.arrow_schema)), of_row
