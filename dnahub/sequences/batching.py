"""Numbered rows -> tables of bounded size."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnahub.sequences.bad_records import BadRecords

Numbers = Sequence[int]
# Limits of a table, so that it takes little memory and few calls. A longer record is a table by itself.
BATCH_RECORDS = 2048
BATCH_NT = 1_000_000


class Source:
    """
    The contents of one input, unchanged; iterated once, it gives tables, each with the numbers of its rows.

    Attributes:
        schema: Of the tables.
        unit: What its rows are called in messages.
        bad: Where it notes the records that it leaves out, for they cannot be read; the reader sets it.
        is_table: Whether its values were written freely: NA may stand for none.
        drops_spaces: Whether white space in a sequence has no meaning.
        is_typed: Whether its values have types; those of CSV and of FASTA headers are all text.
        features: What `datasets` says of the columns, where it wrote the file.
        contigs: Of regions, the nt of each chromosome of their genome.
    """

    schema = pa.schema([("id", pa.string()), ("sequence", pa.large_string()), ("description", pa.string())])
    unit = "record"
    bad: BadRecords
    is_table = is_typed = False
    drops_spaces = True
    features: dict[str, Any] = {}
    contigs: dict[str, int] | None = None

    def __iter__(self) -> Iterator[tuple[Numbers, pa.Table]]:
        raise NotImplementedError


def tables(rows: Iterable[tuple[int, tuple]], schema: pa.Schema) -> Iterator[tuple[Numbers, pa.Table]]:
    """Numbered rows, the sequence second, -> tables of bounded size; the last may have no rows."""
    numbers, waiting, nt = [], [], 0
    for number, row in rows:
        numbers.append(number)
        waiting.append(row)
        nt += len(row[1])
        if nt >= BATCH_NT or len(waiting) >= BATCH_RECORDS:
            yield numbers, _table(waiting, schema)
            numbers, waiting, nt = [], [], 0
    yield numbers, _table(waiting, schema)


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)], schema=schema
    )


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
