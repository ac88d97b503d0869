"""Folder or Hub id -> splits of sequences and labels, checked before anything is trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets.config
from datasets import ClassLabel, Dataset, DatasetDict, Value, load_dataset
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class SequenceData:
    """
    Args:
        splits: train, validation and, where the data set has one, test; columns `sequence` and, for classification,
            `label`.
        label_names: The classes in the order of their ids; empty for masked language modelling.
        build: What the data set's build.json says of its making; empty where it has none.
    """

    splits: DatasetDict
    label_names: list[str]
    build: dict[str, Any]


def load_sequences(
    name: str, config_name: str | None = None, revision: str | None = None, *, with_labels: bool
) -> SequenceData:
    """
    Load a data set and check that it can be trained on.

    Args:
        name: A folder that `dataset_builder` wrote, or a data set on the Hub with the same columns.
        config_name: Which of its configurations; default its only or default one.
        revision: Branch, tag or commit on the Hub.
        with_labels: Whether the column `label` is needed.

    Raises:
        ValueError: If a split or column is missing, of another type, or holds an empty sequence or a label of none of
            the classes.
    """
    splits = load_dataset(name, config_name, revision=revision, cache_dir=_cache_folder(name))
    for needed in ("train", "validation"):
        if needed not in splits:
            raise ValueError(f"{name}: there is no split {needed!r}, only {', '.join(splits)}; make it from train.")
    columns = ["sequence", "label"] if with_labels else ["sequence"]
    for split, rows in splits.items():
        _check(f"{name}, split {split}", rows, columns)
    label_names = splits["train"].features["label"].names if with_labels else []
    build = Path(name) / "build.json"
    return SequenceData(
        splits=splits.select_columns(columns),
        label_names=label_names,
        build=json.loads(build.read_text(encoding="utf-8")) if build.is_file() else {},
    )


def _cache_folder(name: str) -> str | None:
    """
    A cache of its own for each state of a local folder; `None`, for the default one, for what lies on the Hub.

    Of a folder whose README.md lists its files, `load_dataset` knows the name and that list alone: it would give an
    earlier build of the same folder, or another folder of that name, out of its cache (datasets 5.2).
    """
    folder = Path(name)
    if not folder.is_dir():
        return None
    files = sorted((str(path.resolve()), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file())
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "folders" / Hasher.hash(files))


def _check(where: str, rows: Dataset, columns: list[str]) -> None:
    for column in columns:
        if column not in rows.features:
            raise ValueError(f"{where}: there is no column {column!r}, only {', '.join(rows.features)}.")
    if not len(rows):
        raise ValueError(f"{where}: it is empty.")
    if rows.features["sequence"] not in (Value("string"), Value("large_string")):
        raise ValueError(f"{where}: column 'sequence' is {rows.features['sequence']}; it must hold strings of DNA.")
    for i, sequence in enumerate(rows["sequence"]):
        if not sequence or sequence.isspace():
            raise ValueError(f"{where}: the sequence of row {i} is empty; leave that row out.")
    if "label" not in columns:
        return
    feature = rows.features["label"]
    if not isinstance(feature, ClassLabel):
        raise ValueError(
            f"{where}: column 'label' is {feature}; it must be a ClassLabel (datasets' class_encode_column makes one)."
        )
    if feature.num_classes < 2:
        raise ValueError(f"{where}: all rows are of the one class {feature.names}; classification takes two or more.")
    for i, label in enumerate(rows["label"]):
        if label is None or not 0 <= label < feature.num_classes:
            raise ValueError(f"{where}: the label of row {i} is {label}; it must be 0 to {feature.num_classes - 1}.")


def check_lengths(splits: DatasetDict, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> None:
    """
    Raises:
        ValueError: If a sequence has more tokens than the model has positions; the first such row is named.
    """
    for split, rows in splits.items():
        for i, sequence in enumerate(rows["sequence"]):
            if len(sequence) < max_tokens:  # no letter is more than one token, and `<cls>` is one
                continue
            num_tokens = len(tokenizer(sequence, verbose=False).input_ids)
            if num_tokens > max_tokens:
                raise ValueError(
                    f"split {split}, row {i}: the sequence has {num_tokens} tokens, but the model takes {max_tokens}; "
                    "give --max_length to cut such sequences, or cut them into windows."
                )
