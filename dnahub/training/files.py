"""Files of labelled sequences -> one split a role, columns as they are."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import sys
import textwrap
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from datasets import (
    Dataset,
    DatasetDict,
    Features,
    IterableDataset,
    IterableDatasetDict,
    Value,
    concatenate_datasets,
    load_dataset,
)
from datasets.data_files import DataFilesList
from datasets.exceptions import DatasetGenerationError

# Only an empty field is missing: pandas would take labels called NA, None or null for missing, too.
_ONLY_EMPTY_IS_MISSING = {"keep_default_na": False, "na_values": [""]}
FASTA_COLUMNS = ["id", "description", "sequence"]
_FASTA = ("fasta", {"columns": FASTA_COLUMNS})
# Suffix -> the packaged reader of `datasets`, and its options.
READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {"sep": ",", **_ONLY_EMPTY_IS_MISSING}),
    ".tsv": ("csv", {"sep": "\t", **_ONLY_EMPTY_IS_MISSING}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
    ".fa": _FASTA,
    ".fasta": _FASTA,
    ".fna": _FASTA,
    ".ffn": _FASTA,
}
COMPRESSIONS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
HEAD_BYTES = 1 << 16
LONGEST_CAUSE_SHOWN = 200

# Numbers as they are written when nothing is lost by reading them: "007" and ids of 19 digits stay strings.
INTEGERS = r"^(0|-?[1-9][0-9]{0,17})$"
DECIMALS = r"^-?((0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^-?([nN][aA][nN]|[iI][nN][fF])$"

# What the readers raise for files that they cannot read; the JSON reader with pandas 2 an AttributeError, too.
_FAULTS = (
    *(DatasetGenerationError, OSError, EOFError, ValueError, TypeError, AttributeError),
    *(zlib.error, lzma.LZMAError, csv.Error),
)

csv.field_size_limit(sys.maxsize)  # the default is 131,072 letters, and sequences may be longer


class SequenceFileError(ValueError):
    """A file that cannot be trained on; the message holds its path and what to do."""


def load_files(
    files: Mapping[str, Sequence[str]], columns: Sequence[str], streaming: bool = False
) -> DatasetDict | IterableDatasetDict:
    """
    Load files of sequences and labels, a list of them for each split.

    The format goes by the suffix: CSV and TSV with a header line, JSON (a list of rows, or a row a line), Parquet and
    FASTA; all but Parquet may be compressed by gzip, bzip2 or xz. A record of FASTA has the columns `id`,
    `description` and `sequence`; any other that is needed is taken from its header, `>seq1 species=mouse gene:G1`.
    What CSV, TSV and FASTA headers hold is a number where all values of a column, in all splits, are numbers.

    Args:
        files: Paths of each split, such as {"train": ["a.csv", "b.csv"], "test": ["c.csv"]}; the files of one split
            are of one format and have the same columns.
        columns: The columns that are needed.
        streaming: Read the rows when they are asked for, one file a shard. What CSV, TSV and FASTA headers hold is
            then a string, for whether all values are numbers is known at the end only.

    Returns:
        The splits with all columns of their files.

    Raises:
        ValueError: If a file is not there, is empty, is of another format or cannot be read, lacks a needed column,
            or does not go with the others of its split. With `streaming`, the first row of each file is read at once;
            the fault of a later one is raised when it is reached.
    """
    splits, texts = {}, {}
    for split, names in files.items():
        paths = [Path(name) for name in names]
        _check_formats(split, paths)
        first_rows = [_first_row(path, columns) for path in paths]
        for path, row in zip(paths, first_rows, strict=True):
            if row.keys() != first_rows[0].keys():
                raise SequenceFileError(
                    f"{path}: its columns are {', '.join(row)}, but those of {paths[0]} are "
                    f"{', '.join(first_rows[0])}; files of one split must have the same."
                )
        if streaming:
            splits[split] = _stream(split, paths, columns, first_rows[0])
            continue
        splits[split] = _load(split, paths, columns, first_rows[0])
        if _reader(paths[0])[0] in ("csv", "fasta"):
            texts[split] = [name for name in first_rows[0] if _reader(paths[0]) != _FASTA or name not in FASTA_COLUMNS]
    return IterableDatasetDict(splits) if streaming else DatasetDict(_with_numbers(splits, texts))


def _suffix(path: Path) -> str:
    """The suffix that says the format, without that of a compression."""
    return Path(path.stem if path.suffix.lower() in COMPRESSIONS else path.name).suffix.lower()


def _reader(path: Path) -> tuple[str, dict[str, Any]]:
    return READERS[_suffix(path)]


def _open(path: Path) -> BinaryIO:
    return COMPRESSIONS.get(path.suffix.lower(), open)(path, "rb")


def _check_formats(split: str, paths: list[Path]) -> None:
    if not paths:
        raise ValueError(f"split {split}: no file is given; name one or more, or leave the split out.")
    for path in paths:
        _check_path(path)
        if _reader(path) != _reader(paths[0]):
            raise SequenceFileError(
                f"{path}: it is {_suffix(path)} and {paths[0]} is {_suffix(paths[0])}; give the files of one split in "
                "one format."
            )
        with _reading(path):
            _check_beginning(path)


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise SequenceFileError(f"{path}: it is a folder; name the files in it.")
    if not path.is_file():
        raise SequenceFileError(f"{path}: there is no such file; check the path.")
    compressed = path.suffix.lower() in COMPRESSIONS
    if _suffix(path) not in READERS or (compressed and _suffix(path) == ".parquet"):
        raise SequenceFileError(
            f"{path}: its suffix is none of {', '.join(READERS)}, which all but .parquet may have a "
            f"{', '.join(COMPRESSIONS)} behind them; convert or rename the file."
        )
    if any(mark in str(path.absolute()) for mark in ("::", ":/", "\\")) or set(path.name) & set("[]"):
        raise SequenceFileError(
            f"{path}: datasets takes '::', ':/', '\\' in a path, and '[', ']' in a file's name, for parts of an "
            "address; rename the file or its folder."
        )


def _check_beginning(path: Path) -> None:
    """What the readers let pass: no letter at all, text before the first record, JSON that is no list of rows."""
    with _open(path) as file:
        head = file.read(HEAD_BYTES)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise SequenceFileError(f"{path}: it is empty; give a file with rows.")
    reader, _ = _reader(path)
    if reader == "fasta" and not head.lstrip().startswith(b">"):  # nor a byte order mark: its record would be lost
        shown = head.lstrip()[:30].decode("utf-8", "replace").splitlines()[0]
        raise SequenceFileError(
            f"{path}: {shown!r} stands before the first '>'; a FASTA file begins with '>' and a record's id."
        )
    if reader == "json" and not _begins_with_a_row(path, text):
        raise SequenceFileError(
            f'{path}: it is no list of rows; write [{{"sequence": "ACGT", "label": "a"}}, …], or such a row a line.'
        )


def _begins_with_a_row(path: Path, text: bytes) -> bool:
    if text.startswith(b"["):
        return text[1:].lstrip()[:1] in (b"{", b"]", b"")
    if not text.startswith(b"{"):
        return False
    with _open(path) as file:
        line = next(line for line in file if line.strip())
    try:
        return isinstance(json.loads(line.decode("utf-8-sig")), dict)
    except json.JSONDecodeError:
        return False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a reader says of a file that it cannot read becomes one sentence with the file's name."""
    try:
        yield
    except SequenceFileError:
        raise
    except _FAULTS as error:
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UnicodeDecodeError):
            raise SequenceFileError(f"{path}: it is not UTF-8 text ({cause}); save it as UTF-8.") from error
        told = textwrap.shorten(str(cause), LONGEST_CAUSE_SHOWN, placeholder=" …")
        raise SequenceFileError(
            f"{path}: it cannot be read as {_suffix(path)} ({told}); mend it, or fetch it again."
        ) from error


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of one file, one by one."""
    with _reading(path):
        reader, options = _reader(path)
        if reader == "csv":
            yield from _csv_rows(path, options["sep"])
        elif reader == "fasta":
            for row in _packaged(path, streaming=True):
                values = {key: _header_value(path, key, row) for key in columns if key not in FASTA_COLUMNS}
                yield {**row, **values}
        else:
            yield from _packaged(path, streaming=True)


def _packaged(path: Path, streaming: bool, **options) -> Dataset | IterableDataset:
    """The file by the packaged reader of `datasets`."""
    reader, own_options = _reader(path)
    # Given as it is, for a string would be a pattern, where "*" has a meaning; the rest is the key of the cache.
    stat = path.stat()
    data_files = DataFilesList([str(path.absolute())], [(str(stat.st_mtime_ns), str(stat.st_size))])
    return load_dataset(
        reader, data_files={"train": data_files}, split="train", streaming=streaming, **own_options, **options
    )


def _csv_rows(path: Path, separator: str) -> Iterator[dict[str, str | None]]:
    """
    The rows with all values as strings.

    The packaged reader fills short lines with missing values, and where all lines are longer than the header it takes
    the first column for an index and shifts the others (datasets 5.2); here both are errors.
    """
    with _open(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        header = next(row for row in reader if row)
        if len(set(header)) < len(header):
            raise SequenceFileError(f"{path}: two columns of {', '.join(header)} have one name; rename one of them.")
        for row in reader:
            if len(row) == len(header):
                yield {name: value or None for name, value in zip(header, row, strict=True)}
            elif row:
                raise SequenceFileError(
                    f"{path}, line {reader.line_num}: it has {len(row)} fields, but the header has {len(header)}; "
                    "mend the line, with quotes around a field that holds a separator."
                )


def _header_value(path: Path, key: str, record: Mapping[str, str]) -> str:
    for word in record["description"].split():
        if word.startswith((f"{key}=", f"{key}:")) and len(word) > len(key) + 1:
            return word[len(key) + 1 :]
    raise SequenceFileError(
        f"{path}, record {record['id']}: there is no {key}=… or {key}:… in its header; add it, or name another column."
    )


def _first_row(path: Path, columns: Sequence[str]) -> dict[str, Any]:
    row = next(_rows(path, columns), None)
    if row is None:
        raise SequenceFileError(f"{path}: it holds no rows; give a file with rows.")
    for column in columns:
        if column not in row:
            raise SequenceFileError(f"{path}: there is no column {column!r}, only {', '.join(row)}.")
    return row


def _stream(split: str, paths: list[Path], columns: Sequence[str], first_row: Mapping[str, Any]) -> IterableDataset:
    features = Features(dict.fromkeys(first_row, Value("string")))
    if _reader(paths[0])[0] not in ("csv", "fasta"):
        with _reading(paths[0]):
            # A JSON list has to be read as a whole before the types of its columns are known.
            features = _packaged(paths[0], streaming=True).features or _packaged(paths[0], streaming=False).features
    # Lists are sharded, a file each; the columns are the same for all.
    arguments = {"paths": paths, "columns": tuple(columns)}
    return IterableDataset.from_generator(_rows_of_all, features=features, gen_kwargs=arguments, split=split)


def _rows_of_all(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from _rows(path, columns)


def _load(split: str, paths: list[Path], columns: Sequence[str], first_row: Mapping[str, Any]) -> Dataset:
    tables = []
    for path in paths:
        with _reading(path):
            table = _load_one(path, columns, first_row)
        tables.append(table)
        for name, feature in tables[0].features.items():
            if table.features[name] != feature:
                raise SequenceFileError(
                    f"{path}: column {name!r} is {table.features[name]}, but that of {paths[0]} is {feature}; write "
                    "its values alike in both."
                )
    return concatenate_datasets(tables, split=split)


def _load_one(path: Path, columns: Sequence[str], first_row: Mapping[str, Any]) -> Dataset:
    reader, options = _reader(path)
    if reader == "csv":
        for _ in _csv_rows(path, options["sep"]):
            pass  # for the checks
        return _packaged(path, streaming=False, features=Features(dict.fromkeys(first_row, Value("string"))))
    if reader == "json":
        with _open(path) as binary, io.TextIOWrapper(binary, encoding="utf-8") as text:
            while text.read(HEAD_BYTES):
                pass  # the packaged reader lets other encodings pass, and the rows cannot be read later
    table = _packaged(path, streaming=False)
    if reader == "fasta":
        keys = [key for key in dict.fromkeys(columns) if key not in FASTA_COLUMNS]
        values = {key: [] for key in keys}
        for batch in table.with_format("arrow").iter(batch_size=10_000):
            for record_id, description in zip(batch["id"].to_pylist(), batch["description"].to_pylist(), strict=True):
                for key in keys:
                    values[key].append(_header_value(path, key, {"id": record_id, "description": description}))
        for key in keys:
            table = table.add_column(key, pa.array(values[key], pa.string()), feature=Value("string"))
    return table


def _with_numbers(splits: dict[str, Dataset], texts: Mapping[str, Sequence[str]]) -> dict[str, Dataset]:
    """Columns of text that hold numbers alone, over all splits, become numbers; `texts` names those of each split."""
    chunks: dict[str, list[pa.ChunkedArray]] = {}
    for split, names in texts.items():
        for name in names:
            chunks.setdefault(name, []).append(splits[split].data.column(name))
    types = {name: _type_of(columns) for name, columns in chunks.items()}
    typed = dict(splits)
    for split, names in texts.items():
        features = Features({**splits[split].features, **{name: types[name] for name in names}})
        if features != splits[split].features:
            typed[split] = splits[split].cast(features)
    return typed


def _type_of(columns: Sequence[pa.ChunkedArray]) -> Value:
    for pattern, numbers in ((INTEGERS, Value("int64")), (DECIMALS, Value("float64"))):
        fits = [pc.all(pc.match_substring_regex(column, pattern), min_count=1).as_py() for column in columns]
        if True in fits and False not in fits:  # None: all values are missing
            return numbers
    return Value("string")
