"""Genes -> windows in three splits that share no stretch of 30 nt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets.utils import tqdm

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
class Windows:
    """Windows of one species.

    Args:
        letters: uint8 (windows, window_nt), ASCII codes of A, C, G and T.
        gene: int32 (windows,), index of the gene in the list that was tiled.
        start: int32 (windows,), 0-based position in the CDS, in nt.
    """

    letters: np.ndarray
    gene: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.gene)

    def take(self, rows: np.ndarray) -> "Windows":
        """The windows at `rows` (indices or a mask), in that order."""
        return Windows(self.letters[rows], self.gene[rows], self.start[rows])

    def sequences(self) -> np.ndarray:
        """The windows as byte strings: dtype S (windows,)."""
        return np.ascontiguousarray(self.letters).view(f"S{self.letters.shape[1]}")[:, 0]


@dataclass(frozen=True)
class SplitCounts:
    """Counts of the windows of one species in one split.

    Args:
        genes: Genes assigned to the split.
        candidates: Windows of these genes that could be drawn.
        examined: Windows drawn, in random order, until the budget was filled.
        duplicates: Windows removed because they equal an earlier one of the split, on either strand.
        leaks: Windows removed because they share a stretch with a split of higher priority, on either strand.
        kept: Windows in the data set.
    """

    genes: int
    candidates: int
    examined: int
    duplicates: int
    leaks: int
    kept: int


def tile(genes: Sequence[CDS], window_nt: int) -> tuple[Windows, int]:
    """Cut every CDS, from its first nt, into windows that do not overlap; a shorter rest at its end is not used.

    Returns:
        The windows of only A, C, G and T, and the number of windows dropped for other letters.
    """
    tiles = np.array([len(cds.sequence) // window_nt for cds in genes], dtype=np.int64)
    text = "".join(cds.sequence[: count * window_nt] for cds, count in zip(genes, tiles, strict=True))
    letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8).reshape(-1, window_nt)  # (tiles, window_nt)
    gene = np.repeat(np.arange(len(genes), dtype=np.int32), tiles)
    first_tile = np.repeat(np.cumsum(tiles) - tiles, tiles)
    start = ((np.arange(len(gene)) - first_tile) * window_nt).astype(np.int32)
    windows = Windows(letters, gene, start)
    valid = (_CODE[letters] < 4).all(axis=1)
    return windows.take(valid), int(len(valid) - valid.sum())


def canonical_stretches(letters: np.ndarray) -> np.ndarray:
    """All stretches of 30 nt, each as the smaller of itself and its reverse complement.

    Args:
        letters: uint8 (windows, window_nt), ASCII codes of A, C, G and T.

    Returns:
        uint64 (windows, window_nt - 29), two bits per nt.
    """
    codes = _CODE[letters]
    return np.minimum(_pack(codes), _pack(3 - codes[:, ::-1])[:, ::-1])


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


def canonical_sequences(windows: Windows) -> np.ndarray:
    """Each window as the smaller of itself and its reverse complement: dtype S (windows,)."""
    forward = windows.sequences()
    reverse = Windows(_COMPLEMENT[windows.letters[:, ::-1]], windows.gene, windows.start).sequences()
    return np.where(forward <= reverse, forward, reverse)


def drop_ambiguous(species_windows: Sequence[Windows]) -> tuple[list[Windows], list[int]]:
    """Remove every window that occurs, on either strand, in more than one species: its label is ambiguous.

    Args:
        species_windows: One entry per species.

    Returns:
        The remaining windows, and the number removed, per species.
    """
    canonical = [canonical_sequences(windows) for windows in species_windows]
    distinct, in_species = np.unique(np.concatenate([np.unique(each) for each in canonical]), return_counts=True)
    ambiguous = distinct[in_species > 1]
    unambiguous = [~np.isin(each, ambiguous) for each in canonical]
    kept = [windows.take(rows) for windows, rows in zip(species_windows, unambiguous, strict=True)]
    return kept, [int((~rows).sum()) for rows in unambiguous]


def assign_genes(num_genes: int, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Assign genes to splits at random.

    Args:
        num_genes: Number of genes.
        shares: Weight of each of SPLITS.
        rng: Decides the assignment.

    Returns:
        int8 (num_genes,), index into SPLITS. Every split has at least one gene; the largest split takes what
        rounding leaves.

    Raises:
        ValueError: Fewer genes than splits.
    """
    if num_genes < len(SPLITS):
        raise ValueError(f"got {num_genes} genes, but {len(SPLITS)} splits need a gene each; give more genes.")
    sizes = np.maximum(1, np.asarray(shares) * num_genes // sum(shares)).astype(int)
    sizes[np.argmax(sizes)] += num_genes - sizes.sum()
    assigned = np.empty(num_genes, dtype=np.int8)
    assigned[rng.permutation(num_genes)] = np.repeat(np.arange(len(SPLITS)), sizes)
    return assigned


def select(
    species_windows: Sequence[Windows],
    split_of_gene: Sequence[np.ndarray],
    orders: Sequence[np.ndarray],
    budgets: dict[str, int] | None,
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[SplitCounts]]]:
    """Draw the windows of each split so that no two splits share a stretch of 30 nt, on either strand.

    Test comes first, then validation, then train. Within a split the windows of its genes are taken in the given
    order until the budget is filled. A window is skipped if, on either strand, it equals an earlier one of the same
    species and split, or shares a stretch with a window of an earlier split, of any species.

    Args:
        species_windows: Per species, its windows.
        split_of_gene: Per species, index into SPLITS of each gene.
        orders: Per species, a permutation of its windows.
        budgets: Windows per species for each split, or None for all.

    Returns:
        Per split and species, the indices of the windows kept, in the order drawn, and the counts. A split may have
        fewer windows than its budget.
    """
    rows: dict[str, list[np.ndarray]] = {}
    counts: dict[str, list[SplitCounts]] = {}
    stretches_before = np.empty(0, dtype=np.uint64)  # sorted
    for split in LEAK_PRIORITY:
        rows[split], counts[split] = [], []
        for windows, assigned, order in zip(species_windows, split_of_gene, orders, strict=True):
            in_split = assigned == SPLITS.index(split)
            candidates = order[in_split[windows.gene[order]]]
            budget = budgets[split] if budgets else len(candidates)
            kept, count = _draw(windows, candidates, budget, stretches_before, split)
            rows[split].append(kept)
            counts[split].append(SplitCounts(genes=int(in_split.sum()), candidates=len(candidates), **count))
        if split != LEAK_PRIORITY[-1]:
            new = [
                canonical_stretches(windows.letters[kept]).ravel()
                for windows, kept in zip(species_windows, rows[split], strict=True)
            ]
            stretches_before = np.unique(np.concatenate([stretches_before, *new]))
    return rows, counts


