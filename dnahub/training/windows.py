"""Rows of long sequences -> their windows as token ids, the same as predict.py cuts; outputs of windows -> of rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from transformers import PreTrainedTokenizerFast

from dnahub.hub_code.pipeline_dna_embedding import Cutting
from dnahub.inference.cutting import cut
from dnahub.inference.encoding import Encoding, owners_and_ranks
from dnahub.training.tokens import IDS, NUM_TOKENS

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Windows:
    """Which row each window of a split is of, int64 (windows,), ascending, and how many tokens it has."""

    of_row: np.ndarray
    num_tokens: np.ndarray

    def join(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of windows, (windows, ...) -> means of those of each row, weighted by their tokens, (rows, ...)."""
        begins = np.flatnonzero(np.diff(self.of_row, prepend=-1))
        weights = self.num_tokens.reshape(-1, *[1] * (outputs.ndim - 1)).astype(np.float64)
        sums = np.add.reduceat(outputs * weights, begins, axis=0)
        return (sums / np.add.reduceat(weights, begins, axis=0)).astype(outputs.dtype)

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, "Windows"]:
        """Of some rows (numbers, ascending): the numbers of their windows, and which of the rows each is of."""
        places = np.flatnonzero(np.isin(self.of_row, rows))
        return places, Windows(np.searchsorted(rows, self.of_row[places]), self.num_tokens[places])

    def first(self, labels: np.ndarray) -> np.ndarray:
        """What is the same for all windows of a row, (windows, ...) -> (rows, ...)."""
        return labels[np.flatnonzero(np.diff(self.of_row, prepend=-1))]


def cut_rows(rows: Dataset, tokenizer: PreTrainedTokenizerFast, cutting: Cutting) -> tuple[Dataset, Windows]:
    """Columns `input_ids`, `num_tokens` and those of the rows but `sequence`, a row for each window."""
    encoding, tables, of_rows = Encoding(tokenizer), [], []
    before, after = (np.array(ids, np.int32) for ids in (encoding.before, encoding.after))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        batch = rows.with_format("arrow")[start : start + ROWS_AT_ONCE]
        pieces = cut(batch["sequence"].to_pylist(), cutting, encoding, both_strands=False)
        strand = pieces.strands[0]
        first, last = pieces.first[strand.distinct], pieces.last[strand.distinct]
        ends = np.cumsum(strand.num_tokens)
        ids = np.empty(ends[-1], np.int32)
        begins = ends - strand.num_tokens
        for values, places in ((before, begins), (after, ends - len(after))):
            for i, value in enumerate(values):
                ids[places + i] = value
        owner, which = owners_and_ranks(last - first)
        ids[begins[owner] + len(before) + which] = pieces.ids[first[owner] + which]
        columns = {name: batch[name].take(pa.array(strand.sequence)) for name in batch.column_names}
        del columns["sequence"]
        lists = pa.ListArray.from_arrays(pa.array(np.concatenate(([0], ends)), pa.int32()), pa.array(ids))
        tables.append(pa.table(columns | {IDS: lists, NUM_TOKENS: pa.array(strand.num_tokens, pa.int32())}))
        of_rows.append(start + strand.sequence)
    features = {name: feature for name, feature in rows.features.items() if name != "sequence"}
    features = Features(features | {IDS: List(Value("int32")), NUM_TOKENS: Value("int32")})
    table = pa.concat_tables(tables)
    windows = Windows(np.concatenate(of_rows), table[NUM_TOKENS].to_numpy().astype(np.int64))
    return Dataset(table.select(list(features)).cast(features.arrow_schema)), windows
