"""Data set or files -> splits of sequences and labels, checked before anything is trained."""

import hashlib
import json
import os
import tempfile
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets.config
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, Value
from huggingface_hub import HfApi

from dnahub.machine.processes import num_launched
from dnahub.sequences.arguments import InputArguments
from dnahub.sequences.bad_records import BadRecords
from dnahub.sequences.checks import SequenceFileError, one_line
from dnahub.sequences.dataset import GENE, KNOWN_WORD, ROLE_OF, DatasetFiles, find_dataset, roles_of
from dnahub.sequences.opening import STANDARD_INPUT
from dnahub.sequences.reader import SequenceBatch, SequenceReader
from dnahub.sequences.row_filter import RowFilter
from dnahub.tasks import TASKS
from dnahub.tasks.labels import RowError, column_of, listed
from dnahub.tasks.task import Labels, Task
from dnahub.training.arguments import DataArguments
from dnahub.training.splits import CUT_SEED, ROLES, UNLESS_ALLOWED, check_groups, check_overlap, complete

# Columns whose values say which rows do not belong together: those of several tasks, or of splits.
MIXED = ("task", "split")
# Rows that are shuffled at a time, of a stream.
SHUFFLE_BUFFER = 10_000
# Text that is a number and loses nothing as one: "007" and ids of 19 digits stay text.
INTEGERS = r"^(0|-?[1-9][0-9]{0,17})$"
DECIMALS = r"^-?((0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^-?([nN][aA][nN]|[iI][nN][fF])$"
# Columns that say where a row stands, next to those of the user.
FILE, ROW, ID = "number of the file", "number of the row", "id of the row"


@dataclass(frozen=True)
class SequenceData:
    # train (with streaming an `IterableDataset`), validation and, if any, test; columns `sequence` and, where the task
    # takes labels, `label` as `Task.encode` makes it
    splits: DatasetDict
    labels: Labels
    name: str  # the Hub id, or the name of the folder or first file, without its place
    config: str | None  # of a data set; None for files
    commit: str | None  # on the Hub; None for a folder and for files
    build: dict[str, Any]  # the record of the data set's build, its build.json; empty where it has none
    group_column: str | None  # whose rows belong together: the given one, or that of a data set of `dataset_builder`
    ids: dict[str, pa.Array]  # of the rows of validation and test, as embed.py gives them
    groups: dict[str, pa.Array]  # the values of that column in each split but a stream; empty without one
    cut_off: dict[str, str]  # how new splits were made, such as {"test": "0.1 of train, by gene"}
    num_replaced: int  # letters other than A, C, G, T, U and N, which are read as N; those of a stream are not counted
    bad: BadRecords  # those that were skipped; of a stream, they are not known
    place: Callable[[str, int], str]  # split, but no stream, and row -> where that is, as "reads.fa, record 3"
    num_pseudo: int = 0  # the last rows of train, whose labels are those of self-training


