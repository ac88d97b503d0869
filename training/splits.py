"""One split or two -> train, validation and test, by group, without repeats."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset

ROLES = ("train", "validation", "test")
ROWS_AT_ONCE = 10_000  # 120 MB of sequences of 12,000 nt, as long as the models take
DIGEST_BYTES = 16  # that two of a thousand million sequences share one by chance: 1e-21


def complete(
    splits: DatasetDict,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    group_column: str | None = None,
    seed: int = 42,
) -> tuple[DatasetDict, dict[str, str]]:
    """
    Cut a missing validation and test split off train, at random.

    Rows of one group stay on one side; without a group column, rows of one sequence do. The groups are shuffled and
    those taken that still fit into the share, then the smallest of the others, if that comes closer: the share is met
    as well as their sizes allow.

    Args:
        splits: train and, where they are there, validation and test, which stay as they are; others are left out.
        validation_share: How much of the rows of train become validation, where that is missing; above 0.
        test_share: How much of the rows of train become test, where that is missing; 0 for none.
        group_column: The column of groups, such as gene or chromosome; default none.
        seed: Seed of the shuffling.

    Returns:
        The splits, rows in the order that they had; and how each that is new was made, such as
        {"test": "0.1 of train, by gene"}.

    Raises:
        ValueError: If there is no train, a share is out of range or none is left for train, the group column is not
            there, a row has no group or no sequence, or there are fewer groups than splits.
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
        parts = _cut(groups, list(shares.values()), group_column or "sequence", np.random.default_rng(seed))
        for part, split in enumerate(["train", *shares]):
            complete_splits[split] = rows.select(np.flatnonzero(parts == part))
    made = {split: f"{share:g} of train, by {group_column or 'row'}" for split, share in shares.items()}
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


def _cut(groups: np.ndarray, shares: list[float], grouped_by: str, rng: np.random.Generator) -> np.ndarray:
    """Which part each row goes to: 0 stays, 1 and so on are the shares."""
    sizes = np.bincount(groups)
    if len(sizes) <= len(shares):
        raise ValueError(
            f"split train: its {len(groups)} rows are of {len(sizes)} {grouped_by} groups, too few for "
            f"{len(shares) + 1} splits; give more rows, or validation and test of your own."
        )
    part_of = np.zeros(len(sizes), int)
    free = rng.permutation(len(sizes)).tolist()
    for part, share in enumerate(shares, start=1):
        missing = share * len(groups)
        most = len(free) - (len(shares) - part + 1)  # a group each for the other parts
        taken = []
        for group in free:
            if missing < 1 or len(taken) == most:
                break
            if sizes[group] <= missing:
                taken.append(group)
                missing -= sizes[group]
        smallest = min(set(free) - set(taken), key=lambda group: (sizes[group], group))
        if not taken or (len(taken) < most and sizes[smallest] < 2 * missing):  # closer with it than without it
            taken.append(smallest)
        part_of[taken] = part
        free = [group for group in free if not part_of[group]]
    return part_of[groups]


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
