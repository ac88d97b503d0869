"""Genes -> groups of relatives: copies, paralogues and shared symbols, against a slow reference and against blastn."""

import os
import random
from collections import Counter
from itertools import combinations
from shutil import which

import numpy as np
import pytest

from benchmarks.split_relatives import windows_with_relatives
from dataset_builder.arguments import Build
from dataset_builder.cds import CDS
from dataset_builder.nt_species import build_splits
from dataset_builder.relatives import MIN_SEEDS, SEEDS, group_relatives
from dataset_builder.synthetic import codon_chains, synthetic_genes
from dataset_builder.windows import join_groups

OTHER = str.maketrans("ACGT", "CGTA")


def genes_of(num_genes: int, species: str = "Homo sapiens") -> list[CDS]:
    return synthetic_genes(codon_chains()[species], num_genes, 60, np.random.default_rng(1))


def copy(cds: CDS, positions) -> CDS:
    letters = list(cds.sequence)
    for position in positions:
        letters[position] = letters[position].translate(OTHER)
    return CDS(cds.gene + "-copy", "t", "".join(letters))


def sets(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in groups}


@pytest.mark.parametrize("every", [25, 24, 18, 15])  # no two of these copies share a stretch of 30 nt
@pytest.mark.parametrize("first", [24, 25, 26])
def test_a_copy_with_a_difference_every_few_letters_is_a_relative(every, first):
    genes = genes_of(30)
    copies = [copy(cds, range(first, len(cds.sequence), every)) for cds in genes]
    assert sets(group_relatives(genes + copies)) == {frozenset({i, i + 30}) for i in range(30)}


def test_genes_of_one_symbol_and_relatives_of_relatives_are_one_group_and_others_are_alone():
    genes = [
        cds._replace(symbol=symbol) for cds, symbol in zip(genes_of(6), ["A", "A", "", "", "B", "C"], strict=True)
    ]
    tail = copy(genes[1], [])._replace(sequence="ATG" + genes[1].sequence[-90:])
    assert sets(group_relatives([*genes, tail])) == {frozenset({0, 1, 6}), *[frozenset({i}) for i in (2, 3, 4, 5)]}
    assert sets(group_relatives(genes_of(400))) == {frozenset({i}) for i in range(400)}
    masked = genes[2]._replace(sequence="N" * 300)
    assert len(sets(group_relatives([masked, masked, CDS("short", "t", "ATGTAA")]))) == 3


def slow_relatives(a: str, b: str) -> bool:
    for codons, letters in SEEDS:
        seeds = []
        for text in (a, b):
            words = [text[i : i + letters] for i in range(0, len(text), 3)]
            seeds.append([tuple(words[i : i + codons]) for i in range(len(words) - codons + 1)])
        offsets = Counter(
            i - j for i, x in enumerate(seeds[0]) if x in seeds[1] for j, y in enumerate(seeds[1]) if x == y
        )
        if max(offsets.values(), default=0) >= MIN_SEEDS:
            return True
    return False


def test_groups_agree_with_a_slow_reference():
    draw = random.Random(0)
    genes = [cds._replace(sequence=cds.sequence[:300]) for cds in genes_of(10)]
    for cds in genes[:7]:  # diverged to different degrees, and shifted
        rate = draw.choice([0.1, 0.2, 0.3, 0.35])
        far = copy(cds, [i for i in range(len(cds.sequence)) if draw.random() < rate])
        genes.append(far._replace(sequence="ATGGCT" + far.sequence[draw.randrange(0, 90, 3) :]))
    groups = group_relatives(genes)
    related = {(a, b) for a, b in combinations(range(len(genes)), 2) if slow_relatives(genes[a][2], genes[b][2])}
    assert {(a, b) for a, b in combinations(range(len(genes)), 2) if groups[a] == groups[b]} == related
    assert 2 < len(related) < 8


def test_a_group_goes_to_the_split_of_most_of_its_genes_and_no_split_is_left_empty():
    rng = np.random.default_rng(0)
    alone = np.array([0, 0, 0, 1, 2, 2, 1, 0, 0], dtype=np.int8)
    joined = join_groups(alone, np.array([0, 0, 2, 3, 4, 4, 4, 7, 8]), rng)
    assert joined.tolist() == [0, 0, 0, 1, 2, 2, 2, 0, 0]
    three = join_groups(np.array([0, 0, 1, 0, 0, 2, 0]), np.array([0, 0, 0, 3, 3, 3, 6]), rng)
    assert set(three.tolist()) == {0, 1, 2} and len(set(three[:3])) == len(set(three[3:6])) == 1
    ties = [join_groups(np.array([0, 1, 1, 2, 0]), np.array([0, 0, 2, 3, 4]), rng)[0] for _ in range(50)]
    assert set(ties) == {0, 1}


@pytest.mark.real_data
def test_few_test_windows_of_real_genes_have_a_relative_elsewhere(tmp_path):
    if not os.environ.get("NT_CDS_DIR"):
        pytest.skip("NT_CDS_DIR is not set")
    if which("blastn") is None:
        pytest.skip("blastn (Debian: ncbi-blast+) is not installed")
    source = os.environ["NT_CDS_DIR"]
    rows, _ = build_splits(Build(source=source, all_windows=True))
    found = windows_with_relatives(rows)
    assert sum(found) <= 0.005 * rows["test"].num_rows