def load_sequences(
    args: DataArguments, task: str, revision: str | None = None, api: HfApi | None = None
) -> SequenceData:
    """
    Load what is trained on by a task of `TASKS`; revision and api as of `find_dataset`, whose errors it raises.

    Raises ValueError if a split, column, sequence or label is missing or cannot be used, or is in two splits.
    """
    task = TASKS[task]
    if args.streaming and (task.takes_labels or args.dataset_filter or args.max_train_samples):
        raise ValueError(
            "--streaming is for --task mlm, without --dataset_filter and --max_train_samples; leave it out."
        )
    input_args = _input_args(args)
    build, bad = {}, _new_bad_records(input_args)
    if args.train_file:
        name = Path(args.train_file[0]).name
        source = DatasetFiles(name, None, Path(), None, _given_files(args), Features(), None, None)
    else:
        source = find_dataset(args.dataset_name, args.dataset_config_name, revision, api, fetch=not args.streaming)
        name = source.name if source.commit else source.folder.resolve().name
        build = _read_build(source.folder, source.config)
        roles = _roles(name, list(source.paths), args)
        source = replace(source, paths={role: source.paths[split] for role, split in roles.items()})
        unnamed = [path.removeprefix(f"{source.folder}/") for path in source.paths["train"]]
        if len(roles) == 1 and len(unnamed) > 1 and not any(map(KNOWN_WORD.search, unnamed)):
            warnings.warn(
                f"{name}: none of its files is named as a split, all are train: {listed(unnamed)}", stacklevel=2
            )
    unused = {f"{role}_fraction": f"a {role} split is given" for role in ROLES if role in source.paths}
    unused |= {} if task.takes_labels else {"label_column": "--task mlm takes no labels"}
    for each in fields(args):
        value = getattr(args, each.name)
        if each.name in unused and value not in (each.default, 0):
            raise ValueError(f"--{each.name} {value} has no effect, for {unused[each.name]}; leave it out.")
    row_filter = RowFilter(args.dataset_filter) if args.dataset_filter else None
    needed = {args.label_column: "--label_column"} if task.takes_labels else {}
    group_column = args.group_column
    if group_column is None and build and GENE not in needed:
        reader = source.open(source.paths["train"], input_args, {}, _new_bad_records(input_args))
        group_column = GENE if GENE in reader.source_columns else None
    if group_column is not None:
        needed.setdefault(group_column, "--group_column")
    read = {row_filter.column: "--dataset_filter"} | needed if row_filter else needed

    stream = _stream(name, source, input_args) if args.streaming else None
    splits, texts, files, num_replaced = {}, {}, [], 0
    for split in (role for role in ROLES if role in source.paths and not (role == "train" and args.streaming)):
        reader = source.open(source.paths[split], input_args, read, bad, row_filter)
        for column in MIXED if task.takes_labels and split == "train" else ():
            if column in reader.source_columns and column not in read:
                warnings.warn(
                    f"{name}: rows of every {column} are used; --dataset_filter {column}=VALUE chooses some",
                    stacklevel=2,
                )
        splits[split] = _hold(reader, split, list(needed), files)
        texts[split] = [] if reader.is_typed else [column for column in needed if column not in reader.features]
        num_replaced += reader.num_replaced
    splits = DatasetDict(_with_numbers(splits, texts))

    def place(split: str, row: int) -> str:
        numbers = splits[split][row]
        return f"{files[numbers[FILE]]} {numbers[ROW]}"

    cut_off = {}
    try:
        splits, labels = task.encode(splits, args.label_column, args.label_separator)
        if args.group_column is not None:
            _note_alike("groups", check_groups(splits, args.group_column))
        if stream is None:
            splits, cut_off = complete(splits, task, args.validation_fraction, args.test_fraction, args.group_column)
            splits["train"] = _some(splits["train"], args.max_train_samples)
            task.check_splits(splits, labels)
    except RowError as error:
        raise ValueError(f"{place(error.split, error.row)}: {error.fault}") from error
    _note_alike("labels", labels.names)
    _note_absent(task, splits, labels, cut_off)
    if not args.allow_overlap:
        check_overlap(splits, place, UNLESS_ALLOWED)
    ids = {split: column_of(rows, ID) for split, rows in splits.items() if split != "train"}
    groups = {} if group_column is None else {split: column_of(rows, group_column) for split, rows in splits.items()}
    chosen = splits.select_columns(["sequence", "label"] if task.takes_labels else ["sequence"])
    if stream is not None:
        chosen["train"] = stream
    made_of = (source.config, source.commit, build, group_column, ids, groups)
    return SequenceData(chosen, labels, name, *made_of, cut_off, num_replaced, bad, place)


def load_unlabelled(
    args: DataArguments, group_column: str | None, bad: BadRecords
) -> tuple[Dataset, int, Callable[[int], str]]:
    """
    Rows of --unlabelled_file, with `sequence` and the group column, how many letters were read as N, and row -> where
    that is. Skipped records are added to `bad`.
    """
    input_args = _input_args(args)
    source = DatasetFiles("", None, Path(), None, {}, Features(), None, None)
    needed = {} if group_column is None else {group_column: "--group_column"}
    reader, files = source.open(args.unlabelled_file, input_args, needed, bad), []
    rows = _hold(reader, "unlabelled", list(needed), files)

    def place(row: int) -> str:
        return f"{files[rows[row][FILE]]} {rows[row][ROW]}"

    return rows.select_columns(["sequence", *needed]), reader.num_replaced, place


def _input_args(args: DataArguments) -> InputArguments:
    names = ("sequence_column", "sequence_format", "bad_records")
    return InputArguments(**{name: getattr(args, name) for name in names})


