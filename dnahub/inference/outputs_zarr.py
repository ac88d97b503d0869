"""Rows of shards -> one Zarr group."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnahub.inference.outputs_rows import ShardRows

if TYPE_CHECKING:  # an extra
    import zarr

CHUNK_BYTES = 8 << 20  # a file of its own
CHUNK_ROWS = 16_384  # of a column


class _WholeChunks:
    """Rows of an array, written chunk by chunk: part of a chunk would mean to read and write it again."""

    def __init__(self, array: "zarr.Array"):
        self._array = array
        self._first = 0
        self._waiting: list[np.ndarray] = []
        self._num_waiting = 0

    def add(self, values: np.ndarray) -> None:
        self._waiting.append(values)
        self._num_waiting += len(values)
        at_end = self._first + self._num_waiting == self._array.shape[0]
        size = self._num_waiting if at_end else self._num_waiting - self._num_waiting % self._array.chunks[0]
        if size:
            waiting = np.concatenate(self._waiting)
            self._array[self._first : self._first + size] = waiting[:size]
            self._first += size
            self._waiting, self._num_waiting = [waiting[size:]], len(waiting) - size


def write_zarr(rows: ShardRows, path: Path, made_by: dict[str, Any]) -> None:
    """
    Arrays `embedding` (rows, hidden), `id`, and each column of the source; what made it is the attribute `embedding`.
    Per token `embedding` is (tokens of all rows, hidden), with `num_tokens` and `offset` of each row.
    """
    import zarr

    group = zarr.create_group(path, zarr_format=3, attributes={"embedding": made_by})
    chunk = max(1, min(rows.num_vectors, CHUNK_BYTES // (rows.hidden_size * rows.dtype.itemsize)))
    shape = (rows.num_vectors, rows.hidden_size)
    # Of random vectors zarr's default, zstd, saves 7 % of the size, and reads them in three times as long.
    array = group.create_array(
        "embedding", shape=shape, dtype=rows.dtype, chunks=(chunk, rows.hidden_size), compressors=None
    )
    vectors = _WholeChunks(array)
    columns = {}
    for column in rows.columns:
        dtype = str if column.dtype is None else column.dtype
        chunks = (min(rows.num_rows, CHUNK_ROWS),)
        array = group.create_array(column.name, shape=(rows.num_rows,), dtype=dtype, chunks=chunks)
        columns[column] = _WholeChunks(array)
    for part in rows.parts():
        vectors.add(part.vectors)
        for column, array in columns.items():
            array.add(column.values(part.columns))


def read_zarr_made_by(path: Path) -> Any:
    import zarr

    return zarr.open_group(path, mode="r").attrs["embedding"]
