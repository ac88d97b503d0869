"""Rows of shards -> one HDF5 file, plain (.h5) or as AnnData (.h5ad)."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dnahub.inference.outputs_rows import Column, FormatError, Part, ShardRows
from dnahub.inference.shards import WINDOW_COLUMNS

if TYPE_CHECKING:  # an extra
    import h5py

CHUNK_BYTES = 1 << 20  # the size of HDF5's cache of chunks for a data set, until HDF5 2.0
CHUNK_ROWS = 16_384  # of a column
# The on-disk format of AnnData: https://anndata.readthedocs.io/en/stable/fileformat-prose.html
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}
_STRINGS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}


class _Disk:
    """
    A file for HDF5 that never fails: after its first error it pretends to write, and `check` raises that error.

    A write that fails, or an interrupt within it, leaves the HDF5 library in a state in which closing the file or
    freeing its objects ends the process by a segmentation fault (h5py 3.16, HDF5 2.0).
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._error: BaseException | None = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _try(self, call: Callable[[], int], pretended: int) -> int:
        if self._error is None:
            try:
                return call()
            except BaseException as error:  # an interrupt, too
                self._error = error
        return pretended

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(lambda: self._file.seek(offset, whence), offset)

    def tell(self) -> int:
        return self._file.tell()

    def write(self, content: memoryview) -> int:
        return self._try(lambda: self._write(memoryview(content)), len(content))

    def _write(self, content: memoryview) -> int:
        done = 0
        while done < len(content):  # a file without a buffer may take a part; the next call has the error
            done += self._file.write(content[done:])
        return done

    def read(self, size: int = -1) -> bytes:
        """Asked for by h5py to know a file by; it calls `readinto`."""
        return self._file.read(size)

    def truncate(self, size: int) -> int:
        return self._try(lambda: self._file.truncate(size), size)

    def readinto(self, buffer: memoryview) -> int:
        return self._try(lambda: self._file.readinto(buffer), len(buffer))

    def flush(self) -> None:
        self._try(lambda: self._file.flush() or 0, 0)


@contextmanager
def _created(path: Path) -> Iterator[tuple["h5py.File", _Disk]]:
    import h5py

    with open(path, "w+b", buffering=0) as file:
        disk = _Disk(file)
        try:
            with h5py.File(disk, "w") as hdf5:
                yield hdf5, disk
        finally:
            disk.check()  # whatever HDF5 made of it


def write_hdf5(rows: ShardRows, path: Path, made_by: dict[str, Any]) -> None:
    """
    Data sets `embedding` (rows, hidden), `id`, and each column of the source; what made it is the attribute
    `embedding`, as JSON. Per token `embedding` is (tokens of all rows, hidden), with `num_tokens` and `offset` of
    each row.
    """
    with _created(path) as (file, disk):
        file.attrs["embedding"] = json.dumps(made_by)
        vectors = _vectors(file, "embedding", rows)
        columns = {column: _column(file, column.name, column, rows) for column in rows.columns}
        for part in rows.parts():
            vectors[part.first_vector : part.first_vector + len(part.vectors)] = part.vectors
            for column, dataset in columns.items():
                _write(dataset, part, column.values(part.columns))
            disk.check()


def write_h5ad(rows: ShardRows, path: Path, made_by: dict[str, Any]) -> None:
    """
    X = the embeddings, obs_names = the ids, obs = the columns of the source, uns["embedding"] = what made it, less
    what is None: AnnData has no word for that which its older versions read.

    Windows of one sequence have its id in the column `id`, and are named `id:start-end`.
    """
    import h5py
    import pandas as pd
    from anndata.io import write_elem

    with _created(path) as (file, disk):
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "uns", {"embedding": {name: value for name, value in made_by.items() if value is not None}})
        write_elem(file, "var", pd.DataFrame(index=[str(i) for i in range(rows.hidden_size)]))
        for name in ("layers", "obsm", "varm", "obsp", "varp"):
            write_elem(file, name, {})
        # AnnData's own writer takes whole columns; these are written as they come.
        vectors = _vectors(file, "X", rows)
        vectors.attrs.update(_ARRAY)
        obs = file.create_group("obs")
        index, *others = rows.columns
        if rows.with_windows:
            others = rows.columns
        obs.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
        obs.attrs["column-order"] = np.array([column.name for column in others], dtype=h5py.string_dtype())
        names = _column(obs, "_index", index, rows)
        columns = {column: _column(obs, column.name, column, rows) for column in others}
        for dataset, column in ((names, index), *((dataset, column) for column, dataset in columns.items())):
            dataset.attrs.update(_STRINGS if column.dtype is None else _ARRAY)
        for part in rows.parts():
            vectors[part.first_vector : part.first_vector + len(part.vectors)] = part.vectors
            values = {column: column.values(part.columns) for column in rows.columns}
            for column, dataset in columns.items():
                _write(dataset, part, values[column])
            ids = values[index]
            if rows.with_windows:
                start, end = (part.columns[name].to_pylist() for name in WINDOW_COLUMNS)
                ids = np.array([f"{i}:{a}-{b}" for i, a, b in zip(ids, start, end, strict=True)], dtype=object)
            _write(names, part, ids)
            disk.check()


def _vectors(group: "h5py.Group", name: str, rows: ShardRows) -> "h5py.Dataset":
    chunk = max(1, min(rows.num_vectors, CHUNK_BYTES // (rows.hidden_size * rows.dtype.itemsize)))
    shape = (rows.num_vectors, rows.hidden_size)
    return group.create_dataset(name, shape, rows.dtype, chunks=(chunk, rows.hidden_size))


def _column(group: "h5py.Group", name: str, column: Column, rows: ShardRows) -> "h5py.Dataset":
    import h5py

    dtype = h5py.string_dtype() if column.dtype is None else column.dtype
    return group.create_dataset(name, (rows.num_rows,), dtype, chunks=(min(rows.num_rows, CHUNK_ROWS),))


def _write(dataset: "h5py.Dataset", part: Part, values: np.ndarray) -> None:
    if values.dtype == object and any("\0" in value for value in values):
        raise FormatError(
            f"Column {dataset.name.rpartition('/')[2]!r} holds text with a NUL character, which HDF5 cannot; mend the "
            "input, or write .parquet."
        )
    dataset[part.first_row : part.first_row + len(values)] = values


def read_hdf5_made_by(path: Path) -> Any:
    import h5py

    with h5py.File(path) as file:
        return json.loads(file.attrs["embedding"])


def read_h5ad_made_by(path: Path) -> Any:
    import h5py
    from anndata.io import read_elem

    with h5py.File(path) as file:
        return _plain(read_elem(file["uns/embedding"]))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
