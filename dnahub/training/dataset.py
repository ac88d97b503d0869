"""Data set or files -> splits of sequences and labels, checked before anything is trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets.config
import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset, Value, load_dataset
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError
from datasets.fingerprint import Hasher
from huggingface_hub import HfApi

from dnahub.hub.downloading import download
from dnahub.hub.faults import retrying
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels
from dnahub.training.arguments import DataArguments
from dnahub.training.files import load_files
from dnahub.training.splits import ROLES, ROWS_AT_ONCE, check_repeats, complete, refuse_repeats
from dnahub.training.tokens import NO_DNA, NUCLEOTIDE, fault_of

# What `dataset_builder` publishes beside the data.
RECORDS = ("README.md", "build.json", "*/build.json")


# Rows that are shuffled at a time, of a stream.
SHUFFLE_BUFFER = 10_000
# Which rows are cut off for validation and test depends on the data alone: runs of other seeds can be compared.
CUT_SEED = 42


@dataclass(frozen=True)
class SequenceData:
    """
    Args:
        splits: train, validation and, if any, test; columns `sequence` and, but for masked language modelling, `label`
            as the task's `encode` makes it. With streaming, train is an `IterableDataset`.
        labels: What the column `label` means.
        name: The Hub id, or the name of the folder or first file, without its place.
        config: Which configuration of a data set it is; None for files.
        commit: Which commit on the Hub it is; None for a folder and for files.
        build: What the data set's build.json says of its making; empty where it has none.
        cut_off: How the splits were made that the data did not have, such as {"test": "0.1 of train, by gene"}.
        num_replaced: How many sequences have letters that were read as N.
    """

    splits: DatasetDict
    labels: Labels
    name: str
    config: str | None
    commit: str | None
    build: dict[str, Any]
    cut_off: dict[str, str]
    num_replaced: int = 0


def load_sequences(
    args: DataArguments, task: str, revision: str | None = None, api: HfApi | None = None
) -> SequenceData:
    """
    Load what is trained on, and check that it can be.

    Args:
        args: Data set or files, and which columns of them.
        task: A key of `dnahub.tasks.TASKS`.
        revision: Branch, tag or commit on the Hub.
        api: Who asks, and which Hub; default the user of the environment.

    Raises:
        ValueError: If a split or column is missing, of another type, or holds a sequence without nucleotides, or a
            label that the task or train does not have; if a sequence of train stands in another split; or if a
            revision is given for a folder.
        HubError: If the Hub has no such data set or revision, or does not answer.
    """
    name, commit, build = args.dataset_name or args.train_file[0], None, {}
    if args.train_file:
        splits = _load_files(args, task)
        name = Path(name).name
    else:
        splits, folder, commit = _load_dataset(args, revision, api or HfApi())
        build = _read_build(folder, next(iter(splits.values())).info.config_name)
        name = name if commit else folder.resolve().name
    if "train" not in splits:
        raise ValueError(f"{name}: there is no split 'train', only {', '.join(splits)}; name one of them so.")
    splits = DatasetDict({role: splits[role] for role in ROLES if role in splits})
    config = splits["train"].info.config_name if args.dataset_name else None
    splits = DatasetDict(
        {split: _with_sequence(f"{name}, split {split}", rows, args) for split, rows in splits.items()}
    )
    stream = splits.pop("train") if args.streaming else None
    if stream is not None and "validation" not in splits:
        raise ValueError(f"{name}: there is no split 'validation', and nothing can be cut off a stream; make one.")
    if stream is not None and next(iter(stream.take(1)), None) is None:
        raise ValueError(f"{name}, split train: it is empty.")
    kind = TASKS[task]
    if stream is not None and kind.takes_labels:
        raise ValueError("--streaming is for tasks without labels, such as --task mlm; leave it out.")
    splits, labels = kind.encode(splits, args.label_column, args.label_separator)
    for split, rows in splits.items():
        _check_sequences(f"{name}, split {split}", rows)
    if stream is not None and not args.allow_repeats:
        stream = refuse_repeats(stream, splits)
    cut_off = {}
    if stream is None:
        splits, cut_off = complete(splits, args.validation_share, args.test_share, args.group_column, CUT_SEED, kind)
    if not args.allow_repeats:
        check_repeats(splits)
    if stream is None:
        kind.check_splits(splits, labels)
    columns = ["sequence", "label"] if kind.takes_labels else ["sequence"]
    splits = splits.select_columns(columns)
    if stream is not None:
        # Without end, so that processes whose files differ in length do as many steps; --max_steps ends it.
        splits["train"] = (
            stream.select_columns(columns).shuffle(buffer_size=SHUFFLE_BUFFER, seed=CUT_SEED).repeat(None)
        )
    return SequenceData(splits, labels, name, config, commit, build, cut_off)


def _load_files(args: DataArguments, task: str) -> DatasetDict:
    files = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
    files = {split: names for split, names in files.items() if names}
    columns = [args.sequence_column]
    columns += [args.label_column] * TASKS[task].takes_labels + [args.group_column] * (args.group_column is not None)
    if not args.streaming:
        return load_files(files, columns)
    stream = load_files({"train": files.pop("train")}, columns, streaming=True)
    return DatasetDict({**stream, **load_files(files, columns)})


def _load_dataset(args: DataArguments, revision: str | None, api: HfApi) -> tuple[DatasetDict, Path, str | None]:
    """The splits, the folder of what was published beside them, and the commit on the Hub."""
    name, config_name = args.dataset_name, args.dataset_config_name
    folder, commit = Path(name), None
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"{name} is a folder; a revision ({revision}) is of a data set on the Hub.")
        _check_one_data_set(folder)
        options = {"cache_dir": _cache_folder(folder)}
    else:
        folder, commit = download(name, "dataset", revision, RECORDS, api=api)
        options = {"revision": commit, "token": api.token}
    if args.streaming:
        splits = retrying(lambda: _load(name, config_name, streaming=True, **options), name)
        # Only train may be larger than the disk; the others are looked at again and again.
        kept = {
            # Of CSV the columns are not known before the first rows are read.
            split: rows._resolve_features() if split == "train" else _materialised(rows)
            for split, rows in splits.items()
        }
        return DatasetDict(kept), folder, commit
    splits = retrying(lambda: _load(name, config_name, **options), name)
    if commit:
        _check_commit(name, splits, commit)
    return splits, folder, commit


def _materialised(rows: IterableDataset) -> Dataset:
    return Dataset.from_list(list(rows), features=rows.features)


def _with_sequence(where: str, rows: Dataset | IterableDataset, args: DataArguments) -> Dataset | IterableDataset:
    """The rows with the columns that are needed, that of the DNA called `sequence`."""
    column = args.sequence_column
    if column not in rows.features:
        raise ValueError(f"{where}: there is no column {column!r}, only {', '.join(rows.features)}.")
    if rows.features[column] not in (Value("string"), Value("large_string")):
        raise ValueError(f"{where}: column {column!r} is {rows.features[column]}; it must hold strings of DNA.")
    if column == "sequence":
        return rows
    if "sequence" in rows.features:
        rows = rows.remove_columns("sequence")
    return rows.rename_column(column, "sequence")


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


def _check_sequences(where: str, rows: Dataset) -> None:
    if not len(rows):
        raise ValueError(f"{where}: it is empty.")
    start = 0
    for batch in rows.select_columns(["sequence"]).with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        has_nucleotides = pc.fill_null(pc.match_substring_regex(batch["sequence"], NUCLEOTIDE.pattern), False)
        has_others = pc.fill_null(pc.match_substring_regex(batch["sequence"], NO_DNA.pattern), False)
        wrong = np.flatnonzero(~has_nucleotides.to_numpy() | has_others.to_numpy())
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(f"{where}: {_fault(start + row, batch['sequence'][row].as_py())}; leave that row out.")
        start += len(batch)


def _fault(row: int, sequence: str | None) -> str:
    if not sequence or sequence.isspace():
        return f"the sequence of row {row} is empty"
    return f"the sequence of row {row}, {sequence[:20]!r}{'…' * (len(sequence) > 20)}, {fault_of(sequence)}"
