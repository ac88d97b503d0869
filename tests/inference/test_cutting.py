"""Pieces, windows and batches -> compared with cutting and averaging by hand, one sequence after another."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code.pipeline_dna_embedding import LONG, Cutting, SequenceError, reverse_complement
from dnahub.inference.cutting import Pieces, cut, padded

TOKENIZER = build_tokenizer(nt_vocabulary(), max_tokens=2048)
# Of any letters, short ones with white space and others that are read as N.
SEQUENCES = st.lists(
    st.text("ACGTN", min_size=1, max_size=150)
    | st.text("ACGTuRn \n", min_size=1, max_size=60).filter(lambda text: text.split()),
    min_size=1,
)
AAAAAA, LETTER_A, LETTER_N, CLS, PAD = 6, 4102, 4106, 3, 1


def random_dna(num_nt: int, seed: int = 0, n_share: float = 0.0) -> str:
    rng = random.Random(seed)
    return "".join("N" if rng.random() < n_share else rng.choice("ACGT") for _ in range(num_nt))


def rust_ids(sequence: str) -> list[int]:
    return TOKENIZER(sequence, split_special_tokens=True).input_ids[1:]


def cut_for(sequences: list[str], max_tokens: int = 2048, long: str = "mean", both: bool = False, **kwargs) -> Pieces:
    return cut(sequences, Cutting(max_tokens, long, **kwargs), AAAAAA, both)


def ids_of(pieces: Pieces, strand: int = 0) -> list[list[int]]:
    """The tokens of every piece, without `<cls>`."""
    spans = [(pieces.first[i], pieces.last[i]) for i in pieces.strands[strand].distinct.tolist()]
    return [pieces.ids[first:last].tolist() for first, last in spans]


def spans_of(pieces: Pieces, sequence: int) -> list[tuple[int, int]]:
    own = pieces.strands[0].sequence == sequence
    return list(zip(pieces.start[own].tolist(), pieces.end[own].tolist(), strict=True))


def assert_pieces_are_what_their_places_say(pieces: Pieces, sequences: list[str], max_tokens: int) -> None:
    """Each one's tokens are those that the Rust tokenizer gives for the letters from `start` to before `end`."""
    own = pieces.strands[0]
    letters = ["".join(sequence.split()) for sequence in sequences]
    places = zip(own.sequence.tolist(), pieces.start.tolist(), pieces.end.tolist(), strict=True)
    texts = [letters[i][start:end] for i, start, end in places]
    assert ids_of(pieces) == [rust_ids(text) for text in texts]
    assert own.num_tokens.tolist() == [len(rust_ids(text)) + 1 for text in texts]
    assert max(own.num_tokens) <= max_tokens
    assert pieces.lengths.tolist() == (pieces.last - pieces.first + 1).tolist()


def assert_other_strands_are_of_the_same_pieces(pieces: Pieces, sequences: list[str]) -> None:
    own, other = pieces.strands
    letters = ["".join(sequence.split()) for sequence in sequences]
    places = zip(own.sequence.tolist(), pieces.start.tolist(), pieces.end.tolist(), strict=True)
    texts = [reverse_complement(letters[i][start:end]) for i, start, end in places]
    assert ids_of(pieces, strand=1) == [rust_ids(text) for text in texts]
    # A stretch between two N is as many 6-mers and letters from either side.
    np.testing.assert_array_equal(own.num_tokens, other.num_tokens)
    np.testing.assert_array_equal(own.sequence, other.sequence)


def assert_other_strands_are_cut_as_if_given(pieces: Pieces, sequences: list[str], *args, **kwargs) -> None:
    given = cut_for([reverse_complement(sequence) for sequence in sequences], *args, **kwargs)
    assert ids_of(pieces, strand=1) == ids_of(given)
    np.testing.assert_array_equal(pieces.strands[1].num_tokens, given.strands[0].num_tokens)
    np.testing.assert_array_equal(pieces.strands[1].sequence, given.strands[0].sequence)


def draw_windows(data, max_tokens: int) -> dict[str, int | None]:
    window = data.draw(st.none() | st.integers(1, 6 * (max_tokens - 1)), "window_nt")
    stride = data.draw(st.none() | st.integers(1, window or 6 * (max_tokens - 1)), "stride_nt")
    return {"window_nt": window, "stride_nt": stride}


def covered(spans: list[tuple[int, int]]) -> set[int]:
    return {i for start, end in spans for i in range(start, end)}


