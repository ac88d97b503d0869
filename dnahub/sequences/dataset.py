"""Data set on the Hub, or a folder that holds one -> tables of one split."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, IterableDataset, IterableDatasetDict, load_dataset
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError, DatasetGenerationError

from dnahub.hub.downloading import download
from dnahub.hub.faults import HubError, retrying
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.checks import SequenceFileError, one_line
from dnahub.sequences.opening import UnreadableError

ROWS_PER_READ = 1024


class DatasetSplit:
    """
    The rows of one split, streamed; labels by their names.

    Args:
        args: Name, configuration, split and revision.

    Attributes:
        name: What it is called in messages.
        commit: Which commit on the Hub it is; None for a folder.

    Raises:
        SequenceFileError: If there is no such configuration or split, or a revision is given for a folder.
        HubError: If the Hub has no such data set or revision, or does not answer.
    """

    unit, first, is_table = "row", 0, True

    def __init__(self, args: InputArguments):
        name, self.commit = args.dataset_name, None
        if Path(name).is_dir():
            if args.dataset_revision is not None:
                raise SequenceFileError(
                    f"{name} is a folder; a revision ({args.dataset_revision}) is of a data set on the Hub."
                )
            _check_one_data_set(Path(name))
        else:
            _, self.commit = download(name, "dataset", args.dataset_revision, ["README.md"])
        splits = retrying(lambda: _load(name, args.dataset_config_name, self.commit), name)
        self._split = _choose(name, splits, args.dataset_split)
        self.name = f"{name}, split {self._split}"
        self._count = 0
        # Of CSV the columns are not known before the first rows are read.
        try:
            self._tables, self._first = retrying(lambda: _begin(splits[self._split]), name)
        except HubError:
            raise
        except (DatasetGenerationError, ValueError, OSError) as error:
            raise SequenceFileError(
                f"{self.name}: its files cannot be read ({_cause(error)}); mend or remove them."
            ) from error
        if self._first is None:
            raise SequenceFileError(f"{self.name}: it is empty; name another split.")
        self._read_schema = self._first.schema
        features = splits[self._split].features or {}  # of CSV, there are none
        self._label_names = {name: each.names for name, each in features.items() if isinstance(each, ClassLabel)}
        self._first = self._named(self._first)
        self.schema = self._first.schema

    def reached(self) -> str:
        return f"row {self._count} or after it"

    def __iter__(self) -> Iterator[pa.Table]:
        table, self._first = self._first, None
        while table is not None:
            self._count += table.num_rows
            yield table
            try:
                table = next(self._tables, None)
                if table is not None:  # of CSV and JSON, each file has types of its own
                    table = self._named(table.cast(self._read_schema))
            except Exception as error:  # of the network, the Hub, and each format's reader
                raise UnreadableError(
                    f"its files cannot be read ({_cause(error)}); try again, or mend them"
                ) from error

    def _named(self, table: pa.Table) -> pa.Table:
        """Numbers of labels mean nothing without the data set's features; -1 is that of none."""
        for column, names in self._label_names.items():
            numbers = table[column].combine_chunks()
            known = pc.if_else(pc.less(numbers, 0), None, numbers)
            table = table.set_column(table.column_names.index(column), column, pa.array(names).take(known))
        return table.replace_schema_metadata(None)


def _begin(rows: IterableDataset) -> tuple[Iterator[pa.Table], pa.Table | None]:
    """The tables of a split but the first, and the first, if there is one."""
    tables = iter(rows.with_format("arrow").iter(batch_size=ROWS_PER_READ))
    return tables, next(tables, None)


def _load(name: str, config_name: str | None, commit: str | None) -> IterableDatasetDict:
    try:
        return load_dataset(name, config_name, revision=commit, streaming=True)
    except (EmptyDatasetError, DataFilesNotFoundError) as error:
        raise SequenceFileError(
            f"{name}: there are no data files in it; give a data set, or name the files as --input."
        ) from error
    except pa.ArrowInvalid as error:
        raise SequenceFileError(
            f"{name}: its files cannot be read ({one_line(error)}); mend or remove them."
        ) from error
    except ValueError as error:
        if "config" in str(error).lower():
            raise SequenceFileError(
                f"{name}: {error} (--dataset_config_name says which configuration to take.)"
            ) from error
        raise


def _choose(name: str, splits: IterableDatasetDict, split: str | None) -> str:
    if split is None and len(splits) > 1:
        raise SequenceFileError(f"{name}: it has the splits {', '.join(splits)}; name one as --dataset_split.")
    if split is not None and split not in splits:
        raise SequenceFileError(f"{name}: there is no split {split!r}, only {', '.join(splits)}.")
    return split or next(iter(splits))


def _check_one_data_set(folder: Path) -> None:
    """`load_dataset` would take the files of several data sets in one folder for one."""
    several = sorted(path.parent.name for path in folder.glob("*/README.md"))
    if several and not (folder / "README.md").is_file():
        raise SequenceFileError(
            f"{folder} holds data sets ({', '.join(several)}), but is none itself; name one of them."
        )


def _cause(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return one_line(error)
