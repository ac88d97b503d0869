"""One split or two -> train, validation and test, by group, without overlap."""

import hashlib
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from dnahub.tasks.task import Task

ROLES = ("train", "validation", "test")
ROWS_AT_ONCE = 10_000  # 120 MB of sequences of 12,000 nt, as long as the models take
DIGEST_BYTES = 16  # that two of a thousand million sequences share one by chance: 1e-21


def complete(
    splits: DatasetDict,
    task: Task,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    group_column: str | None = None,
    seed: int = 42,
) -> tuple[DatasetDict, dict[str, str], dict[str, np.ndarray]]:
    """
    Cut a missing validation and test split off train, at random, and stratified by label where rows have classes.

    Rows of one group stay on one side; without a group column, rows of one sequence do. The stratum of a group is the
    rarest label of its rows, and train keeps at least one group of every label. From the rarest stratum to the most
    common, what one stratum gives too much or too little is passed to the next: each stratum gives its fraction,
    rounded to whole groups, and so do all together. Within a stratum, the groups are shuffled and those taken that
    still fit, then the smallest of the others, if that comes closer.

    Args:
        splits: train and, where they are given, validation and test, which stay unchanged.
        task: Says which classes a row has.
        validation_fraction: Of the rows of train, where there is no validation; above 0.
        test_fraction: Of the rows of train, where there is no test; 0 for none.
        group_column: The column of groups, such as gene or chromosome; default none.
        seed: Seed of the shuffling.

    Returns:
        The splits, rows in the order that they had; how each new one was made, such as {"test": "0.1 of train, by
        gene, stratified by label"}; and which rows of train are now in train and in each new one.

    Raises:
        ValueError: If a fraction is out of range or none is left for train, the group column is missing, a row has no
            group, each row has a group of its own, or there are too few groups for the splits.
    """
    fractions = {"test": test_fraction, "validation": validation_fraction}
    fractions = {split: fraction for split, fraction in fractions.items() if split not in splits}
    for split, fraction in fractions.items():
        if not 0 <= fraction < 1 or (fraction == 0 and split == "validation"):
            raise ValueError(
                f"--{split}_fraction {fraction}: give a number below 1 and {'0 or ' * (split == 'test')}above 0."
            )
    if sum(fractions.values()) >= 1:
        raise ValueError(
            f"the fractions of validation and test, {' and '.join(map(str, fractions.values()))}, leave no row for "
            "train; give smaller ones."
        )
    fractions = {split: fraction for split, fraction in fractions.items() if fraction}
    if not fractions:
        return splits, {}, {}
    rows = splits["train"]
    groups = _groups(rows, group_column)
    pairs = task.row_labels(rows)
    row, label = (np.zeros(0, int), np.zeros(0, int)) if pairs is None else pairs
    parts = _cut(
        groups,
        np.stack([groups[row], label]),
        np.bincount(label),
        list(fractions.values()),
        group_column or "sequence",
        np.random.default_rng(seed),
    )
    chosen = {split: np.flatnonzero(parts == part) for part, split in enumerate(["train", *fractions])}
    completed = {**splits, **{split: rows.select(numbers) for split, numbers in chosen.items()}}
    how = f"by {group_column or 'row'}" + ", stratified by label" * task.stratified
    made = {split: f"{fraction:g} of train, {how}" for split, fraction in fractions.items()}
    return DatasetDict({role: completed[role] for role in ROLES if role in completed}), made, chosen


def _groups(rows: Dataset, group_column: str | None) -> np.ndarray:
    """Which group each row is of, numbered from 0 as they first occur."""
    if group_column is None:
        return _numbered(_digests(rows))
    groups = _numbered(_group_values("train", rows, group_column))
    if len(rows) > 1 and groups.max() + 1 == len(rows):
        raise ValueError(
            f"--group_column {group_column}: its {len(rows)} values are all different, so that no two rows are of one "
            "group; name another column, or leave it out."
        )
    return groups


def _group_values(split: str, rows: Dataset, group_column: str) -> pa.Array:
    if group_column not in rows.features:
        raise ValueError(f"split {split}: there is no column {group_column!r}, only {', '.join(rows.features)}.")
    values = rows.select_columns([group_column]).with_format("arrow")[:][group_column].combine_chunks()
    if pa.types.is_nested(values.type):
        raise ValueError(
            f"split {split}: column {group_column!r} is {rows.features[group_column]}; a group is text or a number."
        )
    if values.null_count:
        row = int(np.flatnonzero(values.is_null())[0])
        raise ValueError(f"split {split}: row {row} has no {group_column}; complete that row or leave it out.")
    return values


def _numbered(values: pa.Array) -> np.ndarray:
    return values.dictionary_encode().indices.to_numpy()


