"""Parquet files of embeddings and labels -> vectors and labels of the splits."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict

from dnahub.sequences.dataset import GENE, ROLE_OF, roles_of
from dnahub.tasks import TASKS
from dnahub.tasks.labels import RowError, column_of, listed
from dnahub.tasks.task import Labels

SPLITS = ("train", "validation", "test")
# What embed.py records of the vectors, as JSON in the metadata of the file, and which of it all splits must share.
METADATA = b"embedding"
SHARED = ("weights", "pooling", "layer", "normalize", "reverse_complement")
ADVICE = {"embedding": "embed.py writes it", "split": "give a file for each split instead of --embeddings"}


@dataclass(frozen=True)
class LabelledEmbeddings:
    """
    Args:
        name: Of the data, for titles.
        vectors: Split -> float32 (rows, hidden); train, test and, unless it is to be cross-validated, validation.
        rows: Column `label` of each split, as `Classification.encode` makes it, and `sequence`, if there are any.
        meaning: What the labels mean.
        build: What the data set's build.json says; empty where there is none.
        group_column: Whose rows belong together, such as genes; None: rows are independent.
        groups: Split -> its values; empty without such a column.
        ids: Of the rows of test.
    """

    name: str
    vectors: dict[str, np.ndarray]
    rows: DatasetDict
    meaning: Labels
    build: Mapping[str, Any] = field(default_factory=dict)
    group_column: str | None = None
    groups: dict[str, pa.Array] = field(default_factory=dict)
    ids: Sequence[str] = ()

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """Split -> int64 (rows,), indices into the label names."""
        return {split: np.array(rows["label"]) for split, rows in self.rows.items()}


def read_embeddings(files: dict[str, str], label_column: str, group_column: str | None = None) -> LabelledEmbeddings:
    """
    Read embeddings of any encoder, one vector a row, as embed.py writes them.

    Args:
        files: A Parquet file for "train_embeddings", "test_embeddings" and, if any, "validation_embeddings", or one
            for "embeddings", with a column `split`. Further columns are `embedding` (lists of numbers, all of one
            length), the labels, the groups and, for the baselines, `sequence`.
        label_column: Column of the labels: a ClassLabel, strings, whole numbers or booleans.
        group_column: Column of what rows belong to, such as genes; it is kept in `rows`. Default: `gene`, if all files
            have it.

    Raises:
        ValueError: A file that is not Parquet; a missing column, split, label or row; vectors of different lengths,
            not finite, or made with different settings; a label that train lacks, or one label only.
    """
    tables = {path: _open(path) for path in files.values()}
    if group_column is None and label_column != GENE and all(GENE in table.column_names for table in tables.values()):
        group_column = GENE
    flags = {label_column: "--label_column"} | ({group_column: "--group_column"} if group_column else {})
    vectors, rows, settings, numbers, keys = {}, DatasetDict(), {}, {}, {}
    for split in SPLITS:
        path = files.get("embeddings") or files.get(f"{split}_embeddings")
        if path is None:
            continue
        place = f"{path}, split {split}"
        table, numbers[split] = _choose(path, tables[path], flags, split if "embeddings" in files else None)
        if not len(table) and split == "validation" and "embeddings" in files:
            continue
        if not len(table):
            raise ValueError(f"{place}: there are no rows; a probe needs train and test.")
        vectors[split] = _vectors(path, table["embedding"], numbers[split])
        # Without ids, as embed.py numbers rows.
        ids = list(map(str, (table["id"] if "id" in table.column_names else pa.array(numbers[split])).to_pylist()))
        if "sequence" not in table.column_names:  # else sequences are compared
            keys[split] = {hash((id, vector.tobytes())) for id, vector in zip(ids, vectors[split], strict=True)}
        for other in keys.keys() - {split}:
            if shared := len(keys.get(split, set()) & keys[other]):
                raise ValueError(
                    f"{place}: {shared} of its rows are in {other}, too, with the same id and embedding; leave them "
                    "out of one."
                )
        rows[split] = Dataset(table.drop_columns("embedding"))
        settings[split] = {"length": vectors[split].shape[1]}
        settings[split] |= json.loads((table.schema.metadata or {}).get(METADATA, "{}"))
        for name in settings[split].keys() & settings["train"].keys() & {"length", *SHARED}:
            ours, of_train = settings[split][name], settings["train"][name]
            if ours != of_train:
                raise ValueError(
                    f"{place}: its embeddings have {name} {ours}, those of train {of_train}; embed all splits with "
                    "one checkpoint and the same settings."
                )
    task = TASKS["classification"]
    try:
        rows, meaning = task.encode(rows, label_column)
    except RowError as error:
        path = files.get("embeddings") or files[f"{error.split}_embeddings"]
        raise ValueError(f"{path}, row {numbers[error.split][error.row]}: {error.fault}") from error
    task.check_splits(rows, meaning)
    groups = {}
    if group_column is not None:
        groups = {split: column_of(each, group_column) for split, each in rows.items()}
    name = Path(files.get("embeddings") or files["test_embeddings"]).name
    return LabelledEmbeddings(name, vectors, rows, meaning, {}, group_column, groups, ids)


def _open(path: str) -> pa.Table:
    if not os.path.isfile(path):
        raise ValueError(f"{path}: there is no such file; give a Parquet file, as embed.py writes it.")
    try:
        return pq.read_table(pa.OSFile(os.fsencode(path)))  # arrow takes no `str` that is not UTF-8
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path}: it is not a complete Parquet file; write embeddings as embed.py --output NAME.parquet does."
        ) from error


def _choose(path: str, table: pa.Table, flags: dict[str, str], split: str | None) -> tuple[pa.Table, np.ndarray]:
    """`embedding`, columns of flags and, if there, `sequence` and `id`, of the rows of a split, and their numbers."""
    needed = ["embedding", *flags] if split is None else ["embedding", *flags, "split"]
    for column in needed:
        if column not in table.column_names:
            raise ValueError(
                f"{path}: there is no column {column!r}, only {', '.join(table.column_names)}; "
                f"{ADVICE.get(column) or f'name one as {flags[column]}'}."
            )
    table = table.select([*needed, *{"sequence", "id"}.intersection(table.column_names) - set(needed)])
    for i, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):  # a categorical of pandas
            table = table.set_column(i, column.name, table[i].cast(column.type.value_type))
    if split is None:
        return table, np.arange(len(table))
    names = list(map(str, table["split"].unique().to_pylist()))
    roles = roles_of(names)
    if unknown := [repr(name) for name in names if name not in roles]:
        raise ValueError(f"{path}: column 'split' contains {listed(unknown)}; allowed are {', '.join(ROLE_OF)}.")
    of_role = pa.array([name for name in names if roles[name] == split], table["split"].type)
    of_split = np.flatnonzero(pc.is_in(table["split"], value_set=of_role))
    return table.take(of_split).drop_columns("split"), of_split


def _vectors(path: str, column: pa.ChunkedArray, numbers: np.ndarray) -> np.ndarray:
    """float32, (rows, hidden)"""
    try:
        lists = column.cast(pa.large_list(pa.float32())).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{path}: column 'embedding' is {column.type}; a probe takes a list of numbers a row: one vector, so "
            "embed without --per_token."
        ) from error
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    shorter = np.flatnonzero(lengths < lengths.max())
    if len(shorter):
        length = lengths[shorter[0]]
        raise ValueError(
            f"{path}, row {numbers[shorter[0]]}: the embedding has {length} numbers, others {lengths.max()}; "
            "embed all rows with one checkpoint, or leave that row out."
        )
    vectors = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1)
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"{path}, row {numbers[wrong[0]]}: the embedding contains NaN or infinity; leave that row out."
        )
    return vectors
