"""Labelled splits + sequences without labels -> more rows of train, labelled by a classifier of k-mers.

Self-training (Scudder 1965, https://doi.org/10.1109/TIT.1965.1053799; pseudo-labels): a classifier that is poor on one
short window is good on all windows of a gene together. So groups are labelled as a whole, and the network then learns
from each of their windows.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, concatenate_datasets
from scipy.special import log_softmax

from dnahub.metrics.names import number
from dnahub.reports.baselines import FRAME_WISE, MAX_ROWS, count_all
from dnahub.reports.fitting import Rows
from dnahub.reports.intervals import group_numbers
from dnahub.reports.linear_probe import fit_linear
from dnahub.tasks.labels import column_of, label_array, listed
from dnahub.tasks.task import Task
from dnahub.training.arguments import DataArguments
from dnahub.training.crops import tile
from dnahub.training.dataset import SequenceData, load_unlabelled
from dnahub.training.splits import UNLESS_ALLOWED, check_overlap

UNLIMITED = 2**31
CODON_NT = 3
UNKNOWN = -1  # the class of what has nothing to tell it by

# Rows with `sequence`, and the group of each or None -> the class of each row, the same for all of a group: (rows,).
Classifier = Callable[[Dataset, pa.Array | None], np.ndarray]


def add_unlabelled(data: SequenceData, args: DataArguments, task: Task) -> tuple[SequenceData, dict[str, Any]]:
    """
    Add the sequences of --unlabelled_file to train, with the labels that `fit_classifier` gives them.

    A group with rows in train keeps the label of these, if they all have the same.

    Returns the data, and what is known of the new rows, for JSON: `sequences`, `groups`, how many of these had their
    label from train (`labelled_groups`), how many rows have each of the `labels`, the `classifier`, the `window_nt`
    that it sees at a time, and how it labels validation in the same way: `validation_accuracy`, `validation_recall`
    of each class, `validation_majority` (the accuracy of its most frequent class) and `validation_rows_per_group`.

    Raises ValueError for a task without classes, a row without a group or without a codon to tell its class by, and
    for sequences or groups that are in validation or test, too.
    """
    if not task.fits_classes:
        raise ValueError("--unlabelled_file is for --task classification; leave it out.")
    rows, num_replaced, place_of_new = load_unlabelled(args, data.group_column, data.bad)
    groups = None if data.group_column is None else column_of(rows, data.group_column).cast(pa.string())
    of_labelled = {split: values.cast(pa.string()) for split, values in data.groups.items()}
    if groups is not None and groups.null_count:
        row = int(np.flatnonzero(groups.is_null())[0])
        raise ValueError(f"{place_of_new(row)}: it has no {data.group_column}; complete that row or leave it out.")
    for split in ("validation", "test") if groups is not None else ():
        shared = pc.unique(groups.filter(pc.is_in(groups, value_set=of_labelled.get(split, groups[:0]).unique())))
        if len(shared):
            raise ValueError(
                f"--unlabelled_file: {len(shared)} groups ({listed(shared.to_pylist())}) are in {split}, too; leave "
                "their sequences out."
            )
    train, held = data.splits["train"], data.splits["validation"]
    window_nt = args.crop_nt or int(np.median(pc.binary_length(column_of(train, "sequence"))))
    classify = fit_classifier(data, task, window_nt, args.crop_step or CODON_NT)
    labels = classify(rows, groups)
    unknown = np.flatnonzero(labels == UNKNOWN)
    if len(unknown):
        row = int(unknown[0])
        raise ValueError(
            f"{place_of_new(row)}: it has no three letters of ACGT in a codon's place, from which its class could be "
            f"told ({len(unknown)} such rows); leave it out."
        )
    names, known = [], {}
    if groups is not None:
        names, known = groups.unique().to_pylist(), labels_of_groups(of_labelled["train"], _labels(train))
        labels = np.array([known.get(group, label) for group, label in zip(groups.to_pylist(), labels, strict=True)])
    facts = {
        "sequences": len(rows),
        "groups": len(rows) if groups is None else len(names),
        "labelled_groups": sum(name in known for name in names),
        "labels": {name: int((labels == i).sum()) for i, name in enumerate(data.labels.names)},
        "classifier": FRAME_WISE.name,
        "window_nt": window_nt,
        **_on_validation(classify, held, data.groups.get("validation"), data.labels.names),
    }

    columns = pa.table({"sequence": column_of(rows, "sequence"), "label": labels})
    new = Dataset(columns.select(train.column_names).cast(train.features.arrow_schema))
    splits = DatasetDict(data.splits | {"train": concatenate_datasets([train, new])})

    def place(split: str, row: int) -> str:
        is_new = split == "train" and row >= len(train)
        return place_of_new(row - len(train)) if is_new else data.place(split, row)

    if not args.allow_overlap:
        check_overlap(splits, place, UNLESS_ALLOWED)
    if groups is not None:
        of_labelled["train"] = pa.concat_arrays([of_labelled["train"], groups])
    counted = {"num_pseudo": len(new), "num_replaced": data.num_replaced + num_replaced}
    return replace(data, splits=splits, groups=of_labelled, place=place, **counted), facts


def describe(facts: dict[str, Any]) -> str:
    """What the terminal says of self-training."""
    of_train = f"; {facts['labelled_groups']:,} of the groups have their label from train"
    by_class, majority = facts["validation_recall"], facts["validation_majority"]
    worst = min(by_class, key=by_class.__getitem__)
    by_chance = f"; that is no better than one class for all, {number(majority)}: they teach nothing"
    return (
        f"{facts['sequences']:,} sequences without labels, of {facts['groups']:,} groups, were labelled by a logistic "
        f"regression of {facts['classifier']}, right on {number(facts['validation_accuracy'])} of validation, "
        f"of class {worst} on {number(by_class[worst])}, from {facts['validation_rows_per_group']:.1f} rows per group"
        + (by_chance if facts["validation_accuracy"] <= majority else "")
        + (of_train if facts["labelled_groups"] else "")
    )


def _on_validation(classify: Classifier, rows: Dataset, groups: pa.Array | None, names: list[str]) -> dict[str, Any]:
    """How the classifier labels validation."""
    is_right, labels = classify(rows, groups) == _labels(rows), _labels(rows)
    return {
        "validation_accuracy": float(is_right.mean()),
        "validation_recall": {names[i]: float(is_right[labels == i].mean()) for i in np.unique(labels).tolist()},
        "validation_majority": float(np.bincount(labels).max() / len(labels)),
        "validation_rows_per_group": len(rows) / (group_numbers(groups, len(rows)).max() + 1),
    }


def labels_of_groups(groups: pa.Array, labels: np.ndarray) -> dict[Any, int]:
    """The label of each group whose rows all have the same."""
    pairs = set(zip(groups.to_pylist(), labels.tolist(), strict=True))
    number = Counter(group for group, _ in pairs)
    return {group: label for group, label in pairs if number[group] == 1}


def fit_classifier(data: SequenceData, task: Task, window_nt: int, step_nt: int) -> Classifier:
    """
    Fit a logistic regression of frame-wise 3-mers on windows of train; validation chooses its penalty.

    It cuts sequences into such windows. The log-likelihoods of all windows of a group, or of a sequence where there
    are no groups, are added; all classes are taken to be equally frequent. What has no 3-mer in frame is `UNKNOWN`.
    """
    windows = {split: tile(data.splits[split], window_nt, step_nt, MAX_ROWS)[0] for split in ("train", "validation")}
    fitted, held = (Rows(count_all(FRAME_WISE, each), _labels(each)) for each in windows.values())
    fit = fit_linear(fitted, [(fitted, held)], task, data.labels)
    log_prior = np.log(np.maximum(1, np.bincount(fitted.labels, minlength=data.labels.num_outputs)))

    def classify(rows: Dataset, groups: pa.Array | None) -> np.ndarray:
        windows, of_window = tile(rows.select_columns("sequence"), window_nt, step_nt, UNLIMITED)
        of_row = group_numbers(groups, len(rows))
        counts = count_all(FRAME_WISE, windows)
        log_likelihoods = log_softmax(fit.predict(counts) - log_prior, axis=1)
        sums = np.zeros((of_row.max() + 1, data.labels.num_outputs))
        np.add.at(sums, of_row[of_window], log_likelihoods)
        num_kmers = np.bincount(of_row[of_window], np.asarray(abs(counts).sum(axis=1)).ravel())
        return np.where(num_kmers > 0, sums.argmax(axis=1), UNKNOWN)[of_row]

    return classify


def _labels(rows: Dataset) -> np.ndarray:
    return label_array(rows).to_numpy()
