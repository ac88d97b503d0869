"""Rows of shards -> one Parquet file."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dnahub.inference.outputs_rows import ShardRows
from dnahub.inference.shards import ROW_GROUP_BYTES, parquet_writer


def write_parquet(rows: ShardRows, path: Path, made_by: dict[str, Any]) -> None:
    """Small row groups, as blocks of long sequences have, become larger ones."""
    schema = rows.schema.with_metadata({b"embedding": json.dumps(made_by).encode()})
    with open(path, "wb") as file, parquet_writer(file, schema) as writer:
        waiting: list[pa.Table] = []
        num_bytes = 0
        for part in rows.parts():
            if waiting and num_bytes + part.vectors.nbytes > ROW_GROUP_BYTES:
                _write_row_group(writer, waiting)
                waiting, num_bytes = [], 0
            waiting.append(part.table)
            num_bytes += part.vectors.nbytes
        _write_row_group(writer, waiting)


def _write_row_group(writer: pq.ParquetWriter, tables: list[pa.Table]) -> None:
    table = pa.concat_tables(tables)
    writer.write_table(table, row_group_size=len(table))


def read_parquet_made_by(path: Path) -> Any:
    return json.loads(pq.read_schema(path).metadata[b"embedding"])
