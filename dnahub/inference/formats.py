"""Rows of all parts -> a file in each format."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from dnahub.inference.rows import EMBEDDING, WINDOW_COLUMNS, Layout
from dnahub.machine.text import FORMULA, INERT


@dataclass(frozen=True)
class Rows:
    """The parts in order, read in pieces of bounded size; `progress` is called with the rows of each."""

    paths: Sequence[Path]
    layout: Layout
    num_vectors: int
    made_by: dict[str, Any]
    progress: Callable[[int], Any]
    contigs: dict[str, int] | None = None  # nt of each chromosome of the genome, if there is one

    def tables(self) -> Iterator[pa.Table]:
        for path in self.paths:
            source = pa.OSFile(os.fsencode(path))  # arrow takes no `str` that is not UTF-8
            with source, pq.ParquetFile(source, page_checksum_verification=True) as file:
                for i in range(file.num_row_groups):
                    try:
                        table = file.read_row_group(i)
                    except (pa.ArrowException, OSError) as error:
                        raise ValueError(
                            f"{path} is damaged ({' '.join(str(error).split())}); remove it, and the same command "
                            "computes it again."
                        ) from error
                    yield table
                    self.progress(table.num_rows)


def write_parquet(rows: Rows, path: Path) -> None:
    """One column `embedding`; `made_by` is JSON in the metadata `embedding`."""
    rows.layout.write_parquet(rows.tables(), path, {b"embedding": json.dumps(rows.made_by).encode()})


def write_npy(rows: Rows, path: Path) -> None:
    """
    (rows, hidden), per token (tokens of all rows, hidden). NAME.ids.tsv has the other columns, per token with
    `num_tokens` and `offset`, the row's first vector.
    """
    first = 0
    with _npy(rows, path) as file, open(output_files(path)[2], "wb") as ids:
        for table in rows.tables():
            columns = table.drop_columns(EMBEDDING)
            if rows.layout.per_token:
                num_tokens = rows.layout.num_tokens(table)
                offset = first + np.cumsum(num_tokens) - num_tokens
                columns = columns.append_column("num_tokens", [num_tokens]).append_column("offset", [offset])
            vectors = rows.layout.vectors(table)
            file.write(vectors.data)
            append_text(columns, ids, "\t", header=not ids.tell())
            first += len(vectors)
    write_made_by(rows, path)


def _npy(rows: Rows, path: Path) -> BinaryIO:
    """A file that has the header. A memory map would be shorter, but a full disk kills its process by SIGBUS."""
    file = open(path, "wb")
    shape = (rows.num_vectors, rows.layout.hidden_size)
    descr = np.lib.format.dtype_to_descr(np.dtype(rows.layout.dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file


def write_csv(rows: Rows, path: Path) -> None:
    """All columns, of the embedding one for each dimension: e0, e1, ..."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with open(path, "wb") as file:
        for table in rows.tables():
            text = table
            if rows.layout.hidden_size:
                vectors, text = rows.layout.vectors(table).astype(np.float32), table.drop_columns(EMBEDDING)
                for i in range(vectors.shape[1]):
                    text = text.append_column(f"e{i}", [np.ascontiguousarray(vectors[:, i])])
            append_text(text, file, delimiter, header=not file.tell())
    write_made_by(rows, path)


