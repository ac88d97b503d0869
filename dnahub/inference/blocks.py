"""Stream of sequence batches -> blocks of consecutive records, the same however they are read and shared out."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnahub.hub_code.pipeline_dna_embedding import Cutting
from dnahub.inference.arguments import LONG_WITH_WINDOWS
from dnahub.sequences import SequenceBatch

SEQUENCE = "sequence"
# A block is what is computed, written and, after a kill, lost at once. It is as large as keeps padding and the cost of
# a shard small, and as small as a queue of them fits into memory.
MAX_SEQUENCES = 8192
MAX_NT = 2_000_000
# Vectors of a block, where a sequence has many: 32 Ki of NT-v2-500m are 134 MB.
MAX_VECTORS = 32_768
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Slice:
    """Records `start` to `stop` (0-based, half-open) of a batch."""

    batch: SequenceBatch
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """
    Consecutive records of the input.

    Args:
        number: Which block, from 0.
        first: Which record of the input its first is, from 0.
        slices: Where its records are.
        num_nt: Letters of all its sequences.
    """

    number: int
    first: int
    slices: tuple[Slice, ...]
    num_nt: int

    def __len__(self) -> int:
        return sum(each.stop - each.start for each in self.slices)

    @property
    def table(self) -> pa.Table:
        """All columns of its records; nothing is copied."""
        return pa.concat_tables(each.batch.table.slice(each.start, each.stop - each.start) for each in self.slices)

    def place(self, i: int) -> str:
        """Where its record i, from 0, stands: file, record and id."""
        for each in self.slices:
            if i < each.stop - each.start:
                return each.batch.place(each.start + i)
            i -= each.stop - each.start
        raise IndexError(f"Block {self.number} has no record {i + len(self)}.")


def max_nt_of_block(cutting: Cutting, per_token: bool) -> int:
    """
    The nt of a block, fewer where there may be more than `MAX_VECTORS`; a function of settings that a run keeps.

    Args:
        cutting: What becomes of long sequences; also a mean needs the vectors of all windows at once.
        per_token: Whether there is a vector of each token.
    """
    if cutting.long not in LONG_WITH_WINDOWS:
        return min(MAX_NT, MAX_VECTORS) if per_token else MAX_NT
    # The most that a window can be, as each N is a token: so many pieces, so many tokens with their <cls>.
    num_pieces = 1 - (-max(0, cutting.window - cutting.max_letters) // cutting.stride_tokens)
    num_tokens = cutting.window + 1 if num_pieces == 1 else num_pieces * cutting.max_tokens
    num_vectors = num_tokens if per_token else num_pieces
    return min(MAX_NT, MAX_VECTORS * cutting.stride // num_vectors)


def cut_into_blocks(batches: Iterable[SequenceBatch], max_sequences: int, max_nt: int) -> Iterator[Block]:
    """
    Blocks of as many records as fit the two limits, in the order of the input; a longer sequence is a block alone.

    Args:
        batches: The input; how it is cut into batches makes no difference.
        max_sequences: Sequences of a block, 1 or more.
        max_nt: Letters of a block.
    """
    number = first = taken = nt = 0
    slices: list[Slice] = []
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
                slices.append(Slice(batch, start, stop))
                taken += stop - start
                nt += int(ends_nt[stop] - ends_nt[start])
                start = stop
            if start < len(lengths_nt):
                yield Block(number, first, tuple(slices), nt)
                number, first, slices, taken, nt = number + 1, first + taken, [], 0, 0
    if slices:
        yield Block(number, first, tuple(slices), nt)


def digest(table: pa.Table) -> str:
    """
    What tells whether two blocks are of the same records: a digest of names, types and values of all columns.

    Args:
        table: A block's; into which chunks its columns are divided makes no difference.
    """
    made = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind, content = column.type, None
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            kind = pa.string()
            content = _bytes_of_text(column)
        else:
            content = [repr(column.to_pylist()).encode("utf-8")]
        made.update(f"{name}\0{kind}\0{len(column)}\0".encode())
        for part in content:
            made.update(part)
    return made.hexdigest()


def _bytes_of_text(column: pa.ChunkedArray) -> Iterator[bytes | memoryview]:
    """The lengths of all values, -1 where there is none, and their letters, which are not copied: they may be many."""
    yield pc.fill_null(pc.binary_length(column).cast(pa.int64()), -1).to_numpy().tobytes()
    for chunk in column.chunks:
        _, offsets, letters = chunk.buffers()
        kind = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
        ends = np.frombuffer(offsets, kind)[chunk.offset : chunk.offset + len(chunk) + 1]
        if letters is not None and len(ends):
            yield memoryview(letters)[ends[0] : ends[-1]]