def test_a_batch_is_padded_on_the_right_and_masked():
    pieces = cut_for(["ACGTACA", "A", "ACGTACACGTACNN"])
    ids, mask = padded(pieces, np.array([2, 0, 1]), CLS, PAD)
    assert ids.dtype == mask.dtype == np.int64
    expected = [[CLS, *rust_ids(text)] for text in ("ACGTACACGTACNN", "ACGTACA", "A")]
    assert ids.tolist() == [row + [PAD] * (5 - len(row)) for row in expected]
    assert mask.tolist() == [[1] * len(row) + [0] * (5 - len(row)) for row in expected]


# --- pieces


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(2, 12), st.data())
def test_windows_cover_every_nt_whatever_the_sequence(sequences, max_tokens, data):
    kwargs = draw_windows(data, max_tokens)
    both = data.draw(st.booleans(), "both strands")
    pieces = cut_for(sequences, max_tokens, "windows", both, **kwargs)
    assert_pieces_are_what_their_places_say(pieces, sequences, max_tokens)
    if both:
        assert_other_strands_are_of_the_same_pieces(pieces, sequences)
    sequence_of_pieces = pieces.strands[0].sequence.tolist()
    assert sequence_of_pieces == sorted(sequence_of_pieces)
    for i, sequence in enumerate(sequences):
        assert covered(spans_of(pieces, i)) == set(range(len("".join(sequence.split()))))


def test_windows_lie_where_they_are_said_to():
    sequence = random_dna(100)
    pieces = cut_for([sequence], window_nt=60, stride_nt=24)
    assert spans_of(pieces, 0) == [(0, 60), (24, 84), (48, 100)]
    # By default they overlap by a quarter, in the frame of the 6-mers.
    assert spans_of(cut_for([sequence], window_nt=60), 0) == [(0, 60), (42, 100)]
    assert spans_of(cut_for([sequence], max_tokens=9), 0) == [(0, 48), (36, 84), (72, 100)]
    # One after the other, the last one as short as it comes.
    assert spans_of(cut_for([sequence], window_nt=33, stride_nt=33), 0) == [(0, 33), (33, 66), (66, 99), (99, 100)]
    # What a window holds is not cut, what is one nt longer is.
    assert spans_of(cut_for([sequence], window_nt=100, stride_nt=6), 0) == [(0, 100)]
    assert spans_of(cut_for([sequence], window_nt=99, stride_nt=6), 0) == [(0, 99), (6, 100)]


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(2, 12), st.data())
def test_for_a_mean_the_other_strand_is_cut_as_if_it_had_been_given(sequences, max_tokens, data):
    kwargs = draw_windows(data, max_tokens)
    pieces = cut_for(sequences, max_tokens, "mean", both=True, **kwargs)
    assert_pieces_are_what_their_places_say(pieces, sequences, max_tokens)
    assert_other_strands_are_cut_as_if_given(pieces, sequences, max_tokens, "mean", **kwargs)


@pytest.mark.parametrize("long", LONG)
def test_letters_are_counted_once_however_windows_overlap(long):
    sequences = ["ACGRYK", "RR" + "ACGTAC" * 20 + "-" * 4, "N" * 5]
    pieces = cut_for(sequences, max_tokens=500 if long == "error" else 8, long=long, both=True)
    assert pieces.num_replaced == 3 + 6


# --- repeats


def test_identical_pieces_are_seen_once_and_every_sequence_has_its_own():
    sequences = ["ACGTACA", "TTT", "acg uaca", "TTT", "NNN", "RYK", "ACGTACA"]
    pieces = cut_for(sequences)
    assert len(pieces.first) == 3
    assert pieces.strands[0].distinct.tolist() == [0, 1, 0, 1, 2, 2, 0]
    assert ids_of(pieces) == [rust_ids(text) for text in ("ACGTACA", "TTT", "ACGTACA", "TTT", "NNN", "NNN", "ACGTACA")]


# --- errors


@pytest.mark.parametrize("empty", ["", " ", "\n\u2003\t"])
@pytest.mark.parametrize("long", LONG)
def test_an_empty_sequence_is_an_error_that_knows_which(empty, long):
    with pytest.raises(SequenceError, match="empty sequence") as error:
        cut_for(["ACGT", "N", empty, "", "ACGT"], long=long)
    assert error.value.index == 2
    if long in ("mean", "windows"):  # the third piece but the second sequence
        with pytest.raises(SequenceError, match="empty sequence") as error:
            cut_for(["ACGTAC" * 3, empty], max_tokens=3, long=long)
        assert error.value.index == 1


def test_a_long_sequence_is_an_error_where_it_is_said_so():
    with pytest.raises(SequenceError, match=r"13 .*4 tokens.* 3 tokens.*12 nt.*max_length") as e:
        cut_for(["ACGTAC" * 2, "ACGTAC" * 2 + "A"], max_tokens=3, long="error")
    assert e.value.index == 1