def write_h5ad(rows: Rows, path: Path) -> None:
    """
    X = the vectors, obs_names = the ids, obs = the other columns, uns["embedding"] = `made_by` without what is None.

    Windows of one sequence are named `id:start-end`, and obs has their `id`.
    """
    import anndata
    import pandas as pd

    scratch = path.with_suffix(".npy")
    columns = []
    with _npy(rows, scratch) as file:
        for table in rows.tables():
            file.write(rows.layout.vectors(table).data)
            columns.append(table.drop_columns(EMBEDDING))
    obs = _without_missing(pa.concat_tables(columns)).to_pandas()
    names = obs["id"]
    if rows.layout.with_windows:
        start, end = (obs[name].astype(str) for name in WINDOW_COLUMNS)
        names = names + ":" + start + "-" + end
    else:
        obs = obs.drop(columns="id")
    obs.index = pd.Index(names.to_numpy(), dtype=object)
    # A map of the file, as a plain array: the operating system reads it piece by piece.
    vectors = np.load(scratch, mmap_mode="r").view(np.ndarray)
    var = pd.DataFrame(index=[str(i) for i in range(rows.layout.hidden_size)])
    made_by = {name: value for name, value in rows.made_by.items() if value is not None}
    anndata.AnnData(vectors, obs, var, uns={"embedding": made_by}).write_h5ad(path)


def output_files(output: Path) -> list[Path]:
    """All files of an output, itself first."""
    beside = {".npy": [".json", ".ids.tsv"], ".parquet": [], ".h5ad": []}
    return [
        output,
        *(output.with_name(output.name + suffix) for suffix in beside.get(output.suffix.lower(), [".json"])),
    ]


def write_made_by(rows: Rows, path: Path) -> None:
    """The file next to an output that says what it was made by."""
    output_files(path)[1].write_text(json.dumps(rows.made_by, indent=1) + "\n", encoding="utf-8")


def append_text(table: pa.Table, file: BinaryIO, delimiter: str, header: bool) -> None:
    """
    Append rows as CSV, with quotes where they are needed, or as TSV, without: tabs and line ends are spaces.

    No formulas for a spreadsheet to run.
    """
    table = _plain(table)
    rules = [(FORMULA, INERT)] + ([("[\t\r\n]", " ")] if delimiter == "\t" else [])
    for pattern, new in rules:
        table = pa.table(
            [
                pc.replace_substring_regex(each, pattern, new) if pa.types.is_string(each.type) else each
                for each in table.columns
            ],
            [re.sub(pattern, new, name) for name in table.column_names],
        )
    text = [pa.array(table.column_names), *(column for column in table.columns if pa.types.is_string(column.type))]
    is_special = any(pc.any(pc.match_substring_regex(each, f'["\r\n{delimiter}]')).as_py() for each in text)
    if is_special and delimiter == "\t":  # quotes, which Arrow does not write as letters
        columns = [each.cast(pa.string()).fill_null("") for each in table.columns]
        lines = pc.binary_join_element_wise(*columns, "\t").to_pylist()
        names = ["\t".join(table.column_names)] if header else []
        file.write("".join(f"{line}\n" for line in names + lines).encode())
        return
    style = "needed" if is_special else "none"
    options = {"delimiter": delimiter, "quoting_style": style, "quoting_header": style}
    pa_csv.write_csv(table, file, pa_csv.WriteOptions(include_header=header, **options))


def _plain(table: pa.Table) -> pa.Table:
    """Numbers and text stay; everything else becomes text: lists and structs as JSON, dates as ISO 8601."""
    types = pa.types
    for i, field in enumerate(table.schema):
        if types.is_large_string(field.type):
            table = table.set_column(i, field.name, table[i].cast(pa.string()))
        elif not (types.is_primitive(field.type) or types.is_string(field.type)) or types.is_temporal(field.type):
            as_text = partial(json.dumps, ensure_ascii=False, default=str) if types.is_nested(field.type) else str
            values = [None if value is None else as_text(value) for value in table[i].to_pylist()]
            table = table.set_column(i, field.name, pa.array(values, pa.string()))
    return table


def _without_missing(table: pa.Table) -> pa.Table:
    """For AnnData: missing text is empty, missing numbers are NaN, and truth values among missing ones are text."""
    table = _plain(table)
    for i, column in enumerate(table.columns):
        if pa.types.is_boolean(column.type) and column.null_count:
            column = column.cast(pa.string())
        if pa.types.is_string(column.type):
            table = table.set_column(i, table.column_names[i], pc.fill_null(column, ""))
    return table