def _given_files(args: DataArguments) -> dict[str, list[str]]:
    files = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
    files = {split: names for split, names in files.items() if names}
    times_given = sum(files.values(), []).count(STANDARD_INPUT)
    if times_given > 1 or (times_given and (num_launched() > 1 or args.streaming)):
        raise ValueError("standard input (-) is read once, by one process; give a file.")
    return files


def _roles(name: str, splits: list[str], args: DataArguments) -> dict[str, str]:
    """train, validation and test -> which split of the data set that is."""
    known = roles_of(splits)
    roles = {role: split for split, role in known.items()}
    if len(roles) < len(known):
        raise ValueError(f"{name}: of its splits {', '.join(known)}, two are the same one; remove one of them.")
    if "train" not in roles:
        raise ValueError(f"{name}: there is no split 'train', only {', '.join(splits)}; rename one of them.")
    unknown = [split for split in splits if split not in known]
    to_cut = [] if args.streaming else ["validation", *["test"] * (args.test_fraction > 0)]
    missing = [role for role in to_cut if role not in roles]
    for split in unknown:
        word = KNOWN_WORD.search(split.lower())  # test_2 is not validation
        if missing and (word is None or ROLE_OF[word[1]] in missing):
            raise ValueError(
                f"{name}: the split {split!r} is not one of {', '.join(ROLE_OF)}, and there is no {missing[0]}; name "
                "it as one of these, remove it, or give the files by --train_file, --validation_file and --test_file."
            )
    if unknown:
        warnings.warn(f"{name}: not used: the split{'s' * (len(unknown) > 1)} {', '.join(unknown)}", stacklevel=3)
    return roles


def _some(rows: Dataset, most: int | None) -> Dataset:
    """At most this many random rows, the same ones whatever the seed of the run, in their order."""
    if most is None or most >= len(rows):
        return rows
    return rows.select(np.sort(np.random.default_rng(CUT_SEED).permutation(len(rows))[:most]))


def _stream(name: str, source: DatasetFiles, args: InputArguments) -> IterableDataset:
    if "validation" not in source.paths:
        raise ValueError(f"{name}: there is no split 'validation', and nothing can be cut off a stream; add one.")
    next(iter(source.open(source.paths["train"], args, {}, _new_bad_records(args))))  # it can be read, at least so far
    rows = IterableDataset.from_generator(
        partial(_sequences, source, args),
        features=Features({"sequence": Value("large_string")}),
        gen_kwargs={"paths": source.paths["train"]},  # a list is shared among processes, a file each
        split="train",
    )
    # Without end, so that processes whose files differ in length do as many steps; --max_steps ends it.
    return rows.shuffle(buffer_size=SHUFFLE_BUFFER, seed=CUT_SEED).repeat(None)


def _sequences(source: DatasetFiles, args: InputArguments, paths: list[str]) -> Iterator[dict[str, str]]:
    bad = _new_bad_records(args)
    for batch in source.open(paths, args, {}, bad):
        for sequence in batch.table["sequence"].to_pylist():
            yield {"sequence": sequence}
    if bad.counts:
        warnings.warn(bad.summary(), stacklevel=1)


def _new_bad_records(args: InputArguments) -> BadRecords:
    return BadRecords(args.bad_records == "skip", need_bases=True)


def _hold(reader: SequenceReader, split: str, needed: Sequence[str], files: list[str]) -> Dataset:
    """A split, in an Arrow file named by a digest of its content, which all processes map and the same rows share."""
    features = Features(
        {"sequence": Value("large_string"), **{name: _feature(reader, name) for name in needed}}
        | {FILE: Value("int32"), ROW: Value("int64"), ID: Value("string")}
    )
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "sequences"
    folder.mkdir(parents=True, exist_ok=True)
    num_rows = 0
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "rows.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, features.arrow_schema) as writer:
            for batch in reader:
                name = f"{batch.source}, {batch.unit}"
                if name not in files:
                    files.append(name)
                columns = {"sequence": batch.table["sequence"]}
                columns |= {each: _values(batch, each, features[each], reader.is_typed) for each in needed}
                columns[FILE] = pa.repeat(files.index(name), batch.table.num_rows)
                columns[ROW] = pa.array(batch.numbers)
                columns[ID] = batch.table["id"]
                try:
                    table = pa.table(columns).cast(features.arrow_schema)
                except pa.ArrowInvalid as error:  # the card of the data set says of which type the text is
                    raise SequenceFileError(f"{batch.place(0)} or after it: {one_line(error)}; correct it.") from error
                writer.write_table(table)
                num_rows += table.num_rows
        if not num_rows:
            raise ValueError(f"split {split}: {reader.row_filter.nothing_found()}")
        with path.open("rb") as file:
            kept = folder / hashlib.file_digest(file, "sha256").hexdigest() / path.name
        if not kept.is_file():
            kept.parent.mkdir(exist_ok=True)
            os.replace(path, kept)
    return Dataset.from_file(str(kept))


