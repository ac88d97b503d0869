"""3-mer counts, against counting one letter after the other."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.reports.kmers import baseline_features, count_3mers_by_frame

KMERS = ["".join(letters) for letters in product("ACGT", repeat=3)]


def count_slowly(sequence: str) -> np.ndarray:
    counts = np.zeros((3, 64))
    dna = sequence.upper().replace("U", "T") if sequence.isascii() else sequence
    for start in range(len(dna) - 2):
        if dna[start : start + 3] in KMERS:
            counts[start % 3, KMERS.index(dna[start : start + 3])] += 1
    return counts


@settings(deadline=None)
@given(st.text(alphabet="ACGTUNacgtun-\n ", max_size=40))
def test_counts_equal_the_slow_counter_for_any_sequence(sequence):
    np.testing.assert_array_equal(count_3mers_by_frame(sequence), count_slowly(sequence))


def test_a_letter_outside_ascii_is_one_unknown_letter():
    np.testing.assert_array_equal(count_3mers_by_frame("ATGéATG"), count_slowly("ATGNATG"))


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
