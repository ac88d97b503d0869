"""Genes -> windows in three splits that share no stretch of 30 nt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_builder.arguments import STRETCH_NT
from dataset_builder.cds import CDS
from dataset_builder.layout import SPLITS

# The first keeps all that it draws; a later one drops what it shares with those before it.
LEAK_PRIORITY = ("test", "validation", "train")
CHUNK_STRETCHES = 1 << 21  # stretches held in memory at a time

_CODE = np.full(256, 4, dtype=np.uint8)  # 4: not A, C, G or T
_CODE[np.frombuffer(b"ACGT", dtype=np.uint8)] = np.arange(4)
_COMPLEMENT = np.zeros(256, dtype=np.uint8)
_COMPLEMENT[np.frombuffer(b"ACGT", dtype=np.uint8)] = np.frombuffer(b"TGCA", dtype=np.uint8)


@dataclass(frozen=True)
class SplitCounts:
    """Counts of the windows of one class in one split."""

    genes: int  # or records of any DNA
    candidates: int  # windows of these genes
    examined: int  # drawn, in random order, until the budget was filled
    duplicates: int  # removed: equal to an earlier one of the split, on either strand
    leaks: int  # removed: share a stretch with a split of higher priority, on either strand
    kept: int


def tile(genes: Sequence[CDS], window_nt: int) -> tuple[np.ndarray, int]:
    """
    Cut every sequence, from its first nt, into windows that do not overlap; a shorter rest at its end is not used.

    Returns:
        The windows of only A, C, G and T, a structured array (windows,) of `sequence` (bytes), `gene` (index into
        `genes`) and `start` (0-based position in the sequence, in nt); and the number of windows with other letters.
    """
    tiles = np.array([len(cds.sequence) // window_nt for cds in genes], dtype=np.int64)
    text = "".join(cds.sequence[: count * window_nt] for cds, count in zip(genes, tiles, strict=True))
    first_tile = np.repeat(np.cumsum(tiles) - tiles, tiles)
    windows = np.empty(tiles.sum(), dtype=[("sequence", f"S{window_nt}"), ("gene", np.int32), ("start", np.int32)])
    windows["sequence"] = np.frombuffer(text.encode("ascii"), dtype=f"S{window_nt}")
    windows["gene"] = np.repeat(np.arange(len(genes)), tiles)
    windows["start"] = (np.arange(len(windows)) - first_tile) * window_nt
    valid = (_CODE[_letters(windows["sequence"])] < 4).all(axis=1)
    return windows[valid], int((~valid).sum())


def _letters(sequences: np.ndarray) -> np.ndarray:
    """The ASCII codes of byte strings: uint8 (windows, window_nt)."""
    return np.ascontiguousarray(sequences).view(np.uint8).reshape(len(sequences), sequences.dtype.itemsize)


def codes_of(genes: Sequence[CDS]) -> np.ndarray:
    """The letters of all genes, A, C, G and T as 0 to 3, others as 4: uint8 (nt,)."""
    return _CODE[np.frombuffer("".join(cds.sequence for cds in genes).encode("ascii"), dtype=np.uint8)]


def canonical_stretches(sequences: np.ndarray) -> np.ndarray:
    """All stretches of 30 nt, each as the smaller of both strands: uint64 (windows, window_nt - 29), 2 bits per nt."""
    return np.minimum(*pack_strands(_CODE[_letters(sequences)]))


def pack_strands(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes 0 to 3, (rows, nt) -> each stretch of 30 nt, and its reverse complement: uint64 (rows, nt - 29) each."""
    return _pack(codes), _pack(3 - codes[:, ::-1])[:, ::-1]


def _pack(codes: np.ndarray) -> np.ndarray:
    packed = codes.astype(np.uint64)
    packed_nt = 1
    for factor in (2, 3, 5):  # 2 * 3 * 5 = STRETCH_NT: seven passes rather than twenty-nine
        width = packed.shape[1] - packed_nt * (factor - 1)
        longer = packed[:, :width]
        for offset in range(packed_nt, packed_nt * factor, packed_nt):
            longer = longer << np.uint64(2 * packed_nt) | packed[:, offset : offset + width]
        packed, packed_nt = longer, packed_nt * factor
    return packed


def canonical_sequences(sequences: np.ndarray) -> np.ndarray:
    """Each byte string as the smaller of itself and its reverse complement."""
    reverse = np.ascontiguousarray(_COMPLEMENT[_letters(sequences)[:, ::-1]]).view(sequences.dtype)[:, 0]
    return np.where(sequences <= reverse, sequences, reverse)