def _feature(reader: SequenceReader, column: str) -> Any:
    if column in reader.features:
        return reader.features[column]
    kind = reader.schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = pa.string()
    return Features.from_arrow_schema(pa.schema([(column, kind)]))[column]


def _values(batch: SequenceBatch, column: str, feature: Any, is_typed: bool) -> pa.ChunkedArray | pa.Array:
    values = batch.table[column]
    if not is_typed and pa.types.is_string(values.type):  # text without types: an empty field is missing
        values = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(values, ""), None, values)
    if isinstance(feature, ClassLabel) and pa.types.is_string(values.type):
        names = pa.array(feature.names, pa.string())
        row = pc.index(pc.is_in(values, value_set=pa.concat_arrays([names, pa.nulls(1, pa.string())])), False).as_py()
        if row >= 0:
            raise SequenceFileError(
                f"{batch.place(row)}: {values[row].as_py()!r} is not one of the classes of column {column!r}, "
                f"{listed(feature.names)}; correct that row or leave it out."
            )
        return pc.index_in(values, value_set=names).cast(pa.int64())
    return values


def _note_alike(kind: str, names: Iterable[str]) -> None:
    groups = [list(each) for _, each in groupby(sorted(sorted(names), key=_spelling), key=_spelling)]
    alike = [each for each in groups if len(each) > 1]
    if alike:
        more = f" (and {len(alike) - 1} more such)" * (len(alike) > 1)
        warnings.warn(
            f"the {kind} {alike[0]}{more} differ only by case, white space or Unicode form; they stay different",
            stacklevel=3,
        )


def _note_absent(task: Task, splits: DatasetDict, labels: Labels, cut_off: Iterable[str]) -> None:
    if cut_off and task.stratified:
        of_train, *of_others = (np.unique(task.row_labels(splits[split])[1]) for split in ("train", *cut_off))
        for split, found in zip(cut_off, of_others, strict=True):
            absent = [labels.names[i] for i in np.setdiff1d(of_train, found)]
            if absent:
                warnings.warn(
                    f"{split}, which is cut off train, has no row of {listed(absent)}, of which there are too few for "
                    "every split; give more, or splits of your own",
                    stacklevel=3,
                )


def _spelling(label: str) -> str:
    return "".join(unicodedata.normalize("NFKC", label).split()).casefold()


def _with_numbers(splits: dict[str, Dataset], texts: Mapping[str, Sequence[str]]) -> dict[str, Dataset]:
    """Columns of text that hold numbers alone, over all splits, become numbers."""
    for name in dict.fromkeys(sum(texts.values(), [])):
        of_text = [split for split in splits if name in texts[split]]
        columns = [splits[split].data.column(name) for split in of_text]
        for pattern, kind in ((INTEGERS, Value("int64")), (DECIMALS, Value("float64"))):
            fits = [pc.all(pc.match_substring_regex(column, pattern), min_count=1).as_py() for column in columns]
            if True in fits and False not in fits:  # None: all values are missing
                splits |= {split: splits[split].cast_column(name, kind) for split in of_text}
                break
    return splits


def _read_build(folder: Path, config_name: str) -> dict[str, Any]:
    """The record of a configuration's build; {} for a data set that `dataset_builder` did not make."""
    ours = {"builder": "dataset_builder", "config_name": config_name}
    for path in (folder / "build.json", *sorted(folder.glob("*/build.json"))):
        try:
            build = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(build, dict) and ours.items() <= build.items():
            return build
    return {}
