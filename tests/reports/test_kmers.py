"""3-mer counts, against counting one letter after the other."""

import tracemalloc
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.reports import kmers
from dnahub.reports.kmers import BLOCK_NT, baseline_features, count_3mers_by_frame

KMERS = ["".join(letters) for letters in product("ACGT", repeat=3)]


def count_slowly(sequence: str) -> np.ndarray:
    counts = np.zeros((3, 64))
    dna = sequence.upper().replace("U", "T") if sequence.isascii() else sequence
    for start in range(len(dna) - 2):
        if dna[start : start + 3] in KMERS:
            counts[start % 3, KMERS.index(dna[start : start + 3])] += 1
    return counts


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ACGTUNacgtun-\n ", max_size=40), min_size=1, max_size=6))
def test_counts_equal_the_slow_counter_for_any_sequences(sequences):
    expected = np.stack([count_slowly(sequence) for sequence in sequences])
    np.testing.assert_array_equal(count_3mers_by_frame(sequences), expected)


def test_a_letter_outside_ascii_is_one_unknown_letter():
    np.testing.assert_array_equal(count_3mers_by_frame(["ATGéATG"]), [count_slowly("ATGNATG")])


def test_3mers_never_reach_from_one_sequence_into_the_next():
    assert count_3mers_by_frame(["AT", "G", "", "CCC"]).sum(axis=(1, 2)).tolist() == [0, 0, 0, 1]


def test_each_baseline_counts_what_its_name_says():
    features = baseline_features(["ATGGTAGCT"])
    for_kmer = {name: dict(zip(KMERS, row[0], strict=False)) for name, row in features.items()}
    in_frame = {kmer for kmer, count in for_kmer["in-frame codons"].items() if count}
    assert in_frame == {"ATG", "GTA", "GCT"}
    assert features["3-mer counts"].sum() == 7
    assert for_kmer["3-mer counts"]["TGG"] == 1
    by_frame = features["frame-wise 3-mers"].reshape(3, 64)
    assert [{KMERS[i] for i in np.flatnonzero(frame)} for frame in by_frame] == [
        {"ATG", "GTA", "GCT"},
        {"TGG", "TAG"},
        {"GGT", "AGC"},
    ]


def test_no_sequences_have_no_counts():
    assert count_3mers_by_frame([]).shape == (0, 3, 64)


def test_blocks_make_no_difference(monkeypatch):
    sequences = ["ATGATG", "", "CCCCCCCCCCC", "ATN", "GG", "TTTTT"]
    whole = count_3mers_by_frame(sequences)
    blocks = []
    count_block = kmers._count_block
    monkeypatch.setattr(kmers, "_count_block", lambda block: blocks.append(block) or count_block(block))
    monkeypatch.setattr(kmers, "BLOCK_NT", 14)
    np.testing.assert_array_equal(count_3mers_by_frame(iter(sequences)), whole)
    assert blocks == [["ATGATG", ""], ["CCCCCCCCCCC"], ["ATN", "GG"], ["TTTTT"]]


def test_memory_does_not_grow_with_the_number_of_nucleotides():
    def peak(num_sequences: int) -> int:
        sequence = "ACGTTGCA" * 1_500
        tracemalloc.start()
        baseline_features(sequence for _ in range(num_sequences))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    few, many = peak(2 * BLOCK_NT // 12_000), peak(8 * BLOCK_NT // 12_000)
    assert many < 1.2 * few < 120 * BLOCK_NT
