"""Stream of sequence batches -> blocks of consecutive records, the same however the input was read."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnahub.hub_code.pipeline_dna_embedding import Cutting
from dnahub.inference.arguments import LONG_IN_WINDOWS
from dnahub.sequences.reader import SequenceBatch

SEQUENCE = "sequence"
# A block is computed, written, and lost in a kill as a whole: large enough that there is little padding, small enough
# that a few of them fit into memory.
MAX_SEQUENCES = 8192
MAX_NT = 2_000_000
MAX_VECTORS = 32_768  # of a block whose sequences have several: 134 MB for NT-v2-500m


@dataclass(frozen=True)
class Block:
    """Consecutive records of the input."""

    number: int  # from 0
    slices: tuple[tuple[SequenceBatch, int, int], ...]  # a batch, and the first and last + 1 of its rows
    num_nt: int  # letters of all sequences

    @property
    def table(self) -> pa.Table:
        """All columns of its records; nothing is copied."""
        return pa.concat_tables(batch.table.slice(start, stop - start) for batch, start, stop in self.slices)

    def place(self, i: int) -> str:
        """File, number and id of record i (from 0), for messages."""
        return [batch.place(row) for batch, start, stop in self.slices for row in range(start, stop)][i]


def max_nt_of_block(cutting: Cutting, per_token: bool) -> int:
    """The most nt of a block, so that it has at most about `MAX_VECTORS` vectors, those of windows to average too."""
    if cutting.long not in LONG_IN_WINDOWS:
        return min(MAX_NT, MAX_VECTORS) if per_token else MAX_NT
    # At most, when each letter is a token (N): pieces of a window, and tokens of these with their <cls>.
    num_pieces = 1 - (-max(0, cutting.window - cutting.max_letters) // cutting.stride_tokens)
    num_tokens = cutting.window + 1 if num_pieces == 1 else num_pieces * cutting.max_tokens
    num_vectors = num_tokens if per_token else num_pieces
    return min(MAX_NT, MAX_VECTORS * cutting.stride // num_vectors)


def cut_into_blocks(batches: Iterable[SequenceBatch], max_sequences: int, max_nt: int) -> Iterator[Block]:
    """Blocks of as many records as the limits allow; a longer sequence is a block by itself."""
    number = taken = nt = 0
    slices: list[tuple[SequenceBatch, int, int]] = []
    for batch in batches:
        lengths_nt = pc.fill_null(pc.binary_length(batch.table[SEQUENCE]), 0).to_numpy().astype(np.int64)
        ends_nt = np.concatenate([[0], np.cumsum(lengths_nt)])
        start = 0
        while start < len(lengths_nt):
            fitting = int(np.searchsorted(ends_nt, ends_nt[start] + max_nt - nt, side="right")) - 1
            stop = min(fitting, start + max_sequences - taken)
            if not taken:
                stop = max(stop, start + 1)
            if stop > start:
                slices.append((batch, start, stop))
                taken += stop - start
                nt += int(ends_nt[stop] - ends_nt[start])
                start = stop
            if start < len(lengths_nt):
                yield Block(number, tuple(slices), nt)
                number, slices, taken, nt = number + 1, [], 0, 0
    if slices:
        yield Block(number, tuple(slices), nt)


def digest(table: pa.Table) -> str:
    """A digest of the names, types and values of all columns, whatever the chunks they are stored in."""
    made = hashlib.blake2b(digest_size=16)
    for name, column in zip(table.column_names, table.columns, strict=True):
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        made.update(f"{name}\0{'text' if is_text else column.type}\0{len(column)}\0".encode())
        for value in column.to_pylist():
            made.update(f"{value!r}\0".encode())
    return made.hexdigest()
