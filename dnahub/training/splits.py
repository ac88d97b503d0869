"""One split or two -> train, validation and test, by group, without repeats."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset

from dnahub.tasks.task import Task

ROLES = ("train", "validation", "test")
ROWS_AT_ONCE = 10_000  # 120 MB of sequences of 12,000 nt, as long as the models take
DIGEST_BYTES = 16  # that two of a thousand million sequences share one by chance: 1e-21


def complete(
    splits: DatasetDict,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    group_column: str | None = None,
    seed: int = 42,
    task: Task | None = None,
) -> tuple[DatasetDict, dict[str, str]]:
    """
    Cut a missing validation and test split off train, at random, and stratified by label where rows have classes.

    Rows of one group stay on one side; without a group column, rows of one sequence do. The stratum of a group is the
    rarest label of its rows, and train keeps at least one group of every label. From the rarest stratum to the most
    common, what one stratum gives too much or too little is passed to the next: each stratum gives its share, rounded
    to whole groups, and so do all together. Within a stratum, the groups are shuffled and those taken that still fit,
    then the smallest of the others, if that comes closer.

    Args:
        splits: train and, where they are there, validation and test, which stay as they are; others are left out.
        validation_share: How much of the rows of train become validation, where that is missing; above 0.
        test_share: How much of the rows of train become test, where that is missing; 0 for none.
        group_column: The column of groups, such as gene or chromosome; default none.
        seed: Seed of the shuffling.
        task: Whose `row_labels` are the classes by which the splits are stratified; default None, not stratified.

    Returns:
        The splits, rows in the order that they had; and how each that is new was made, such as
        {"test": "0.1 of train, by gene, stratified by label"}.

    Raises:
        ValueError: If there is no train, a share is out of range or none is left for train, the group column is not
            there, a row has no group or no sequence, or there are too few groups for the splits.
    """
    if "train" not in splits:
        raise ValueError(f"there is no split 'train', only {', '.join(splits)}; the others are cut off it.")
    shares = {"test": test_share, "validation": validation_share}
    shares = {split: share for split, share in shares.items() if split not in splits}
    for split, share in shares.items():
        if not 0 <= share < 1 or (share == 0 and split == "validation"):
            raise ValueError(
                f"the {split} share is {share}; it must be below 1 and {'0 or ' * (split == 'test')}above 0."
            )
    if sum(shares.values()) >= 1:
        raise ValueError(
            f"the shares of validation and test, {' and '.join(map(str, shares.values()))}, leave no row for train; "
            "give smaller ones."
        )
    shares = {split: share for split, share in shares.items() if share}
    complete_splits = {role: splits[role] for role in ROLES if role in splits}
    if shares:
        rows = splits["train"]
        groups = _groups(rows, group_column)
        row, label = (task and task.row_labels(rows)) or (np.zeros(0, int), np.zeros(0, int))
        parts = _cut(
            groups,
            np.stack([groups[row], label]),
            np.bincount(label),
            list(shares.values()),
            group_column or "sequence",
            np.random.default_rng(seed),
        )
        for part, split in enumerate(["train", *shares]):
            complete_splits[split] = rows.select(np.flatnonzero(parts == part))
    how = f"by {group_column or 'row'}" + (", stratified by label" if task and task.stratified else "")
    made = {split: f"{share:g} of train, {how}" for split, share in shares.items()}
    return DatasetDict({role: complete_splits[role] for role in ROLES if role in complete_splits}), made


def _groups(rows: Dataset, group_column: str | None) -> np.ndarray:
    """Which group each row is of, numbered from 0 as they first occur."""
    if group_column is None:
        return _numbered(_digests("train", rows))
    if group_column not in rows.features:
        raise ValueError(f"split train: there is no column {group_column!r}, only {', '.join(rows.features)}.")
    values = rows.select_columns([group_column]).with_format("arrow")[:][group_column].combine_chunks()
    if pa.types.is_nested(values.type):
        raise ValueError(
            f"split train: column {group_column!r} is {rows.features[group_column]}; a group is a string or a number."
        )
    if values.null_count:
        row = int(np.flatnonzero(values.is_null())[0])
        raise ValueError(f"split train: row {row} has no {group_column}; complete that row or leave it out.")
    return _numbered(values)


def _numbered(values: pa.Array) -> np.ndarray:
    return values.dictionary_encode().indices.to_numpy()


def _cut(
    groups: np.ndarray,
    group_labels: np.ndarray,
    rows_of_label: np.ndarray,
    shares: list[float],
    grouped_by: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """
    Which part each row goes to: 0 stays, 1 and so on are the shares.

    Args:
        groups: Which group each row is of, (rows,).
        group_labels: Pairs of a group and a label that it has, (2, pairs).
        rows_of_label: How many rows have each label, (labels,).
        shares: Of all rows.
        grouped_by: What a group is, for an error.
        rng: What shuffles.
    """
    sizes = np.bincount(groups)
    shuffled = rng.permutation(len(sizes))
    stratum, kept = _strata(group_labels, rows_of_label, shuffled)
    num_free = len(sizes) - max(1, kept.sum())
    if num_free < len(shares):
        raise ValueError(
            f"split train: its {len(groups)} rows are of {len(sizes)} {grouped_by} groups, too few for "
            f"{len(shares) + 1} splits, of which train keeps a group of every label; give more rows, or files of "
            "validation and test."
        )
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    strata = np.split(by_stratum, np.cumsum(np.bincount(stratum))[:-1])
    strata = [groups_of_it for groups_of_it in strata if len(groups_of_it)]
    strata.sort(key=lambda groups_of_it: sizes[groups_of_it].sum())
    part_of = np.zeros(len(sizes), int)
    for part, share in enumerate(shares, start=1):
        num_later = len(shares) - part  # a group each for the other parts
        left_over = 0.0  # rows that the strata so far gave too few
        for groups_of_it in strata:
            unit, wanted = sizes[groups_of_it].min(), round(share * sizes[groups_of_it].sum(), 6)
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


def check_repeats(splits: DatasetDict) -> None:
    """
    Check that no sequence of validation or test is in train, and none of test in validation.

    Sequences are compared as strings, as the tokenizer reads them: in upper case, U as T, without white space. That
    similar sequences, such as homologous genes or the reverse complement, stand on one side is the user's business.

    Args:
        splits: Any of train, validation and test, with the column `sequence`.

    Raises:
        ValueError: If a sequence stands in two splits, or is missing; the first such rows are named.
    """
    digests = {role: _digests(role, splits[role]) for role in ROLES if role in splits}
    faults = []
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if first not in digests or second not in digests:
            continue
        where = pc.index_in(digests[second], value_set=digests[first])
        repeats = np.flatnonzero(where.is_valid())
        if len(repeats):
            row = int(repeats[0])
            faults.append(
                f"{len(repeats)} of the {len(where)} rows of {second} hold a sequence of {first} "
                f"(row {row} that of row {where[row]})"
            )
    if faults:
        raise ValueError(f"{'; '.join(faults)}: leave them out of one, or give --allow_repeats.")


def refuse_repeats(train: IterableDataset, splits: DatasetDict) -> IterableDataset:
    """As `check_repeats`, for a train that is read row by row: the error is raised when such a row is reached."""
    held_out = {digest: role for role, rows in splits.items() for digest in _digests(role, rows).to_pylist()}

    def is_new(sequence: str | None) -> bool:
        role = held_out.get(_digest(_as_read(sequence or "")))
        if role is not None:
            raise ValueError(
                f"split train holds a sequence of {role}, which begins with {sequence[:20]!r}: leave it out of one, "
                "or give --allow_repeats."
            )
        return True

    return train.filter(is_new, input_columns="sequence")


def _digests(split: str, rows: Dataset) -> pa.Array:
    """A digest of each sequence, the same for all that are read alike: 16 bytes instead of the sequence."""
    digests = [_digest(text) for text in _texts(split, rows)]
    return pa.array(digests, pa.binary(DIGEST_BYTES))


def _texts(split: str, rows: Dataset) -> Iterator[bytes]:
    row = 0
    for batch in rows.select_columns(["sequence"]).with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        for sequence in batch["sequence"].to_pylist():
            if sequence is None:
                raise ValueError(f"split {split}: the sequence of row {row} is missing; leave that row out.")
            yield _as_read(sequence)
            row += 1


def _as_read(sequence: str) -> bytes:
    return "".join(sequence.split()).upper().replace("U", "T").encode()


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()
