"""Parquet files of embeddings and labels -> vectors and labels of three splits."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, DatasetDict, Features

from dnahub.tasks.task import Labels

SPLITS = ("train", "validation", "test")
# What embed.py writes about the making of the vectors, and which of it must be the same in all splits.
MADE_BY = b"embedding"
THE_SAME = ("weights", "pooling", "layer", "normalize", "reverse_complement")


@dataclass(frozen=True)
class LabelledEmbeddings:
    """
    Args:
        name: Of the data, for titles.
        vectors: Split -> float32 (rows, hidden).
        labels: Split -> int64 (rows,), indices into the label names.
        meaning: What the labels mean.
        rows: Columns `sequence` and `label` of each split; None without sequences.
        build: What the data set's build.json says; empty where there is none.
    """

    name: str
    vectors: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    meaning: Labels
    rows: DatasetDict | None
    build: Mapping[str, Any] = field(default_factory=dict)


def read_embeddings(files: dict[str, str], label_column: str) -> LabelledEmbeddings:
    """
    Read embeddings of any encoder, one vector a row, as embed.py writes them.

    Args:
        files: A Parquet file for "train_embeddings", "validation_embeddings" and "test_embeddings", or one for
            "embeddings", with a column `split`. Further columns are `embedding` (lists of floating-point numbers, all
            of one length), the labels and, for k-mer baselines, `sequence`.
        label_column: Column of the labels: text, whole numbers or booleans.

    Raises:
        ValueError: A file that is not Parquet; a missing column, split, label or row; vectors of different lengths,
            not finite, or made with different settings; a label that train lacks, or one label only.
    """
    if "embeddings" in files:
        path = files["embeddings"]
        whole = _read(path, label_column, with_split=True)
        unknown = set(map(str, whole["split"].unique().to_pylist())) - set(SPLITS)
        if unknown:
            raise ValueError(f"{path}: column 'split' contains {min(unknown)!r}; allowed are {', '.join(SPLITS)}.")
        tables = {split: whole.filter(pc.equal(whole["split"], split)) for split in SPLITS}
        places = {split: f"{path}, split {split}" for split in SPLITS}
    else:
        places = {split: files[f"{split}_embeddings"] for split in SPLITS}
        tables = {split: _read(path, label_column, with_split=False) for split, path in places.items()}
        path = places["test"]
    for split, table in tables.items():
        if not len(table):
            raise ValueError(f"{places[split]}: there are no rows; a probe needs {', '.join(SPLITS)}.")
    vectors = {split: _vectors(places[split], table["embedding"]) for split, table in tables.items()}
    _check_alike(places, tables, vectors)
    names = tables["train"]["label"].unique().sort().cast(pa.string()).to_pylist()
    if len(names) < 2:
        raise ValueError(f"{places['train']}: all labels are {names[0]!r}; a probe needs two labels or more.")
    labels = {split: _label_ids(places[split], table["label"], names) for split, table in tables.items()}
    rows = None
    if all("sequence" in table.column_names for table in tables.values()):
        columns = {s: {"sequence": table["sequence"].to_pylist(), "label": labels[s]} for s, table in tables.items()}
        rows = DatasetDict({split: Dataset.from_dict(each) for split, each in columns.items()})
    meaning = Labels(names, len(names))
    return LabelledEmbeddings(Path(path).name, vectors, labels, meaning, rows)


def _read(path: str, label_column: str, with_split: bool) -> pa.Table:
    """`embedding`, `label` and, if any, `sequence` and `split`."""
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from error
    needed = ["embedding", label_column, *(["split"] if with_split else [])]
    for column in needed:
        if column not in schema.names:
            raise ValueError(f"{path}: there is no column {column!r}, only {', '.join(schema.names)}.")
    optional = [column for column in ("sequence",) if column in schema.names and column != label_column]
    table = pq.read_table(path, columns=[*needed, *optional])
    for column in table.column_names:
        missing = np.flatnonzero(table[column].is_null())
        if len(missing):
            raise ValueError(f"{path}: row {missing[0]} has no {column}; complete that row or leave it out.")
    names = _label_names(path, table, label_column)
    return table.drop_columns([label_column]).append_column("label", names)


def _label_names(path: str, table: pa.Table, column: str) -> pa.ChunkedArray:
    """Labels as text, or as whole numbers where these have no names."""
    labels, feature = table[column], None
    if b"huggingface" in (table.schema.metadata or {}):
        feature = Features.from_arrow_schema(table.schema)[column]
    if isinstance(feature, ClassLabel):
        unnamed = np.flatnonzero((labels.to_numpy() < 0) | (labels.to_numpy() >= len(feature.names)))
        if len(unnamed):  # -1 is a missing label
            raise ValueError(f"{path}: row {unnamed[0]} has no {column}; complete that row or leave it out.")
        return pa.chunked_array([pa.array(feature.names, pa.string()).take(labels.combine_chunks())])
    if pa.types.is_integer(labels.type):
        return labels
    if pa.types.is_floating(labels.type) or pa.types.is_nested(labels.type):
        raise ValueError(
            f"{path}: column {column!r} is {labels.type}; a probe classifies: give text, whole numbers or booleans."
        )
    return labels.cast(pa.string())


def _vectors(path: str, column: pa.ChunkedArray) -> np.ndarray:
    """float32, (rows, hidden)"""
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise ValueError(
            f"{path}: column 'embedding' is {kind}; a probe takes a list of floating-point numbers a row: "
            "one vector, so embed without --per_token."
        )
    lengths = pc.list_value_length(column).to_numpy()
    unlike = np.flatnonzero(lengths != lengths[0])
    if len(unlike):
        raise ValueError(
            f"{path}: the embedding of row {unlike[0]} has {lengths[unlike[0]]} numbers, that of row 0 {lengths[0]}; "
            "all must have the same length."
        )
    vectors = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = vectors.astype(np.float32).reshape(len(column), -1)
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise ValueError(f"{path}: the embedding of row {wrong[0]} contains NaN or infinity; leave that row out.")
    return vectors


def _check_alike(places: dict[str, str], tables: dict[str, pa.Table], vectors: dict[str, np.ndarray]) -> None:
    made_by = {split: json.loads((table.schema.metadata or {}).get(MADE_BY, b"{}")) for split, table in tables.items()}
    for split in SPLITS[1:]:
        settings = {"length": [vectors[each].shape[1] for each in ("train", split)]}
        if made_by["train"] and made_by[split]:
            settings |= {name: [made_by[each].get(name) for each in ("train", split)] for name in THE_SAME}
        for name, (of_train, other) in settings.items():
            if of_train != other:
                raise ValueError(
                    f"{places[split]}: its embeddings have {name} {other}, those of {places['train']} {of_train}; "
                    "embed all splits with one checkpoint and the same settings."
                )


def _label_ids(path: str, labels: pa.ChunkedArray, names: list[str]) -> np.ndarray:
    labels = labels.cast(pa.string())
    ids = pc.index_in(labels, value_set=pa.array(names, pa.string()))
    unseen = np.flatnonzero(ids.is_null())
    if len(unseen):
        raise ValueError(
            f"{path}: {len(unseen)} rows have labels that train lacks, first row {unseen[0]} "
            f"({labels[unseen[0]].as_py()!r}); give train such rows, or leave these out."
        )
    return ids.to_numpy().astype(np.int64)