def drop_ambiguous(class_windows: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Windows that occur, on either strand, in one class only; and how many others there were, per class."""
    canonical = [canonical_sequences(windows["sequence"]) for windows in class_windows]
    distinct, in_classes = np.unique(np.concatenate([np.unique(each) for each in canonical]), return_counts=True)
    ambiguous = distinct[in_classes > 1]
    unambiguous = [~np.isin(each, ambiguous) for each in canonical]
    kept = [windows[rows] for windows, rows in zip(class_windows, unambiguous, strict=True)]
    return kept, [int((~rows).sum()) for rows in unambiguous]


def assign_genes(num_genes: int, weights: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Genes at random, in proportion to the weights, at least one to a split: int8 (num_genes,), index into SPLITS."""
    sizes = np.maximum(1, np.asarray(weights) * num_genes // sum(weights)).astype(int)
    sizes[np.argmax(sizes)] += num_genes - sizes.sum()
    assigned = np.empty(num_genes, dtype=np.int8)
    assigned[rng.permutation(num_genes)] = np.repeat(np.arange(len(SPLITS)), sizes)
    return assigned


def join_groups(split_of_gene: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """
    Moves the genes of each group to the split that has most of them, at random among equals: int8 (num_genes,).

    A split that is left without genes gets the smallest group of those that have several.

    Arguments:
        groups: int64 (num_genes,), at least as many groups as SPLITS.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    votes = rng.random((len(sizes), len(SPLITS))) / 2  # less than a gene: for ties only
    np.add.at(votes, (group, split_of_gene), 1)
    split_of_group = votes.argmax(axis=1).astype(np.int8)
    for split in range(len(SPLITS)):
        num_groups = np.bincount(split_of_group, minlength=len(SPLITS))
        if not num_groups[split]:
            others = np.flatnonzero(num_groups[split_of_group] > 1)
            split_of_group[others[sizes[others].argmin()]] = split
    return split_of_group[group]


def assign_groups(
    groups: np.ndarray, labels: np.ndarray, weights: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """
    Whole groups of records to splits, in proportion to the weights within each class: int8 (records,).

    The largest groups come first, those of one size in random order, and each goes to the split that lacks most of
    its records of these classes, the one of the largest weight among equals. `join_groups` suits groups that are
    mostly of one gene; where they are large, it would leave all to one split.

    Args:
        groups: int64 (records,).
        labels: The class of each record: int64 (records,).
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members = np.zeros((len(sizes), labels.max() + 1))  # (groups, classes)
    np.add.at(members, (group, labels), 1)
    fractions = np.asarray(weights) / sum(weights)
    by_weight = np.argsort(-fractions, kind="stable")
    wanted = members.sum(axis=0)[:, None] * fractions[by_weight]  # (classes, splits)
    missing = np.ones_like(wanted)  # as a fraction of those wanted
    split_of_group = np.empty(len(sizes), dtype=np.int8)
    order = rng.permutation(len(sizes))
    for each in order[np.argsort(-sizes[order], kind="stable")]:
        place = (members[each] @ missing).argmax()
        missing[:, place] -= members[each] / wanted[:, place]
        split_of_group[each] = by_weight[place]
    return split_of_group[group]


def select(
    class_windows: Sequence[np.ndarray],
    split_of_gene: Sequence[np.ndarray],
    orders: Sequence[np.ndarray],
    budgets: dict[str, int] | None,
    splits: Sequence[str] = LEAK_PRIORITY,
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[SplitCounts]], np.ndarray]:
    """
    Draw the windows of each of `splits` so that no two share a stretch of 30 nt, on either strand.

    Test comes first, then validation, then train. Within a split the windows of its genes are taken in the given
    order until the budget (windows per class; None for all) is filled. A window is skipped if, on either strand, it
    equals an earlier one of the same class and split, or shares a stretch with an earlier split, of any class.

    Returns:
        Per split and class, the indices of the windows kept, in the order drawn, and the counts; and the
        `canonical_stretches` of test and validation, sorted.
    """
    rows: dict[str, list[np.ndarray]] = {}
    counts: dict[str, list[SplitCounts]] = {}
    stretches_before = np.empty(0, dtype=np.uint64)  # sorted
    for split in splits:
        rows[split], counts[split] = [], []
        for windows, assigned, order in zip(class_windows, split_of_gene, orders, strict=True):
            in_split = assigned == SPLITS.index(split)
            candidates = order[in_split[windows["gene"][order]]]
            budget = budgets[split] if budgets else len(candidates)
            kept, count = _draw(windows["sequence"], candidates, budget, stretches_before)
            rows[split].append(kept)
            counts[split].append(SplitCounts(genes=int(in_split.sum()), candidates=len(candidates), **count))
        if split != LEAK_PRIORITY[-1]:
            new = [
                canonical_stretches(windows["sequence"][kept]).ravel()
                for windows, kept in zip(class_windows, rows[split], strict=True)
            ]
            stretches_before = np.unique(np.concatenate([stretches_before, *new]))
    return rows, counts, stretches_before


def _draw(
    sequences: np.ndarray, candidates: np.ndarray, budget: int, stretches_before: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    duplicate = np.ones(len(candidates), dtype=bool)
    _, first = np.unique(canonical_sequences(sequences[candidates]), return_index=True)
    duplicate[first] = False

    chunk = max(1, CHUNK_STRETCHES // (sequences.dtype.itemsize - STRETCH_NT + 1))
    kept: list[np.ndarray] = []
    missing, examined, duplicates, leaks = budget, 0, 0, 0
    while missing and examined < len(candidates):
        part = slice(examined, min(examined + chunk, len(candidates)))
        leaking = _share_stretch(sequences[candidates[part]], stretches_before) & ~duplicate[part]
        good = np.flatnonzero(~leaking & ~duplicate[part])[:missing]
        # Once the budget is filled, the windows after the last one kept were not examined.
        seen = int(good[-1]) + 1 if len(good) == missing else part.stop - part.start
        kept.append(candidates[part][good])
        duplicates += int(duplicate[part][:seen].sum())
        leaks += int(leaking[:seen].sum())
        missing -= len(good)
        examined += seen
    rows = np.concatenate(kept) if kept else candidates[:0]
    return rows, {"examined": examined, "duplicates": duplicates, "leaks": leaks, "kept": len(rows)}


def _share_stretch(sequences: np.ndarray, stretches_before: np.ndarray) -> np.ndarray:
    return is_in(canonical_stretches(sequences), stretches_before).any(axis=1)


def is_in(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether each of `values` is among `known`, which are sorted: bool, of the shape of `values`."""
    if not len(known):
        return np.zeros(values.shape, dtype=bool)
    # Searched in order, because a search for each at random would miss the processor's cache.
    distinct, place = np.unique(values, return_inverse=True)
    found = known.take(np.searchsorted(known, distinct), mode="clip") == distinct
    return found[place]
