"""One split or two -> train, validation and test, by group, without overlap."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from dnahub.tasks.labels import RowError, column_of, listed
from dnahub.tasks.task import Task

# Which rows are cut off for validation and test depends on the data alone: runs of other seeds can be compared.
CUT_SEED = 42
ROLES = ("train", "validation", "test")
UNLESS_ALLOWED = ", or give --allow_overlap"
ROWS_AT_ONCE = 10_000  # 120 MB of sequences of 12,000 nt, as long as the models take
DIGEST_BYTES = 16  # that two of a thousand million sequences share one by chance: 1e-21


def complete(
    splits: DatasetDict,
    task: Task,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    group_column: str | None = None,
    seed: int = CUT_SEED,
) -> tuple[DatasetDict, dict[str, str]]:
    """
    Cut a missing validation and test split off train, at random, and stratified by label where rows have classes.

    Rows of one group, or of one sequence, stay on one side. Train keeps at least one group of every label.

    Returns the splits, rows in their order, and how new ones were made: {"test": "0.1 of train, by gene"}. Raises
    ValueError if fractions are out of range, a row has no group, or there are too few groups.
    """
    fractions = {"test": test_fraction, "validation": validation_fraction}
    fractions = {split: fraction for split, fraction in fractions.items() if split not in splits}
    if not (0 < fractions.get("validation", 1) and 0 <= fractions.get("test", 0) and sum(fractions.values()) < 1):
        raise ValueError(
            f"--validation_fraction {validation_fraction} and --test_fraction {test_fraction}: validation must be "
            "above 0, test 0 or more, and both together below 1, for train."
        )
    fractions = {split: fraction for split, fraction in fractions.items() if fraction}
    if not fractions:
        return splits, {}
    rows = splits["train"]
    values = _digests(rows) if group_column is None else _group_values("train", rows, group_column)
    groups = values.dictionary_encode().indices.to_numpy()
    row, label = task.row_labels(rows) or (np.zeros(0, int), np.zeros(0, int))
    order, kept = _order(groups, groups[row], label, np.random.default_rng(seed))
    if (~kept).sum() < len(fractions):
        raise ValueError(
            f"split train: its {len(rows)} rows are of {len(kept)} {group_column or 'sequence'} groups, of which "
            f"{kept.sum()} stay in train so that it has every label: too few for {len(fractions) + 1} splits; give "
            "rows of more such groups, or files of validation and test."
        )
    parts = _parts(np.bincount(groups), order, kept, list(fractions.values()))[groups]
    completed = dict(splits)
    for part, split in enumerate(["train", *fractions]):
        completed[split] = rows.select(np.flatnonzero(parts == part))
    how = f"by {group_column} ({len(kept)} groups)" if group_column else "by row"
    how += ", stratified by label" * task.stratified
    made = {split: f"{fraction:g} of train, {how}" for split, fraction in fractions.items()}
    return DatasetDict({role: completed[role] for role in ROLES if role in completed}), made


def _group_values(split: str, rows: Dataset, group_column: str) -> pa.Array:
    values = column_of(rows, group_column)
    if values.null_count:
        row = int(np.flatnonzero(values.is_null())[0])
        raise RowError(split, row, f"it has no {group_column}; complete that row or leave it out.")
    return values


def _order(
    groups: np.ndarray, labelled: np.ndarray, label: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The order in which groups (numbers) are dealt out, and which of them (booleans) train keeps."""
    # The stratum of a group is its rarest label; the rarest comes first. Within one, large groups come first, so that
    # small ones can make up for them, and groups of one size are shuffled.
    sizes = np.bincount(groups)
    rarity = np.argsort(np.argsort(np.bincount(label), kind="stable"))
    stratum = np.full(len(sizes), len(rarity))  # of groups without a label
    np.minimum.at(stratum, labelled, rarity[label])
    # Of each label, train keeps the largest group of its own stratum, or of the nearest that has one.
    pairs = np.lexsort((sizes[labelled], stratum[labelled]))
    keeper = dict(zip(label[pairs].tolist(), labelled[pairs].tolist(), strict=True)) or {0: sizes.argmax()}
    kept = np.isin(np.arange(len(sizes)), list(keeper.values()))
    return np.lexsort((rng.permutation(len(sizes)), -sizes, ~kept, stratum)), kept


