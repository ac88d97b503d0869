"""Genes -> windows; splits that share nothing, against a slow reference of plain Python strings and sets."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.cds import CDS
from dataset_builder.windows import (
    LEAK_PRIORITY,
    SPLITS,
    STRETCH_NT,
    SplitCounts,
    assign_genes,
    drop_ambiguous,
    select,
    tile,
)

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def reverse_complement(sequence):
    return sequence.translate(COMPLEMENT)[::-1]


def canonical(sequence):
    return min(sequence, reverse_complement(sequence))


def stretches(sequence):
    return {canonical(sequence[i : i + STRETCH_NT]) for i in range(len(sequence) - STRETCH_NT + 1)}


def windows_of(sequences):
    """One window per gene."""
    windows, _ = tile([CDS(f"g{i}", "t", sequence) for i, sequence in enumerate(sequences)], len(sequences[0]))
    return windows


def random_sequence(rng, length):
    return "".join(rng.choice(list("ACGT"), size=length))


def test_windows_tile_the_whole_cds_and_those_with_other_letters_are_dropped():
    rng = np.random.default_rng(0)
    a, b = random_sequence(rng, 150), random_sequence(rng, 59)
    other_letters = "A" * 60 + "ACGTN" * 12 + "C" * 60 + "R" * 60
    windows, dropped = tile([CDS("a", "t", a), CDS("b", "t", b), CDS("c", "t", other_letters)], 60)
    assert windows["sequence"].astype(str).tolist() == [a[:60], a[60:120], "A" * 60, "C" * 60]
    assert windows["gene"].tolist() == [0, 0, 2, 2] and windows["start"].tolist() == [0, 60, 0, 120]
    assert dropped == 2


def test_a_window_of_two_species_is_left_out_of_both_on_either_strand():
    rng = np.random.default_rng(2)
    a, b, c, d, e = (random_sequence(rng, 60) for _ in range(5))
    human, mouse, fly = windows_of([a, b, b, c]), windows_of([d, a, reverse_complement(c)]), windows_of([e])
    kept, removed = drop_ambiguous([human, mouse, fly])
    assert [windows["sequence"].astype(str).tolist() for windows in kept] == [[b, b], [d], [e]]
    assert removed == [2, 2, 0]


@given(num_genes=st.integers(3, 400), shares=st.tuples(*[st.integers(1, 5000)] * 3), seed=st.integers(0, 99))
def test_genes_are_assigned_in_proportion_and_every_split_has_one(num_genes, shares, seed):
    assigned = assign_genes(num_genes, shares, np.random.default_rng(seed))
    sizes = np.bincount(assigned, minlength=len(SPLITS))
    assert sizes.sum() == num_genes and sizes.min() >= 1
    assert np.abs(sizes - np.array(shares) * num_genes / sum(shares)).max() <= 2
    assert np.array_equal(assigned, assign_genes(num_genes, shares, np.random.default_rng(seed)))


def slow_select(species_sequences, split_of_gene, orders, budgets):
    """The same choice, window by window; one window per gene."""
    rows = {split: [] for split in SPLITS}
    counts = {split: [] for split in SPLITS}
    before = set()
    for split in LEAK_PRIORITY:
        new = set()
        for sequences, assigned, order in zip(species_sequences, split_of_gene, orders, strict=True):
            candidates = [row for row in order if SPLITS[assigned[row]] == split]
            budget = budgets[split] if budgets else len(candidates)
            seen, kept, examined, duplicates, leaks = set(), [], 0, 0, 0
            for row in candidates:
                if len(kept) == budget:
                    break
                examined += 1
                if canonical(sequences[row]) in seen:
                    duplicates += 1
                elif stretches(sequences[row]) & before:
                    leaks += 1
                else:
                    kept.append(int(row))
                    new |= stretches(sequences[row])
                seen.add(canonical(sequences[row]))
            rows[split].append(kept)
            genes = sum(SPLITS[split_index] == split for split_index in assigned)
            counts[split].append(SplitCounts(genes, len(candidates), examined, duplicates, leaks, len(kept)))
        before |= new
    return rows, counts


@st.composite
def related_windows(draw):
    """Windows of three species, cut on either strand from a text so short that they repeat and overlap."""
    window_nt = draw(st.sampled_from([30, 33, 45]))
    text = draw(st.text(alphabet="ACGT", min_size=90, max_size=160))
    species = []
    for _ in range(3):
        starts = draw(st.lists(st.integers(0, len(text) - window_nt), min_size=3, max_size=25))
        strands = draw(st.lists(st.booleans(), min_size=len(starts), max_size=len(starts)))
        cut = [text[start : start + window_nt] for start in starts]
        species.append([s if forward else reverse_complement(s) for s, forward in zip(cut, strands, strict=True)])
    return species


@settings(max_examples=150, deadline=None)
@given(related_windows(), st.integers(0, 1000), st.sampled_from([None, (3, 1, 2), (1, 1, 1), (9, 2, 30)]))
def test_the_choice_is_that_of_the_slow_reference_and_splits_share_nothing(species_sequences, seed, budget):
    rng = np.random.default_rng(seed)
    budgets = dict(zip(SPLITS, budget, strict=True)) if budget else None
    split_of_gene = [assign_genes(len(sequences), (3, 1, 2), rng) for sequences in species_sequences]
    orders = [rng.permutation(len(sequences)) for sequences in species_sequences]
    species_windows = [windows_of(sequences) for sequences in species_sequences]

    rows, counts, _ = select(species_windows, split_of_gene, orders, budgets)

    slow_rows, slow_counts = slow_select(species_sequences, split_of_gene, orders, budgets)
    assert {split: [kept.tolist() for kept in rows[split]] for split in SPLITS} == slow_rows
    assert counts == slow_counts

    held = {split: set() for split in SPLITS}
    for split in SPLITS:
        for sequences, kept in zip(species_sequences, rows[split], strict=True):
            assert len({canonical(sequences[row]) for row in kept}) == len(kept)
            held[split].update(*[stretches(sequences[row]) for row in kept])
    assert not any(held[a] & held[b] for a, b in combinations(SPLITS, 2))


def test_the_choice_does_not_depend_on_how_many_windows_are_looked_at_together(monkeypatch):
    rng = np.random.default_rng(3)
    text = random_sequence(rng, 3000)
    sequences = [text[start : start + 60] for start in rng.integers(0, 2900, size=400)]
    arguments = ([windows_of(sequences)], [assign_genes(400, (8, 1, 1), rng)], [rng.permutation(400)])
    for budgets in (None, {"train": 7, "validation": 5, "test": 4}):
        monkeypatch.undo()
        whole_rows, whole_counts, _ = select(*arguments, budgets)
        monkeypatch.setattr("dataset_builder.windows.CHUNK_STRETCHES", 31 * 4)
        rows, counts, _ = select(*arguments, budgets)
        assert counts == whole_counts
        assert counts["train"][0].leaks > 0
        for split in SPLITS:
            assert np.array_equal(rows[split][0], whole_rows[split][0])
