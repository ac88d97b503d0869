"""The rows of one block and their embeddings -> one shard: a Parquet file that is whole or not there."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.engine import Embeddings
from dnahub.inference.faults import full_disk_told
from dnahub.machine.files import replacing

OUTPUT_DTYPES = ("float32", "float16")

# Keys of a shard's metadata; the values are JSON.
FACTS = b"block"
NUM_VECTORS = b"num_vectors"
WITH_WINDOWS = b"with_windows"

# Where a window lies in its sequence, in nt, 0-based half-open.
WINDOW_COLUMNS = ("window_start", "window_end")

# Vectors of a row group: what a reader of the file has to hold at once, a few times over. Row groups are whole rows,
# so that with --per_token one long sequence may be more.
ROW_GROUP_BYTES = 16 << 20


def added_columns(*, with_windows: bool, per_token: bool) -> list[str]:
    """Names of the columns that stand beside those of the source, in a shard or in an output of any format."""
    return [
        "embedding",
        *(WINDOW_COLUMNS if with_windows else []),
        *(["num_tokens", "offset"] if per_token else []),  # of the formats whose vectors are one array
    ]


def check_columns(columns: Sequence[str], *, with_windows: bool, per_token: bool) -> None:
    """
    See that all columns can be told apart by their names.

    Raises:
        ValueError: If two of the source's columns have one name, or one has the name of a column that is added.
    """
    for name in columns:
        if name in added_columns(with_windows=with_windows, per_token=per_token):
            raise ValueError(
                f"The input has a column {name!r}, which the output adds itself; rename that of the input."
            )
        if list(columns).count(name) > 1:
            raise ValueError(f"The input has two columns {name!r}; rename one of them.")


def shard_schema(
    source: pa.Schema, hidden_size: int, output_dtype: str, *, with_windows: bool, per_token: bool
) -> pa.Schema:
    """
    The columns of a shard.

    Args:
        source: `id`, then the columns of the source that are kept. Its metadata is left behind: what a library notes
            there (pandas its index, `datasets` its features) speaks of other columns.
        hidden_size: Numbers a vector.
        output_dtype: `"float32"` or `"float16"`.
        with_windows: Whether a row is a window, so that it has a `window_start` and a `window_end`.
        per_token: Whether a row has a vector for each token.

    Raises:
        ValueError: If the dtype is another, or columns of the source cannot have their names.
    """
    if output_dtype not in OUTPUT_DTYPES:
        raise ValueError(f"Got the output dtype {output_dtype!r}; it is one of {', '.join(OUTPUT_DTYPES)}.")
    check_columns(source.names, with_windows=with_windows, per_token=per_token)
    vector = pa.list_(pa.float16() if output_dtype == "float16" else pa.float32(), hidden_size)
    return pa.schema(
        [
            *(field.remove_metadata() for field in source),
            *(pa.field(name, pa.int64()) for name in WINDOW_COLUMNS if with_windows),
            pa.field("embedding", pa.list_(vector) if per_token else vector),
        ],
        metadata={WITH_WINDOWS: json.dumps(with_windows).encode()},
    )


def has_windows(schema: pa.Schema) -> bool:
    """Whether the rows are windows: if not, the source may have columns of the names that these add."""
    return json.loads(schema.metadata[WITH_WINDOWS])


def is_per_token(schema: pa.Schema) -> bool:
    return not pa.types.is_fixed_size_list(schema.field("embedding").type)


def vector_type(schema: pa.Schema) -> pa.DataType:
    """The type of one vector: a list of the hidden size."""
    kind = schema.field("embedding").type
    return kind.value_type if is_per_token(schema) else kind


def parquet_writer(file: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """
    A writer with the settings for vectors, for shards and outputs alike.

    Measured with 8192 random float32 vectors of 512: their bytes split into streams and zstd take 0.84 of the plain
    size, zstd alone 0.93, and both are written and read as fast as uncompressed. Dictionaries and statistics are of
    no use for them. Checksums make a page that was damaged later an error for the reader.
    """
    names = [field.name for field in schema if field.name != "embedding"]
    leaf = "embedding.list.element.list.element" if is_per_token(schema) else "embedding.list.element"
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=names,
        write_statistics=names,
        column_encoding={leaf: "BYTE_STREAM_SPLIT"},
        write_page_checksum=True,
    )


def write_shard(path: Path, rows: pa.Table, embeddings: Embeddings, schema: pa.Schema, facts: dict[str, Any]) -> None:
    """
    Write one block under a temporary name in the same folder, and move it into place when it is on the disk.

    Args:
        path: The shard; one that is there is replaced.
        rows: The block's rows of the source; columns that the schema lacks (`sequence`) are left out.
        embeddings: Of these rows.
        schema: From `shard_schema`.
        facts: What is known of the block (its number, the digest of its input, counts), as JSON takes it.

    Raises:
        ValueError: If a value does not fit into float16, or the disk is full.
    """
    path = Path(path)
    table = _shard_table(rows, embeddings, schema)
    own = {FACTS: facts, NUM_VECTORS: len(embeddings.vectors)}
    metadata = {**schema.metadata, **{key: json.dumps(value).encode() for key, value in own.items()}}
    with replacing(path) as scratch, full_disk_told(path), open(scratch, "wb") as file:
        with parquet_writer(file, schema.with_metadata(metadata)) as writer:
            for first, end in _row_groups(embeddings, schema):
                writer.write_table(table.slice(first, end - first), row_group_size=end - first)
        file.flush()
        os.fsync(file.fileno())


def _shard_table(rows: pa.Table, embeddings: Embeddings, schema: pa.Schema) -> pa.Table:
    hidden_size = vector_type(schema).list_size
    vectors = embeddings.vectors
    num_vectors = int(embeddings.num_tokens.sum()) if is_per_token(schema) else len(embeddings.sequence)
    if vectors.shape != (num_vectors, hidden_size):  # Arrow would cut them up at other places
        raise ValueError(f"Got vectors of shape {vectors.shape} where ({num_vectors}, {hidden_size}) are due.")
    if vector_type(schema).value_type == pa.float16():
        vectors = _as_float16(rows, embeddings, per_token=is_per_token(schema))
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=vector_type(schema))
    if is_per_token(schema):
        offsets = np.concatenate([[0], np.cumsum(embeddings.num_tokens)])
        column = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column)
    added = {"embedding": column}
    if has_windows(schema):
        added |= dict(zip(WINDOW_COLUMNS, map(pa.array, (embeddings.start, embeddings.end)), strict=True))
    source = rows.select([name for name in schema.names if name not in added]).take(pa.array(embeddings.sequence))
    arrays = [added[name] if name in added else source[name] for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema)


def _as_float16(rows: pa.Table, embeddings: Embeddings, *, per_token: bool) -> np.ndarray:
    with np.errstate(over="ignore"):  # told below
        vectors = embeddings.vectors.astype(np.float16)
    beyond = np.isinf(vectors) & np.isfinite(embeddings.vectors)
    if beyond.any():
        vector, unit = np.argwhere(beyond)[0]
        row = np.searchsorted(np.cumsum(embeddings.num_tokens), vector, side="right") if per_token else vector
        raise ValueError(
            f"The embedding of {rows['id'][int(embeddings.sequence[row])].as_py()} holds "
            f"{embeddings.vectors[vector, unit]:g}, but float16 ends at 65504; write float32."
        )
    return vectors


def _row_groups(embeddings: Embeddings, schema: pa.Schema) -> Iterator[tuple[int, int]]:
    kind = vector_type(schema)
    vectors = embeddings.num_tokens if is_per_token(schema) else np.ones_like(embeddings.sequence)
    budget = max(1, ROW_GROUP_BYTES // (kind.list_size * kind.value_type.bit_width // 8))
    group = (np.cumsum(vectors) - 1) // budget
    firsts = np.flatnonzero(np.diff(group, prepend=-1)).tolist()
    yield from zip(firsts, [*firsts[1:], len(group)], strict=True)


def read_facts(path: Path) -> dict[str, Any] | None:
    """What `write_shard` was told of the block; None where there is no whole shard at this path."""
    try:
        file = open(path, "rb")
    except (FileNotFoundError, IsADirectoryError):
        return None
    with file:
        try:
            metadata = pq.read_schema(file).metadata or {}
            facts, num_vectors = json.loads(metadata[FACTS]), json.loads(metadata[NUM_VECTORS])
        except (
            pa.ArrowException,
            OSError,
            KeyError,
            ValueError,
        ):  # OSError: Arrow's for bytes that it cannot parse
            return None
    return facts if isinstance(facts, dict) and isinstance(num_vectors, int) else None
