"""Shards -> their rows in order, a row group at a time, with all that must be known before the first is written."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.shards import NUM_VECTORS, WITH_WINDOWS, has_windows, is_per_token, read_facts, vector_type
from dnahub.sequences.checks import one_line


class FormatError(ValueError):
    """The format of the output cannot hold what stands in the rows; another can."""


@dataclass(frozen=True)
class Part:
    """Some consecutive rows."""

    first_row: int
    first_vector: int
    columns: pa.Table  # all but `embedding`; per token with `num_tokens` and `offset`, the row's first vector
    vectors: np.ndarray  # (rows, hidden); per token (tokens of these rows, hidden)
    table: pa.Table  # the rows as they stand in the shard


@dataclass(frozen=True)
class Column:
    """
    A column as an array of one type, for formats that have no missing values and no nesting.

    Numbers stay what they are; where whole numbers or truth values are missing, the column is float64 with NaN. Text
    that is missing is empty. Anything else becomes text: lists and structs as JSON, dates as they are printed.
    """

    name: str
    dtype: np.dtype | None  # None: text

    def values(self, table: pa.Table) -> np.ndarray:
        """
        (rows,) numbers, or objects that are all strings.

        Raises:
            FormatError: If a whole number among missing values is too large for float64.
        """
        column = table[self.name]
        if self.dtype is None:
            return np.array([as_text(value) for value in column.to_pylist()], dtype=object)
        try:
            return column.cast(pa.from_numpy_dtype(self.dtype)).to_numpy()
        except pa.ArrowInvalid as error:
            raise FormatError(
                f"Column {self.name!r} has missing values, so its numbers are written as float64, which cannot hold "
                f"one of them ({error}); make the column text, or write .parquet."
            ) from error


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)


class ShardRows:
    """
    The rows of all shards.

    Args:
        paths: The shards in order; all have one schema.
        progress: Called with the number of rows that were written since.

    Raises:
        ValueError: If there are none, one is no whole shard, or one has other columns.
    """

    def __init__(self, paths: Sequence[Path], progress: Callable[[int], Any] | None = None):
        if not paths:
            raise ValueError("There are no shards, so there is no output; give sequences.")
        self.paths = [Path(path) for path in paths]
        self.num_rows = 0
        self.num_vectors = 0
        self._progress = progress
        self._missing: set[str] = set()  # columns that have, or may have, missing values
        for path in self.paths:
            self._add(path)

    def _add(self, path: Path) -> None:
        if read_facts(path) is None:
            raise ValueError(f"{path} is no whole shard; remove it, and the same command makes it again.")
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        kept = schema.with_metadata({WITH_WINDOWS: schema.metadata[WITH_WINDOWS]})
        if path == self.paths[0]:
            self.schema = kept
        elif not kept.equals(self.schema, check_metadata=True):
            raise ValueError(
                f"{path} has other columns than {self.paths[0]}; remove the folder, and the same command starts anew."
            )
        self.num_rows += metadata.num_rows
        self.num_vectors += json.loads(schema.metadata[NUM_VECTORS])
        for i in range(metadata.num_row_groups):
            group = metadata.row_group(i)
            for j in range(group.num_columns):
                statistics = group.column(j).statistics
                if statistics is None or not statistics.has_null_count or statistics.null_count:
                    self._missing.add(group.column(j).path_in_schema)

    @property
    def per_token(self) -> bool:
        return is_per_token(self.schema)

    @property
    def with_windows(self) -> bool:
        """Whether a row is a window, so that its id may stand in several."""
        return has_windows(self.schema)

    @property
    def hidden_size(self) -> int:
        return vector_type(self.schema).list_size

    @property
    def dtype(self) -> np.dtype:
        """Of the vectors."""
        return np.dtype(vector_type(self.schema).value_type.to_pandas_dtype())

    @property
    def columns(self) -> list[Column]:
        """Those of `Part.columns`."""
        kinds = {field.name: field.type for field in self.schema if field.name != "embedding"}
        if self.per_token:
            kinds |= {"num_tokens": pa.int64(), "offset": pa.int64()}
        return [Column(name, self._dtype(name, kind)) for name, kind in kinds.items()]

    def _dtype(self, name: str, kind: pa.DataType) -> np.dtype | None:
        if pa.types.is_floating(kind):
            return np.dtype(kind.to_pandas_dtype())
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return np.dtype(np.float64 if name in self._missing else kind.to_pandas_dtype())
        return None

    def parts(self) -> Iterator[Part]:
        """
        Raises:
            ValueError: If a shard was damaged since it was written.
        """
        first_row = first_vector = 0
        for table in self._row_groups():
            for batch in table.to_batches():
                part = self._part(pa.Table.from_batches([batch]), first_row, first_vector)
                yield part
                first_row += batch.num_rows
                first_vector += len(part.vectors)
            if self._progress is not None:
                self._progress(table.num_rows)

    def _row_groups(self) -> Iterator[pa.Table]:
        for path in self.paths:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for i in range(file.num_row_groups):
                    try:
                        table = file.read_row_group(i)
                    except (pa.ArrowException, OSError) as error:
                        raise ValueError(
                            f"{path} is damaged ({one_line(error)}); remove it, and the same command makes it again."
                        ) from error
                    yield table

    def _part(self, table: pa.Table, first_row: int, first_vector: int) -> Part:
        embedding = table["embedding"].combine_chunks()
        columns = table.drop_columns("embedding")
        if self.per_token:
            num_tokens = embedding.value_lengths().to_numpy().astype(np.int64)
            offset = first_vector + np.cumsum(num_tokens) - num_tokens
            columns = columns.append_column("num_tokens", pa.array(num_tokens))
            columns = columns.append_column("offset", pa.array(offset))
            embedding = embedding.flatten()
        vectors = embedding.flatten().to_numpy().reshape(-1, self.hidden_size)
        return Part(first_row, first_vector, columns, vectors, table)
