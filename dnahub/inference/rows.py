"""Records of a block and their embeddings -> rows, as an Arrow table."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.engine import Embeddings

EMBEDDING = "embedding"
WINDOW_COLUMNS = ("window_start", "window_end")  # of a window in its sequence, in nt, 0-based half-open
# A row group, on average: a reader of the file holds it in memory a few times over.
ROW_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class Layout:
    """The columns of the rows."""

    source: pa.Schema  # `id`, then the other columns of the source
    hidden_size: int
    dtype: str  # "float32" or "float16"
    with_windows: bool  # a row is a window, with the columns `window_start` and `window_end`
    per_token: bool  # a row has a vector for each token

    @property
    def schema(self) -> pa.Schema:
        """Without the metadata of the source, in which pandas and `datasets` describe other columns."""
        return pa.schema(
            [
                *(field.remove_metadata() for field in self.source),
                *(pa.field(name, pa.int64()) for name in WINDOW_COLUMNS if self.with_windows),
                pa.field(EMBEDDING, pa.list_(self._vector) if self.per_token else self._vector),
            ]
        )

    @property
    def _vector(self) -> pa.DataType:
        return pa.list_(pa.from_numpy_dtype(self.dtype), self.hidden_size)

    def table(self, records: pa.Table, embeddings: Embeddings) -> pa.Table:
        """The rows of a block; a number too large for float16 is an error."""
        with np.errstate(over="ignore"):  # checked below
            vectors = embeddings.vectors.astype(self.dtype, copy=False)
        if not np.isfinite(vectors).all():
            most = np.abs(embeddings.vectors).max()
            raise ValueError(f"An embedding has a {most:g}, but float16 ends at 65504; give --output_dtype float32.")
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=self._vector)
        if self.per_token:
            offsets = np.concatenate([[0], np.cumsum(embeddings.num_tokens)])
            column = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column)
        source = records.select(self.source.names).take(pa.array(embeddings.sequence))
        windows = [pa.array(embeddings.start), pa.array(embeddings.end)] if self.with_windows else []
        return pa.Table.from_arrays([*source.columns, *windows, column], schema=self.schema)

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
        names = self.schema.names[:-1]
        leaf = f"{EMBEDDING}.list.element.list.element" if self.per_token else f"{EMBEDDING}.list.element"
        file = pa.OSFile(os.fsencode(path), "wb")  # arrow takes no `str` that is not UTF-8
        writer = pq.ParquetWriter(
            file,
            self.schema.with_metadata(metadata),
            compression="zstd",
            use_dictionary=names,
            write_statistics=names,
            column_encoding={leaf: "BYTE_STREAM_SPLIT" if self.dtype == "float32" else "PLAIN"},
            write_page_checksum=True,
        )
        with file, writer:
            for table in tables:
                num_groups = -(-table.nbytes // ROW_GROUP_BYTES)
                writer.write_table(table, row_group_size=max(1, len(table) // num_groups))
