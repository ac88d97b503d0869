"""Records -> tables of bounded size."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Limits of a table, so that it takes little memory and few calls. A longer record is a table by itself.
BATCH_RECORDS = 2048
BATCH_NT = 1_000_000


class RecordBatches:
    """Collects records; ids, sequences and descriptions are all text, or all UTF-8 bytes."""

    schema = pa.schema([("id", pa.string()), ("sequence", pa.large_string()), ("description", pa.string())])

    def __init__(self):
        self.count = 0
        self._nt = 0
        self._columns: tuple[list, list, list] = ([], [], [])

    def add(self, record_id: str | bytes, sequence: str | bytes, description: str | bytes) -> pa.Table | None:
        """A table of all records since the last one, where these are enough."""
        ids, sequences, descriptions = self._columns
        ids.append(record_id)
        sequences.append(sequence)
        descriptions.append(description)
        self.count += 1
        self._nt += len(sequence)
        return self.rest() if self._nt >= BATCH_NT or len(ids) >= BATCH_RECORDS else None

    def rest(self) -> pa.Table:
        """A table of all records since the last one; it may have none."""
        columns, self._columns, self._nt = self._columns, ([], [], []), 0
        arrays = [_array(values, column.type) for values, column in zip(columns, self.schema, strict=True)]
        return pa.table(arrays, schema=self.schema)


def _array(values: list[str] | list[bytes], kind: pa.DataType) -> pa.Array:
    if not values or isinstance(values[0], str):
        return pa.array(values, kind)
    # The letters of one long record are not copied: joined with nothing else, they are the same object.
    offsets = np.zeros(len(values) + 1, dtype=np.int64 if kind == pa.large_string() else np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))])


def tables(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows with a key `sequence` -> tables of bounded size; the last may have no rows."""
    waiting, nt = [], 0
    for row in rows:
        waiting.append(row)
        nt += len(row["sequence"])
        if nt >= BATCH_NT or len(waiting) >= BATCH_RECORDS:
            yield pa.Table.from_pylist(waiting, schema=schema)
            waiting, nt = [], 0
    yield pa.Table.from_pylist(waiting, schema=schema)


def cut(table: pa.Table) -> Iterator[pa.Table]:
    """The rows of a table with a column `sequence`, in tables of bounded size, each column in one piece."""
    start = 0
    nt = np.cumsum(pc.fill_null(pc.binary_length(table["sequence"]), 0).to_numpy())
    while start < table.num_rows:
        before = nt[start - 1] if start else 0
        stop = 1 + int(np.searchsorted(nt, before + BATCH_NT))  # the row that reaches it is the last
        stop = min(stop, start + BATCH_RECORDS, table.num_rows)
        yield table.slice(start, stop - start).combine_chunks()
        start = stop