def _draw(
    windows: Windows, candidates: np.ndarray, budget: int, stretches_before: np.ndarray, split: str
) -> tuple[np.ndarray, dict[str, int]]:
    duplicate = np.ones(len(candidates), dtype=bool)
    _, first = np.unique(canonical_sequences(windows.take(candidates)), return_index=True)
    duplicate[first] = False

    window_nt = windows.letters.shape[1]
    chunk = max(1, CHUNK_STRETCHES // (window_nt - STRETCH_NT + 1))
    kept: list[np.ndarray] = []
    missing, examined, duplicates, leaks = budget, 0, 0, 0
    with tqdm(
        desc=f"Drawing {split} windows", total=len(candidates), unit=" windows", leave=False, delay=1
    ) as progress:
        while missing and examined < len(candidates):
            part = slice(examined, min(examined + chunk, len(candidates)))
            leaking = _share_stretch(windows.letters[candidates[part]], stretches_before) & ~duplicate[part]
            good = np.flatnonzero(~leaking & ~duplicate[part])[:missing]
            # Once the budget is filled, the windows after the last one kept were not examined.
            seen = int(good[-1]) + 1 if len(good) == missing else part.stop - part.start
            kept.append(candidates[part][good])
            duplicates += int(duplicate[part][:seen].sum())
            leaks += int(leaking[:seen].sum())
            missing -= len(good)
            examined += seen
            progress.update(seen)
    rows = np.concatenate(kept) if kept else candidates[:0]
    return rows, {"examined": examined, "duplicates": duplicates, "leaks": leaks, "kept": len(rows)}


def _share_stretch(letters: np.ndarray, stretches_before: np.ndarray) -> np.ndarray:
    stretches = canonical_stretches(letters)
    distinct = np.unique(stretches)  # in order: a search for each at random would miss the processor's cache
    shared = distinct[_is_in(distinct, stretches_before)]
    return _is_in(stretches, shared).any(axis=1)


def _is_in(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    if not len(ascending):
        return np.zeros(values.shape, dtype=bool)
    return ascending[np.searchsorted(ascending, values).clip(max=len(ascending) - 1)] == values
