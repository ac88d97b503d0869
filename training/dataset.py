"""Folder or Hub id -> splits of sequences and labels, checked before anything is trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets.config
from datasets import ClassLabel, Dataset, DatasetDict, Value, load_dataset
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError
from datasets.fingerprint import Hasher

from hub_client.downloading import download
from hub_client.faults import retrying

# What `dataset_builder` publishes beside the data.
RECORDS = ("README.md", "build.json", "*/build.json")


@dataclass(frozen=True)
class SequenceData:
    """
    Args:
        splits: train, validation and, where the data set has one, test; columns `sequence` and, for classification,
            `label`.
        label_names: The classes in the order of their ids; empty for masked language modelling.
        commit: Which commit on the Hub it is; None for a folder.
        build: What the data set's build.json says of its making; empty where it has none.
    """

    splits: DatasetDict
    label_names: list[str]
    commit: str | None
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
            the classes; or if a revision is given for a folder.
        HubError: If the Hub has no such data set or revision, or does not answer.
    """
    folder, commit = Path(name), None
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"{name} is a folder; a revision ({revision}) is of a data set on the Hub.")
        _check_one_data_set(folder)
        splits = _load(name, config_name, cache_dir=_cache_folder(folder))
    else:
        folder, commit = download(name, "dataset", revision, RECORDS)
        splits = retrying(lambda: _load(name, config_name, revision=commit), name)
        _check_commit(name, splits, commit)
    for needed in ("train", "validation"):
        if needed not in splits:
            raise ValueError(f"{name}: there is no split {needed!r}, only {', '.join(splits)}; make it from train.")
    columns = ["sequence", "label"] if with_labels else ["sequence"]
    for split, rows in splits.items():
        _check(f"{name}, split {split}", rows, columns)
    label_names = splits["train"].features["label"].names if with_labels else []
    return SequenceData(
        splits=splits.select_columns(columns),
        label_names=label_names,
        commit=commit,
        build=_read_build(folder, splits["train"].info.config_name),
    )


def _load(name: str, config_name: str | None, **options: Any) -> DatasetDict:
    """`load_dataset`, with errors that name the data set and what to do."""
    try:
        return load_dataset(name, config_name, **options)
    except DatasetGenerationError as error:  # datasets wraps the cause, once or twice
        cause = error
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__
        raise ValueError(f"{name}: its files cannot be read: {cause}") from error
    except FileNotFoundError as error:
        if isinstance(error, (EmptyDatasetError, DataFilesNotFoundError)):
            raise ValueError(f"{name}: there are no data files in it; give a data set with Parquet files.") from error
        raise
    except ValueError as error:
        if "config" in str(error).lower():
            raise ValueError(f"{name}: {error} (--dataset_config_name says which configuration to take.)") from error
        raise


def _check_one_data_set(folder: Path) -> None:
    """`load_dataset` would take the files of several data sets in one folder for one."""
    several = sorted(path.parent.name for path in folder.glob("*/README.md"))
    if several and not (folder / "README.md").is_file():
        raise ValueError(f"{folder} holds data sets ({', '.join(several)}), but is none itself; name one of them.")


def _check_commit(name: str, splits: DatasetDict, commit: str) -> None:
    """
    Without the Hub, `load_dataset` gives the newest commit that is in its cache, whichever was asked for (5.2). The
    cache's folder is named by the commit.
    """
    for rows in splits.values():
        for file in rows.cache_files:
            if Path(file["filename"]).parent.name != commit:
                raise ValueError(
                    f"{name}: the Hub is not reached, and the cache holds another commit than {commit}; try again when"
                    " it is, or give the --dataset_revision that the cache holds."
                )


def _read_build(folder: Path, config_name: str) -> dict[str, Any]:
    """The record of a configuration's making; {} for a data set of something else."""
    for path in (folder / "build.json", *sorted(folder.glob("*/build.json"))):
        build = _json(path) if path.is_file() else None
        if isinstance(build, dict) and build.get("builder") == "dataset_builder":
            if build["config_name"] == config_name:
                return build
    return {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _cache_folder(folder: Path) -> str:
    """
    A cache of its own for each state of a local folder.

    Of a folder whose README.md lists its files, `load_dataset` knows the name and that list alone: it would give an
    earlier build of the same folder, or another folder of that name, out of its cache (datasets 5.2).
    """
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
