"""Genes of train -> the stretches of them that are in no other split or class, and in train once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset_builder.arguments import STRETCH_NT
from dataset_builder.cds import CDS
from dataset_builder.windows import CHUNK_STRETCHES, codes_of, is_in, pack_strands

# Why a nt of train is left out, by the first that applies. `short`: next to a cut, less than a codon or a window.
REASONS = ("other_letters", "leaks", "ambiguous", "repeated", "short")
# The multiplier of a hash of windows to 64 bits: of 50 million windows, two share one by chance with a probability of
# 1e-4, and then a window is lost.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_NONE = np.uint64(2**64 - 1)  # instead of the hash of a window with other letters


def cut_genes(
    genes: Sequence[Sequence[CDS]],
    in_train: Sequence[np.ndarray],
    stretches_before: np.ndarray,
    window_nt: int,
    step: int = 3,
) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """
    The genes of train without stretches of 30 nt of other splits, and without in-frame windows of several places.

    Left out are all nt of each stretch that, on either strand, is one of `stretches_before`; of each window of
    `window_nt` in frame that is, on either strand, in frame in another class or earlier in train; and other letters
    than A, C, G and T. So no crop of a row shares a stretch with another split, and each crop in frame of `window_nt`
    or more has one label.

    Args:
        genes: Of each class.
        in_train: Which of them are genes of train, bool (genes,) of each class.
        stretches_before: The `canonical_stretches` of the other splits, sorted.
        step: 3, a codon, for coding sequences; 1 for records of any DNA, where every window is in frame.

    Returns:
        Per class, the rows: int64 (rows, 3), each a gene, and start and stop in it, multiples of `step`, at least
        `window_nt` apart; and counts: `genes`, those `genes_cut` and, of these, `genes_lost`, rows `kept`, `nt`,
        `nt_kept`, and `nt_left_out` by each of REASONS.
    """
    # With counts, `unique` sorts: without, it hashes (numpy 2.4), which takes five times as long.
    distinct = [np.unique(_scan(each, window_nt, step)[1], return_counts=True)[0] for each in genes]
    keys, in_classes = np.unique(np.concatenate(distinct), return_counts=True)
    ambiguous = keys[(in_classes > 1) & (keys != _NONE)]

    rows, counts = [], []
    for class_genes, chosen in zip(genes, in_train, strict=True):
        numbers = np.flatnonzero(chosen)
        train = [class_genes[number] for number in numbers]
        leaks, keys = _scan(train, window_nt, step, stretches_before)
        repeated = keys != _NONE
        repeated[np.unique(keys, return_index=True)[1]] = False
        cuts = (
            codes_of(train) > 3,
            _covered(np.flatnonzero(leaks), STRETCH_NT, len(leaks)),
            _covered(step * np.flatnonzero(is_in(keys, ambiguous)), window_nt, len(leaks)),
            _covered(step * np.flatnonzero(repeated), window_nt, len(leaks)),
        )
        left, left_out = np.ones(len(leaks), dtype=bool), {}
        for reason, cut in zip(REASONS, cuts, strict=False):
            left_out[reason] = int((left & cut).sum())
            left &= ~cut
        lengths = np.array([len(cds.sequence) for cds in train])
        found = _runs(left.reshape(-1, step).all(axis=1), lengths // step, step)
        nt_of_run = found[:, 2] - found[:, 1]
        found, nt_of_run = found[nt_of_run >= window_nt], nt_of_run[nt_of_run >= window_nt]
        nt_of_gene = np.bincount(found[:, 0], nt_of_run, minlength=len(train))
        left_out[REASONS[-1]] = int(left.sum() - nt_of_run.sum())
        counts.append(
            {
                "genes": len(train),
                "genes_cut": int((nt_of_gene < lengths).sum()),
                "genes_lost": int((nt_of_gene == 0).sum()),
                "kept": len(found),
                "nt": len(leaks),
                "nt_kept": int(nt_of_run.sum()),
                "nt_left_out": left_out,
            }
        )
        found[:, 0] = numbers[found[:, 0]]
        rows.append(found)
    return rows, counts


def _scan(
    genes: Sequence[CDS], window_nt: int, step: int, stretches_before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """
    At each nt whether one of the stretches before starts, bool (nt,); and at each `step` the hash of the window that
    starts there, the same for both strands, uint64 (steps,), `_NONE` where there is none.
    """
    lengths = np.array([len(cds.sequence) for cds in genes])
    ends = lengths.cumsum()
    leaks, keys = np.zeros(ends[-1], dtype=bool), np.full(ends[-1] // step, _NONE)
    chunk_of = (ends - lengths) // CHUNK_STRETCHES
    for chunk in np.unique(chunk_of):
        first, last = np.searchsorted(chunk_of, [chunk, chunk + 1])
        begin, size = ends[first] - lengths[first], ends[last - 1] - ends[first] + lengths[first]
        codes = codes_of(genes[first:last])
        other = np.flatnonzero(codes > 3)
        # How many nt from each on are A, C, G or T of one gene.
        stops = np.sort(np.concatenate([ends[first:last] - begin, other]))
        plain = np.where(codes > 3, 0, stops[np.searchsorted(stops, np.arange(size), side="right")] - np.arange(size))
        forward, reverse = (each[0] for each in pack_strands(np.where(codes > 3, 0, codes)[None]))
        if stretches_before is not None:
            places = np.flatnonzero(plain[: len(forward)] >= STRETCH_NT)
            found = is_in(np.minimum(forward, reverse)[places], stretches_before)
            leaks[begin + places[found]] = True
        places = np.arange(0, size - window_nt + 1, step)
        places = places[plain[places] >= window_nt]
        offsets = np.array([*range(0, window_nt - STRETCH_NT, STRETCH_NT), window_nt - STRETCH_NT])
        hashes = _hash(forward, places, offsets), _hash(reverse, places, offsets[-1] - offsets)
        keys[(begin + places) // step] = np.minimum(*hashes)
    return leaks, keys


def _hash(stretches: np.ndarray, places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    mixed = np.zeros(len(places), dtype=np.uint64)
    for offset in offsets:
        mixed = (mixed ^ stretches[places + offset]) * _FACTOR
        mixed ^= mixed >> np.uint64(32)
    return mixed


def _covered(starts: np.ndarray, span: int, size: int) -> np.ndarray:
    """Whether each of `size` nt is among the `span` nt from one of `starts` on."""
    change = np.bincount(starts, minlength=size + 1) - np.bincount(starts + span, minlength=size + 1)
    return change[:size].cumsum() > 0


def _runs(left: np.ndarray, steps: np.ndarray, step: int) -> np.ndarray:
    """Steps left, (steps of all genes,) -> stretches of them: int64 (runs, 3), gene, start and stop in nt."""
    gene = np.repeat(np.arange(len(steps)), steps)
    differs = np.append(gene[1:] != gene[:-1], True)  # from the next step
    ends = np.flatnonzero(left & (differs | ~np.append(left[1:], False)))
    starts = np.flatnonzero(left & (np.append(True, differs[:-1]) | ~np.append(False, left[:-1])))
    first = (steps.cumsum() - steps)[gene[starts]]
    return np.stack([gene[starts], step * (starts - first), step * (ends + 1 - first)], axis=1)
