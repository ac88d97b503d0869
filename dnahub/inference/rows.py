"""Records of a block and what was computed of them -> rows, as an Arrow table."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.columns import Columns
from dnahub.inference.engine import Results

EMBEDDING = "embedding"
WINDOW_COLUMNS = ("window_start", "window_end")  # of a window in its sequence, in nt, 0-based half-open
# A row group, on average: a reader of the file holds it in memory a few times over.
ROW_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class Layout:
    """The columns of the rows: those of the source, windows, answers of a head, the embedding."""

    source: pa.Schema  # `id`, then the other columns of the source
    hidden_size: int  # 0 where there is no embedding
    dtype: str  # "float32" or "float16"
    with_windows: bool  # a row is a window, with the columns `window_start` and `window_end`
    per_token: bool  # a row has a vector for each token
    answers: Columns | None = None

    @property
    def added(self) -> list[pa.Field]:
        """The columns that are not those of the source."""
        vector = pa.list_(self._vector) if self.per_token else self._vector
        return [
            *(pa.field(name, pa.int64()) for name in WINDOW_COLUMNS if self.with_windows),
            *(self.answers.schema if self.answers else ()),
            *([pa.field(EMBEDDING, vector)] if self.hidden_size else []),
        ]

    @property
    def schema(self) -> pa.Schema:
        """Without the metadata of the source, in which pandas and `datasets` describe other columns."""
        return pa.schema([*(field.remove_metadata() for field in self.source), *self.added])

    @property
    def _vector(self) -> pa.DataType:
        return pa.list_(pa.from_numpy_dtype(self.dtype), self.hidden_size)

    def table(self, records: pa.Table, results: Results) -> pa.Table:
        """The rows of a block; a number too large for float16 is an error."""
        sequence, answers = self.answers.table(results) if self.answers else (results.sequence, None)
        source = records.select(self.source.names).take(pa.array(sequence))
        windows = [pa.array(results.start), pa.array(results.end)] if self.with_windows else []
        columns = [*source.columns, *windows, *(answers.columns if answers else [])]
        if self.hidden_size:
            columns.append(self._embedding(results.vectors[:, -self.hidden_size :], results.num_tokens))
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _embedding(self, vectors: np.ndarray, num_tokens: np.ndarray) -> pa.Array:
        with np.errstate(over="ignore"):  # checked below
            stored = vectors.astype(self.dtype, copy=False)
        if not np.isfinite(stored).all():
            most = np.abs(vectors).max()
            raise ValueError(f"An embedding has a {most:g}, but float16 ends at 65504; give --output_dtype float32.")
        column = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), type=self._vector)
        if not self.per_token:
            return column
        offsets = np.concatenate([[0], np.cumsum(num_tokens)])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column)

    def vectors(self, table: pa.Table) -> np.ndarray:
        """(rows, hidden), per token (tokens of all rows, hidden)."""
        column = table[EMBEDDING].combine_chunks()
        if self.per_token:
            column = column.flatten()
        return column.flatten().to_numpy().reshape(-1, self.hidden_size)

    def num_tokens(self, table: pa.Table) -> np.ndarray:
        """(rows,) int64, per token: vectors of each row."""
        return table[EMBEDDING].combine_chunks().value_lengths().to_numpy().astype(np.int64)

    def write_parquet(self, tables: Iterable[pa.Table], path: Path, metadata: dict[bytes, bytes]) -> None:
        """
        Write a part or an output, with settings for vectors.

        Measured with 8192 random float32 vectors of 512: their bytes split into streams and zstd take 0.84 of the
        plain size, zstd alone 0.93; both are written and read as fast as uncompressed. Half floats stay plain, for
        DuckDB, polars and older pyarrow do not read them split. Dictionaries and statistics are useless for vectors.
        """
        names = [name for name in self.schema.names if name != EMBEDDING]
        leaf = f"{EMBEDDING}.list.element.list.element" if self.per_token else f"{EMBEDDING}.list.element"
        encoding = {leaf: "BYTE_STREAM_SPLIT" if self.dtype == "float32" else "PLAIN"} if self.hidden_size else {}
        file = pa.OSFile(os.fsencode(path), "wb")  # arrow takes no `str` that is not UTF-8
        writer = pq.ParquetWriter(
            file,
            self.schema.with_metadata(metadata),
            compression="zstd",
            use_dictionary=names,
            write_statistics=names,
            column_encoding=encoding,
            write_page_checksum=True,
        )
        with file, writer:
            for table in tables:
                num_groups = -(-table.nbytes // ROW_GROUP_BYTES)
                writer.write_table(table, row_group_size=max(1, len(table) // num_groups))
