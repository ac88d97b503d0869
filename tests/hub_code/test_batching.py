"""Pieces, windows and batches -> compared with cutting and averaging by hand, one sequence after another."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.hub_code import batching_nucleotide_transformer as batching
from dnahub.hub_code.batching_nucleotide_transformer import (
    PADDING_SHARE,
    Cutting,
    Pieces,
    SequenceError,
    Strand,
    batches_of,
    buffers,
    combine,
    cut,
    padded,
)
from dnahub.hub_code.encoding_nucleotide_transformer import reverse_complement
from dnahub.hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary

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


# --- batches


def assert_batches_are_good(lengths: list[int], batch_tokens: int, batch_size: int | None) -> list[np.ndarray]:
    batches = batches_of(np.array(lengths, np.int64), batch_tokens, batch_size)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        own = [lengths[i] for i in batch]
        assert len(batch) >= 1
        if len(batch) > 1:
            assert max(own) * len(own) <= batch_tokens
            assert batch_size is None or len(own) <= batch_size
            padded = max(own) * len(own)
            assert padded - sum(own) <= PADDING_SHARE * padded
    return batches


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(2, 300), max_size=60),
    st.integers(1, 2000),
    st.none() | st.integers(1, 20),
)
def test_every_piece_is_in_one_batch_and_no_batch_is_too_large_or_padded(lengths, batch_tokens, batch_size):
    assert_batches_are_good(lengths, batch_tokens, batch_size)


def test_batches_of_real_sizes_hold_little_padding_and_are_nearly_full():
    rng = random.Random(0)
    lengths = [max(18, min(2048, int(rng.lognormvariate(5, 0.8)))) for _ in range(4000)]
    batches = assert_batches_are_good(lengths, 768, None)
    padded_tokens = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    assert 1 - sum(lengths) / padded_tokens < PADDING_SHARE
    assert len(batches) < 1.5 * sum(lengths) / 768 + sum(length > 768 // 2 for length in lengths)


def test_the_longest_come_first_and_equal_ones_in_their_order():
    batches = batches_of(np.array([5, 9, 5, 9, 5]), 1000, None)
    assert [batch.tolist() for batch in batches] == [[1, 3], [0, 2, 4]]


def test_a_piece_of_more_tokens_than_a_batch_may_have_is_a_batch_of_its_own():
    assert [batch.tolist() for batch in batches_of(np.array([50, 70, 50]), 10, None)] == [[1], [0], [2]]
    assert [batch.tolist() for batch in batches_of(np.array([2, 70, 2]), 4, None)] == [[1], [0, 2]]


def test_no_pieces_are_no_batches():
    assert batches_of(np.array([], np.int64), 768, None) == []


def test_a_batch_is_padded_on_the_right_and_masked():
    pieces = cut_for(["ACGTACA", "A", "ACGTACACGTACNN"])
    ids, mask = padded(pieces, np.array([2, 0, 1]), CLS, PAD)
    assert ids.dtype == mask.dtype == np.int64
    expected = [[CLS, *rust_ids(text)] for text in ("ACGTACACGTACNN", "ACGTACA", "A")]
    assert ids.tolist() == [row + [PAD] * (5 - len(row)) for row in expected]
    assert mask.tolist() == [[1] * len(row) + [0] * (5 - len(row)) for row in expected]


# --- pieces


def test_what_is_not_long_is_one_piece_in_its_place():
    sequences = ["ACGTACA", "nn", "ACG UAC\nA", "A"]
    for long in batching.LONG:
        pieces = cut_for(sequences, long=long)
        assert pieces.strands[0].sequence.tolist() == [0, 1, 2, 3]
        assert pieces.start.tolist() == [0, 0, 0, 0]
        assert pieces.end.tolist() == [7, 2, 7, 1]
        assert (pieces.num_sequences, pieces.num_replaced, pieces.num_truncated) == (4, 0, 0)
        assert_pieces_are_what_their_places_say(pieces, sequences, 2048)


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


@pytest.mark.parametrize("window_nt", range(1, 26))
def test_a_window_without_a_stride_loses_no_nt(window_nt):
    # One of less than six nt must not take a stride of six.
    sequence = random_dna(100)
    spans = spans_of(cut_for([sequence], window_nt=window_nt), 0)
    assert covered(spans) == set(range(100))
    assert max(end - start for start, end in spans) == window_nt


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


def test_white_space_does_not_move_the_windows():
    sequence = random_dna(100)
    broken = "\n".join(sequence[i : i + 7] for i in range(0, 100, 7)) + " "
    for kwargs in ({"window_nt": 60, "stride_nt": 24}, {"max_tokens": 6}, {"window_nt": 100}):
        plain, lines = (cut_for([each], **kwargs, both=True) for each in (sequence, broken))
        assert spans_of(lines, 0) == spans_of(plain, 0)
        assert (ids_of(lines), ids_of(lines, 1)) == (ids_of(plain), ids_of(plain, 1))


def test_a_last_window_that_ends_in_single_letters_may_be_more_tokens_than_a_whole_one():
    # 28 nt: four 6-mers and four letters, where the whole window of 30 nt is five tokens.
    sequence = random_dna(100)
    pieces = cut_for([sequence], max_tokens=6)
    assert spans_of(pieces, 0) == [(0, 30), (18, 48), (36, 66), (54, 84), (72, 97), (90, 100)]
    assert_pieces_are_what_their_places_say(pieces, [sequence], 6)


def test_a_sequence_that_ends_in_single_letters_is_not_cut_into_a_long_and_a_tiny_piece():
    # 53 nt: eight 6-mers and five letters, where 54 nt are nine tokens; 54 and 55 nt as they always were.
    for num_nt, spans in ((53, [(0, 49), (36, 53)]), (54, [(0, 54)]), (55, [(0, 54), (36, 55)])):
        sequence = random_dna(num_nt)
        assert spans_of(cut_for([sequence], max_tokens=10), 0) == spans
    # Windows that are not to overlap do not, and those with a small stride are cut into few pieces all the same.
    assert spans_of(cut_for([random_dna(53)], max_tokens=10, stride_nt=54), 0) == [(0, 49), (49, 53)]
    assert spans_of(cut_for(["N" * 12], max_tokens=10, stride_nt=1), 0) == [(0, 9), (6, 12)]


@pytest.mark.parametrize("long", ["mean", "windows"])
def test_stretches_of_n_are_cut_by_their_tokens(long):
    # 40 letters are no more than a window of 10 tokens reaches, 54, but 40 tokens.
    sequences = ["N" * 40, "ACGTAC" * 4 + "N" * 12 + "ACGTACG", random_dna(30)]
    pieces = cut_for(sequences, max_tokens=10, long=long, both=True)
    assert spans_of(pieces, 0) == [(0, 9), (6, 15), (12, 21), (18, 27), (24, 33), (30, 39), (36, 40)]
    # Nine tokens a piece, from every sixth on: four 6-mers and five N; nine N; four N, a 6-mer and a letter.
    assert spans_of(pieces, 1) == [(0, 29), (26, 35), (32, 43)]
    assert spans_of(pieces, 2) == [(0, 30)]
    assert_pieces_are_what_their_places_say(pieces, sequences, 10)
    if long == "windows":
        assert_other_strands_are_of_the_same_pieces(pieces, sequences)
    else:
        assert_other_strands_are_cut_as_if_given(pieces, sequences, max_tokens=10)
    assert pieces.num_replaced == pieces.num_truncated == 0


def test_a_long_sequence_full_of_n_is_cut_into_windows_and_these_by_their_tokens():
    sequence = random_dna(400, n_share=0.3)
    pieces = cut_for([sequence], max_tokens=11, both=True)
    assert_pieces_are_what_their_places_say(pieces, [sequence], 11)
    assert_other_strands_are_cut_as_if_given(pieces, [sequence], max_tokens=11)
    assert covered(spans_of(pieces, 0)) == set(range(400))


@pytest.mark.parametrize("n_share", [0.0, 0.02, 0.4, 1.0])
def test_truncating_keeps_the_first_tokens(n_share):
    sequences = [random_dna(num_nt, num_nt, n_share) for num_nt in (5, 53, 54, 55, 60, 61, 300)]
    pieces = cut_for(sequences, max_tokens=10, long="truncate", both=True)
    assert ids_of(pieces) == [rust_ids(sequence)[:9] for sequence in sequences]
    assert pieces.num_truncated == sum(len(rust_ids(sequence)) > 9 for sequence in sequences)
    assert pieces.strands[0].sequence.tolist() == list(range(len(sequences)))
    assert not pieces.start.any()
    assert_pieces_are_what_their_places_say(pieces, sequences, 10)
    assert_other_strands_are_of_the_same_pieces(pieces, sequences)


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(2, 12), st.data())
def test_for_a_mean_the_other_strand_is_cut_as_if_it_had_been_given(sequences, max_tokens, data):
    kwargs = draw_windows(data, max_tokens)
    pieces = cut_for(sequences, max_tokens, "mean", both=True, **kwargs)
    assert_pieces_are_what_their_places_say(pieces, sequences, max_tokens)
    assert_other_strands_are_cut_as_if_given(pieces, sequences, max_tokens, "mean", **kwargs)


@pytest.mark.parametrize("long", batching.LONG)
def test_letters_are_counted_once_however_windows_overlap(long):
    sequences = ["ACGRYK", "RR" + "ACGTAC" * 20 + "-" * 4, "N" * 5]
    pieces = cut_for(sequences, max_tokens=500 if long == "error" else 8, long=long, both=True)
    assert pieces.num_replaced == 3 + 6


@pytest.mark.parametrize("both", [False, True])
def test_encoding_some_at_a_time_changes_nothing(monkeypatch, both):
    sequences = [random_dna(num_nt, num_nt, 0.05) for num_nt in range(1, 90, 4)] + ["ACRT", "A C\n"]
    whole = cut_for(sequences, max_tokens=9, both=both)
    for num_nt in (1, 50, 200):
        monkeypatch.setattr(batching, "ENCODED_NT", num_nt)
        parts = cut_for(sequences, max_tokens=9, both=both)
        for name in Pieces.__dataclass_fields__.keys() - {"strands"}:
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)
        for strand, expected in zip(parts.strands, whole.strands, strict=True):
            for name in Strand.__dataclass_fields__:
                np.testing.assert_array_equal(getattr(strand, name), getattr(expected, name), err_msg=name)


# --- repeats


def test_identical_pieces_are_seen_once_and_every_sequence_has_its_own():
    sequences = ["ACGTACA", "TTT", "acg uaca", "TTT", "NNN", "RYK", "ACGTACA"]
    pieces = cut_for(sequences)
    assert len(pieces.first) == 3
    assert pieces.strands[0].distinct.tolist() == [0, 1, 0, 1, 2, 2, 0]
    assert ids_of(pieces) == [rust_ids(text) for text in ("ACGTACA", "TTT", "ACGTACA", "TTT", "NNN", "NNN", "ACGTACA")]


def test_windows_of_a_repeat_and_the_other_strand_are_seen_once():
    sequence = "ACGTAC" * 50
    assert len(cut_for([sequence], window_nt=60, stride_nt=30).first) == 1
    both = cut_for([random_dna(30), reverse_complement(random_dna(30)), "GAATTC"], both=True)
    # The second is the first one's other strand; the last is its own.
    assert [strand.distinct.tolist() for strand in both.strands] == [[0, 1, 2], [1, 0, 2]]


# --- errors


@pytest.mark.parametrize("empty", ["", " ", "\n\u2003\t"])
@pytest.mark.parametrize("long", batching.LONG)
def test_an_empty_sequence_is_an_error_that_knows_which(empty, long):
    with pytest.raises(SequenceError, match="empty sequence") as error:
        cut_for(["ACGT", "N", empty, "", "ACGT"], long=long)
    assert error.value.index == 2
    if long in ("mean", "windows"):  # the third piece but the second sequence
        with pytest.raises(SequenceError, match="empty sequence") as error:
            cut_for(["ACGTAC" * 3, empty], max_tokens=3, long=long)
        assert error.value.index == 1


@pytest.mark.parametrize("given", [None, 3, b"ACGT", ["ACGT"]])
def test_what_is_no_string_is_an_error_that_knows_which(given):
    with pytest.raises(SequenceError, match=f"{type(given).__name__}") as error:
        cut_for(["ACGT", given])
    assert error.value.index == 1


def test_a_long_sequence_is_an_error_where_it_is_said_so():
    with pytest.raises(SequenceError, match=r"13 .*4 tokens.* 3 tokens.*12 nt.*max_length") as e:
        cut_for(["ACGTAC" * 2, "ACGTAC" * 2 + "A"], max_tokens=3, long="error")
    assert e.value.index == 1


def test_a_stretch_of_n_of_more_tokens_is_an_error_where_it_is_said_so():
    with pytest.raises(SequenceError, match="5 .*6 tokens.* 5 tokens") as error:
        cut_for(["A", "NNNN", "NNNNN", "NNNNNN"], max_tokens=5, long="error")
    assert error.value.index == 2
    assert isinstance(error.value, ValueError)


def test_the_tokens_of_a_very_long_sequence_are_not_counted_for_an_error(monkeypatch):
    monkeypatch.setattr(batching, "ENCODED_NT", 50)
    with pytest.raises(SequenceError, match="60 .* 5 tokens"):
        cut_for(["A" * 60], max_tokens=5, long="error")


# --- vectors


def slow_combination(pieces: Pieces, vectors: np.ndarray) -> np.ndarray:
    """One sequence, one strand, one piece, one token after another."""
    result = []
    for i in range(pieces.num_sequences):
        means = []
        for strand in pieces.strands:
            total, tokens = 0, 0
            for piece in np.flatnonzero(strand.sequence == i):
                for _ in range(strand.num_tokens[piece]):
                    total, tokens = total + vectors[strand.distinct[piece]].astype(np.float64), tokens + 1
            means.append(total / tokens)
        result.append(sum(means) / len(means))
    return np.array(result)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("long", ["mean", "windows"])
def test_a_sequence_is_the_mean_of_its_pieces_weighted_by_their_tokens(long, both):
    sequences = [random_dna(num_nt, num_nt, 0.1) for num_nt in (3, 200, 40, 55, 1, 500)] + ["N" * 30, "ACGTAC" * 40]
    pieces = cut_for(sequences, max_tokens=9, long=long, both=both)
    assert len(pieces.start) > len(sequences)
    vectors = np.random.default_rng(0).normal(size=(len(pieces.first), 7)).astype(np.float32)
    if long == "windows":
        expected = np.mean([vectors[strand.distinct] for strand in pieces.strands], axis=0)
    else:
        expected = slow_combination(pieces, vectors)
    got = combine(pieces, vectors, per_piece=long == "windows")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_sequences_of_one_piece_each_are_their_vectors():
    pieces = cut_for(["ACGT", "A", "ACGT"])
    vectors = np.array([[1.0, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(combine(pieces, vectors, per_piece=False), vectors[[0, 1, 0]])


# --- buffers


def test_a_buffer_is_given_as_soon_as_it_is_full():
    taken = []

    def sequences():
        for sequence in ("A", "CC", "GGG", "TTTT", "A" * 9, "C", None, "G"):
            taken.append(sequence)
            yield sequence

    stream = buffers(sequences(), max_sequences=3, max_nt=6)
    assert next(stream) == ["A", "CC", "GGG"]
    assert len(taken) == 3
    assert next(stream) == ["TTTT", "A" * 9]
    assert len(taken) == 5
    assert list(stream) == [["C", None, "G"]]
    assert list(buffers([], 3, 6)) == []
