"""Finished shards -> the one output, in the format that its suffix names."""

import importlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dnahub.inference.faults import full_disk_told
from dnahub.inference.outputs_arrays import (
    ids_file,
    made_by_file,
    read_npy_made_by,
    read_safetensors_made_by,
    write_npy,
    write_safetensors,
)
from dnahub.inference.outputs_hdf5 import read_h5ad_made_by, read_hdf5_made_by, write_h5ad, write_hdf5
from dnahub.inference.outputs_parquet import read_parquet_made_by, write_parquet
from dnahub.inference.outputs_rows import ShardRows
from dnahub.inference.outputs_zarr import read_zarr_made_by, write_zarr
from dnahub.inference.shards import check_columns

# Suffix -> what writes such a file, and what reads from it what made it.
FORMATS: dict[str, tuple[Callable[[ShardRows, Path, dict[str, Any]], None], Callable[[Path], Any]]] = {
    ".parquet": (write_parquet, read_parquet_made_by),
    ".npy": (write_npy, read_npy_made_by),
    ".safetensors": (write_safetensors, read_safetensors_made_by),
    ".zarr": (write_zarr, read_zarr_made_by),
    ".h5": (write_hdf5, read_hdf5_made_by),
    ".hdf5": (write_hdf5, read_hdf5_made_by),
    ".h5ad": (write_h5ad, read_h5ad_made_by),
}
OUTPUT_SUFFIXES = tuple(FORMATS)
EXTRAS = {".zarr": "zarr", ".h5": "h5py", ".hdf5": "h5py", ".h5ad": "anndata"}
# Formats whose columns are objects with a path, and the names that these, or AnnData, keep for themselves.
_WITH_PATHS = (".zarr", ".h5", ".hdf5", ".h5ad")
_NAME = re.compile(r"(?!\.|__)[^/\\\0]+")
_KEPT_NAMES = ("_index", "zarr.json")


def output_files(output: Path) -> list[Path]:
    """All files that an output has, itself first: what --overwrite speaks of."""
    output = Path(output)
    suffix = _suffix(output)
    beside = {".npy": [ids_file(output), made_by_file(output)], ".safetensors": [ids_file(output)]}
    return [output, *beside.get(suffix, [])]


def check_output(output: Path, per_token: bool, long_windows: bool, columns: Sequence[str] = ("id",)) -> None:
    """
    Find before the work what would stop the writing after it.

    Args:
        output: The file to write (.zarr: folder).
        per_token: Whether a row has a vector for each token.
        long_windows: Whether a row is a window.
        columns: Names of the source's columns that are kept, `id` among them.

    Raises:
        ValueError: If the suffix is unknown, a package is missing, the folder is missing or cannot be written to,
            another thing has the name, or the format cannot hold such rows or columns of these names.
    """
    output = Path(output)
    suffix = _suffix(output)
    _check_rows(output, per_token=per_token, columns=columns)
    check_columns(columns, with_windows=long_windows, per_token=per_token)
    if suffix in EXTRAS:
        try:
            importlib.import_module(EXTRAS[suffix])
        except ImportError as error:
            raise ValueError(
                f"{output}: to write {suffix} needs the package {EXTRAS[suffix]}, which is not installed; run pip "
                "install -r requirements-extra.txt, or name a .parquet file."
            ) from error
    _check_place(output)


def _suffix(output: Path) -> str:
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{output}: the output's suffix tells its format; it is one of {', '.join(OUTPUT_SUFFIXES)}.")
    return suffix


def _check_rows(output: Path, *, per_token: bool, columns: Sequence[str]) -> None:
    suffix = _suffix(output)
    if per_token and suffix == ".h5ad":
        raise ValueError(
            f"{output}: AnnData has one vector a row, so --per_token cannot be written as .h5ad; name a file of "
            f"another suffix: {', '.join(other for other in OUTPUT_SUFFIXES if other != suffix)}."
        )
    for name in columns:
        if suffix in _WITH_PATHS and (not _NAME.fullmatch(name) or name in _KEPT_NAMES):
            raise ValueError(
                f"{output}: {suffix} cannot hold a column of the name {name!r}; rename it in the input, or name a "
                ".parquet file."
            )


def _check_place(output: Path) -> None:
    folder = output.parent
    if not folder.is_dir():
        raise ValueError(f"{output} cannot be written: there is no folder {folder}; make it, or name another.")
    for path in output_files(output):
        if path.suffix.lower() == ".zarr":
            # An older one is replaced as a whole: nothing but a Zarr group goes that way.
            if path.exists() and not (path / "zarr.json").is_file():
                raise ValueError(f"{path} is there, but is no Zarr group of format 3; name another folder.")
        elif path.is_dir():
            raise ValueError(f"{path} is a folder; name a file.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written: nothing can be put into {folder} ({error.strerror}); name another folder."
        ) from error


def write_output(
    shards: Sequence[Path], output: Path, made_by: dict[str, Any], progress: Callable[[int], Any] | None = None
) -> None:
    """
    All rows of the shards, in their order, in one file; the shards stay.

    It is written within the folder of the shards, which has to be on the output's file system, and moved when it is
    whole: a process that is killed leaves nothing elsewhere. Memory holds a few row groups.

    Args:
        shards: Their paths, in order.
        output: The file (.zarr: folder); what is there is replaced.
        made_by: What is to stand in the output about itself; see `read_made_by`.
        progress: Called with a number of rows that were written since.

    Raises:
        FormatError: If the format cannot hold what stands in them.
        ValueError: If there are no shards, one is damaged or unlike the others, or the disk is full. The output is
            then what it was.
    """
    output = Path(output)
    rows = ShardRows(shards, progress)
    _check_rows(output, per_token=rows.per_token, columns=[column.name for column in rows.columns])
    write, _ = FORMATS[_suffix(output)]
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=rows.paths[0].parent) as scratch:
        whole = Path(scratch) / output.name
        with full_disk_told(output):
            write(rows, whole, made_by)
            _sync(Path(scratch))
        _move(whole, output)


def _sync(folder: Path) -> None:
    """The shards are removed after this: what was made of them has to be on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(Path(parent) / name, "rb") as file:
                os.fsync(file.fileno())


def _move(whole: Path, output: Path) -> None:
    made, beside = output_files(whole)[0], output_files(whole)[1:]
    if output.is_dir():  # no system call replaces a folder with files in it
        os.rename(output, whole.with_name("replaced"))
    elif beside:  # an older one must not stand beside the new table of ids, even if this process ends here
        output.unlink(missing_ok=True)
    for path in beside:
        os.replace(path, output.with_name(path.name))
    os.replace(made, output)


def read_made_by(output: Path) -> dict[str, Any]:
    """
    What made an output: model, revision, pooling, layer, dtype and the like.

    Raises:
        ValueError: If nothing of that stands there.
    """
    output = Path(output)
    _, read = FORMATS[_suffix(output)]
    try:
        return read(output)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{output} does not say what made it; it is no output of embed.py.") from error