def _cut(
    groups: np.ndarray,
    group_labels: np.ndarray,
    rows_of_label: np.ndarray,
    fractions: list[float],
    grouped_by: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """
    Which part each row goes to: 0 stays, 1 and so on are the fractions.

    Args:
        groups: Which group each row is of, (rows,).
        group_labels: Pairs of a group and a label that it has, (2, pairs).
        rows_of_label: How many rows have each label, (labels,).
        fractions: Of all rows.
        grouped_by: What a group is, for an error.
        rng: What shuffles.
    """
    sizes = np.bincount(groups)
    shuffled = rng.permutation(len(sizes))
    stratum, kept = _strata(group_labels, rows_of_label, shuffled)
    num_free = len(sizes) - max(1, kept.sum())
    if num_free < len(fractions):
        raise ValueError(
            f"split train: its {len(groups)} rows are of {len(sizes)} {grouped_by} groups, too few for "
            f"{len(fractions) + 1} splits, of which train keeps a group of every label; give more rows, or files of "
            "validation and test."
        )
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    strata = np.split(by_stratum, np.cumsum(np.bincount(stratum))[:-1])
    strata = [groups_of_it for groups_of_it in strata if len(groups_of_it)]
    strata.sort(key=lambda groups_of_it: sizes[groups_of_it].sum())
    part_of = np.zeros(len(sizes), int)
    for part, fraction in enumerate(fractions, start=1):
        num_later = len(fractions) - part  # a group each for the other parts
        left_over = 0.0  # rows that the strata so far gave too few
        for groups_of_it in strata:
            unit, wanted = sizes[groups_of_it].min(), round(fraction * sizes[groups_of_it].sum(), 6)
            # What many small strata leave over is not taken from the next alone.
            rounded = np.clip(wanted + left_over, wanted // unit * unit, -(-wanted // unit) * unit)
            free = groups_of_it[(part_of[groups_of_it] == 0) & ~kept[groups_of_it]]
            taken = _fill(free.tolist(), sizes, rounded, num_free - num_later)
            part_of[taken] = part
            num_free -= len(taken)
            left_over += wanted - sizes[taken].sum()
        if not (part_of == part).any():
            free = np.flatnonzero((part_of == 0) & ~kept)
            part_of[free[sizes[free].argmin()]] = part
            num_free -= 1
    return part_of[groups]


def _strata(
    group_labels: np.ndarray, rows_of_label: np.ndarray, shuffled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    The stratum of each group, the rank of its rarest label, and whether train keeps it as one group of a label.

    Of each label that is the first of the shuffled groups, of those whose rarest label it is, where there are any.
    """
    rarity = np.empty(len(rows_of_label), int)
    rarity[np.argsort(rows_of_label, kind="stable")] = np.arange(len(rows_of_label))
    group, rank = group_labels[0], rarity[group_labels[1]]
    stratum = np.full(len(shuffled), len(rows_of_label))  # of groups without a label
    np.minimum.at(stratum, group, rank)
    place = np.empty(len(shuffled), int)
    place[shuffled] = np.arange(len(shuffled))
    order = np.lexsort((place[group], stratum[group] != rank, rank))
    _, first = np.unique(rank[order], return_index=True)
    kept = np.zeros(len(shuffled), bool)
    kept[group[order][first]] = True
    return stratum, kept


def _fill(groups: list[int], sizes: np.ndarray, missing: float, most: int) -> list[int]:
    """At most so many groups, in their order, that fit into the missing rows; the smallest, too, if that is closer."""
    taken, others = [], []
    for group in groups:
        if missing >= 1 and len(taken) < most and sizes[group] <= missing:
            taken.append(group)
            missing -= sizes[group]
        else:
            others.append(group)
    if others and len(taken) < most:
        smallest = min(others, key=lambda group: (sizes[group], group))
        if sizes[smallest] < 2 * missing:  # closer with it than without it
            taken.append(smallest)
    return taken


def check_groups(splits: DatasetDict, group_column: str) -> None:
    """
    Raises:
        ValueError: If a group stands in two splits; the first one is named.
    """
    values = {split: _group_values(split, rows, group_column) for split, rows in splits.items()}
    for (first, of_first), (second, of_second) in combinations(values.items(), 2):
        shared = of_second.cast(pa.string()).unique()
        shared = shared.filter(pc.is_in(shared, value_set=of_first.cast(pa.string()).unique()))
        if len(shared):
            raise ValueError(
                f"--group_column {group_column}: {len(shared)} groups, such as {shared[0].as_py()!r}, are in {first} "
                f"and in {second}; move the rows of a group to one split, or leave the column out."
            )


def check_overlap(splits: DatasetDict, place: Callable[[str, int], str]) -> None:
    """
    Check that no sequence is in two splits.

    Sequences are compared as the tokenizer reads them: in upper case, U as T, without white space. Similar sequences,
    such as homologous genes or the reverse complement, are not found: group them by `--group_column`.

    Args:
        splits: Any of train, validation and test, with the column `sequence`.
        place: Split and row -> where that is, for messages.

    Raises:
        ValueError: If a sequence is in two splits; the first such rows are named.
    """
    digests = {role: _digests(splits[role]) for role in ROLES if role in splits}
    faults = []
    for first, second in combinations(digests, 2):
        where = pc.index_in(digests[second], value_set=digests[first])
        overlap = np.flatnonzero(where.is_valid())
        if len(overlap):
            row = int(overlap[0])
            faults.append(
                f"{len(overlap)} of the {len(where)} sequences of {second} are in {first}, too ({place(second, row)}: "
                f"that of {place(first, where[row].as_py())})"
            )
    if faults:
        raise ValueError(f"{'; '.join(faults)}: leave them out of one, or give --allow_overlap.")


def _digests(rows: Dataset) -> pa.Array:
    """A digest of each sequence, the same for all that are read alike: 16 bytes instead of the sequence."""
    digests = []
    for batch in rows.select_columns(["sequence"]).with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        for sequence in batch["sequence"].to_pylist():
            text = "".join(sequence.split()).upper().replace("U", "T").encode()
            digests.append(hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest())
    return pa.array(digests, pa.binary(DIGEST_BYTES))
