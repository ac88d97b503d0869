"""Counts of k-mers, codons and letters, against counting one letter after the other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.reports.kmers import count_kmers, gc_content, one_hot

SEQUENCES = st.lists(st.text(alphabet="ACGTUNacgtun-\n ", max_size=40), min_size=1, max_size=4)


def dna_of(sequence: str) -> str:
    return sequence.upper().replace("U", "T")


def count_slowly(sequence: str, k: int, frames: int) -> np.ndarray:
    kmers, counts = ["".join(letters) for letters in product("ACGT", repeat=k)], np.zeros((frames, 4**k))
    dna = dna_of(sequence)
    for start in range(len(dna) - k + 1):
        if dna[start : start + k] in kmers and start % 3 < frames:
            counts[start % 3, kmers.index(dna[start : start + k])] += 1
    return counts.ravel()


@pytest.mark.parametrize(("k", "frames"), [(3, 3), (4, 3), (3, 1), (6, 1)])
@settings(deadline=None, max_examples=25)
@given(SEQUENCES)
def test_counts_equal_the_slow_counter_for_any_sequences(k, frames, sequences):
    expected = np.stack([count_slowly(sequence, k, frames) for sequence in sequences])
    np.testing.assert_array_equal(count_kmers(sequences, k, frames).toarray(), expected)


@settings(deadline=None, max_examples=25)
@given(SEQUENCES)
def test_gc_content_is_that_of_the_known_letters(sequences):
    expected = []
    for dna in map(dna_of, sequences):
        known = sum(map(dna.count, "ACGT"))
        expected.append((dna.count("G") + dna.count("C")) / known if known else 0)
    np.testing.assert_allclose(gc_content(sequences).toarray()[:, 0], expected, rtol=1e-6)


def test_a_letter_outside_ascii_is_one_unknown_letter():
    np.testing.assert_array_equal(count_kmers(["ATGéATG"], 3).toarray()[0], count_slowly("ATGNATG", 3, 3))


def test_one_hot_letters_are_in_the_order_of_their_places():
    assert one_hot(["AcN", "UGG"]).toarray().tolist() == [
        [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0],
    ]
