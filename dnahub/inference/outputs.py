"""Finished parts -> the one output, in the format that its suffix names."""

import hashlib
import importlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dnahub.inference.counts import Counts
from dnahub.inference.faults import explained_disk
from dnahub.inference.formats import Rows, ids_file, json_file, write_csv, write_h5ad, write_npy, write_parquet
from dnahub.inference.parts import Facts, Parts, parts_folder
from dnahub.inference.progress import writing_bar
from dnahub.inference.rows import EMBEDDING, WINDOW_COLUMNS

FORMATS: dict[str, Callable[[Rows, Path], None]] = {
    ".parquet": write_parquet,
    ".npy": write_npy,
    ".h5ad": write_h5ad,
    ".csv": write_csv,
    ".tsv": write_csv,
}
PER_TOKEN = (".parquet", ".npy")  # the others have one vector a row


def output_files(output: Path) -> list[Path]:
    """All files of an output, itself first."""
    beside = {".npy": [ids_file(output), json_file(output)], ".csv": [json_file(output)], ".tsv": [json_file(output)]}
    return [output, *beside.get(output.suffix.lower(), [])]


def check_output(
    output: Path, inputs: Sequence[str], columns: Sequence[str], with_windows: bool, per_token: bool, overwrite: bool
) -> None:
    """
    Find before the work what would stop the writing after it.

    Args:
        output: The file to write.
        inputs: Files that are read.
        columns: Names of the source's columns, `id` among them.
        with_windows: Whether a row is a window.
        per_token: Whether a row has a vector for each token.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        ValueError: If the output exists or is an input, its folder is missing or not writable, its suffix is unknown,
            or the format cannot hold the rows.
    """
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"--output {output}: the suffix is one of {', '.join(FORMATS)}.")
    folder = parts_folder(output)
    for path in output_files(output):
        if path.is_dir():
            raise ValueError(f"--output {path} is a folder; name a file.")
        # Files beside an output that does not exist are those of an interrupted run.
        if path.exists() and not overwrite and (path == output or not folder.exists()):
            left = f" ({folder} has parts of an interrupted run)" if folder.exists() else ""
            raise ValueError(f"--output {path} exists{left}; name another file, or give --overwrite.")
    if any(output.exists() and Path(name).exists() and output.samefile(name) for name in inputs):
        raise ValueError(f"--output {output} is the input; name another file.")
    if per_token and suffix not in PER_TOKEN:
        raise ValueError(f"--output {output}: --per_token goes into {' or '.join(PER_TOKEN)}; name such a file.")
    _check_columns(output, columns, with_windows, per_token)
    if suffix == ".h5ad":
        try:
            importlib.import_module("anndata")
        except ImportError as error:
            raise ValueError(
                f"--output {output}: .h5ad needs the package anndata; run pip install -r requirements-extra.txt, or "
                "name a .parquet file."
            ) from error
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"--output {output}: no file can be written in {output.parent} ({error.strerror}); name another folder."
        ) from error


def _check_columns(output: Path, columns: Sequence[str], with_windows: bool, per_token: bool) -> None:
    suffix = output.suffix.lower()
    added = [
        EMBEDDING,
        *(WINDOW_COLUMNS if with_windows else ()),
        *(("num_tokens", "offset") if per_token else ()),
    ]
    for name in columns:
        if list(columns).count(name) > 1:
            raise ValueError(f"The input has two columns {name!r}; rename one of them.")
        if name in added or (suffix in (".csv", ".tsv") and re.fullmatch(r"e\d+", name)):
            raise ValueError(f"The input has a column {name!r}, a name that the output uses itself; rename it.")
        if suffix == ".h5ad" and ("/" in name or name == "_index"):
            raise ValueError(f"{output}: .h5ad cannot hold a column {name!r}; rename it, or name a .parquet file.")


def write_output(output: Path, rows: Rows) -> None:
    """
    Write all rows into one file, and those beside it; the parts stay.

    It is written in the folder of the parts and moved: a process that is killed leaves nothing elsewhere.

    Raises:
        ValueError: If a part is damaged or the disk is full. The output is then what it was.
    """
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=parts_folder(output)) as scratch:
        complete = Path(scratch) / output.name
        with explained_disk(output):
            FORMATS[output.suffix.lower()](rows, complete)
            for path in output_files(complete):
                with open(path, "rb") as file:
                    os.fsync(file.fileno())  # the parts are removed next
        _, *beside = output_files(complete)
        if beside:  # an old array must never stand beside the new ids
            output.unlink(missing_ok=True)
        for path in beside:
            os.replace(path, output.with_name(path.name))
        os.replace(complete, output)


def join(parts: Parts, digests: Sequence[str], output: Path, made_by: dict[str, Any]) -> list[Facts] | None:
    """
    Write the output, if the parts of all blocks are there, and remove these.

    Args:
        parts: Of the output.
        digests: Of all blocks, in order.
        output: The file; what is there is replaced.
        made_by: What the output says of itself; the backends and a digest of the input are added.

    Returns:
        The facts of all parts; None if one is missing, or another process writes the output.

    Raises:
        ValueError: As `write_output`.
    """
    if parts.find_all(digests) is None:
        return None
    with parts.locked() as is_mine:
        facts = parts.find_all(digests) if is_mine else None  # again: they may have been joined meanwhile
        if facts is None:
            return None
        parts.remove_scratch()
        counts = Counts.total(each.counts for each in facts)
        made_by = made_by | {
            "backend": ", ".join(sorted({each.backend for each in facts})),
            "input_digest": hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest(),
        }
        with writing_bar(counts.rows) as progress:
            paths = [parts.path(block) for block in range(len(digests))]
            write_output(output, Rows(paths, parts.layout, counts.vectors, made_by, progress))
        parts.remove()
    parts.remove_folder()
    return facts