def _parts(sizes: np.ndarray, order: np.ndarray, kept: np.ndarray, fractions: list[float]) -> np.ndarray:
    """Which part each group goes to: 0 is train, 1 and so on are the fractions."""
    # After each group, a part is due its fraction of the rows so far. The part that is due most takes the group, if
    # that is closer to its due than leaving it to train: so it is near its fraction at the end of every stratum.
    part_of = np.zeros(len(sizes), int)
    due = [0.0] * len(fractions)
    for group in order.tolist():
        size = int(sizes[group])
        if kept[group]:  # With it a stratum begins, which makes up for those before by no more than a group.
            due = [min(max(rows, -size), size) for rows in due]
        due = [rows + fraction * size for rows, fraction in zip(due, fractions, strict=True)]
        part = due.index(max(due))
        if not kept[group] and due[part] > size / 2 - 1e-6:
            part_of[group] = part + 1
            due[part] -= size
    for part in range(1, len(fractions) + 1):
        num_groups = np.bincount(part_of, minlength=len(fractions) + 1)
        if not num_groups[part]:  # all are too large for it
            spare = np.flatnonzero(~kept & ((part_of == 0) | (num_groups[part_of] > 1)))
            part_of[spare[sizes[spare].argmin()]] = part
    return part_of


def check_groups(splits: DatasetDict, group_column: str) -> list[str]:
    """All groups; raises ValueError if a row has none, no two rows are of one, or a group stands in two splits."""
    groups = {split: _group_values(split, rows, group_column).cast(pa.string()) for split, rows in splits.items()}
    for first, second, of_second, _ in _shared(groups):
        shared = groups[second].take(of_second).unique().to_pylist()
        raise ValueError(
            f"--group_column {group_column}: {len(shared)} groups ({listed(shared)}) are in {first} and in {second}; "
            "move the rows of a group to one split, or leave the column out."
        )
    num_rows = sum(map(len, groups.values()))
    distinct = [group for values in groups.values() for group in values.unique().to_pylist()]
    if len(distinct) == num_rows > 1:
        raise ValueError(
            f"--group_column {group_column}: its {num_rows} values are all different, so that no two rows are of one "
            "group; name another column, or leave it out."
        )
    return distinct


def check_overlap(splits: DatasetDict, place: Callable[[str, int], str], unless: str = "") -> None:
    """Raises ValueError if a sequence, as the tokenizer reads it, is in two splits; similar ones may be."""
    digests = {role: _digests(splits[role]) for role in ROLES if role in splits}
    faults = [
        f"{len(of_second)} of the {len(splits[second])} sequences of {second} are in {first}, too "
        f"({place(second, of_second[0])}: that of {place(first, of_first[0])})"
        for first, second, of_second, of_first in _shared(digests)
    ]
    if faults:
        raise ValueError(f"{'; '.join(faults)}: leave them out of one{unless}.")


def _shared(values: dict[str, pa.Array]) -> Iterator[tuple[str, str, list[int], list[int]]]:
    """Of each two splits that share a value: their names, the rows of the second, and for each one of the first."""
    for first, second in combinations(values, 2):
        where = pc.index_in(values[second], value_set=values[first])
        if where.null_count < len(where):
            yield first, second, np.flatnonzero(where.is_valid()).tolist(), where.drop_null().to_pylist()


def _digests(rows: Dataset) -> pa.Array:
    """A digest of each sequence, the same for all that are read alike: 16 bytes instead of the sequence."""
    digests = []
    for batch in rows.select_columns(["sequence"]).with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        for sequence in batch["sequence"].to_pylist():
            text = "".join(sequence.split()).upper().replace("U", "T").encode()
            digests.append(hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest())
    return pa.array(digests, pa.binary(DIGEST_BYTES))
