"""Pieces and windows -> compared with cutting by hand, one sequence after another."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code.pipeline_dna_embedding import Cutting, SequenceError, reverse_complement
from dnahub.inference import cutting
from dnahub.inference.cutting import Pieces, cut
from dnahub.inference.encoding import Encoding

TOKENIZER = build_tokenizer(nt_vocabulary(), max_tokens=2048)
# Of any letters, short ones with white space and others that are read as N.
SEQUENCES = st.lists(
    st.text("ACGTN", min_size=1, max_size=150)
    | st.text("ACGTuRn \n", min_size=1, max_size=60).filter(lambda text: text.split()),
    min_size=1,
)
ENCODING = Encoding(TOKENIZER)


def rust_ids(sequence: str) -> list[int]:
    return TOKENIZER(sequence, split_special_tokens=True).input_ids[1:]


def cut_for(sequences: list[str], max_tokens: int = 2048, long: str = "mean", both: bool = False, **kwargs) -> Pieces:
    return cut(sequences, Cutting(max_tokens, long, **kwargs), ENCODING, both)


def ids_of(pieces: Pieces, strand: int = 0) -> list[list[int]]:
    """The tokens of every piece, without `<cls>`."""
    spans = [(pieces.first[i], pieces.last[i]) for i in pieces.strands[strand].distinct.tolist()]
    return [pieces.ids[first:last].tolist() for first, last in spans]


def spans_of(pieces: Pieces, sequence: int) -> list[tuple[int, int]]:
    own = pieces.strands[0].sequence == sequence
    return list(zip(pieces.start[own].tolist(), pieces.end[own].tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(SEQUENCES, st.integers(2, 12), st.sampled_from(["mean", "windows"]), st.data())
def test_pieces_cover_every_nt_and_have_the_tokens_of_their_letters(sequences, max_tokens, long, data):
    window = data.draw(st.none() | st.integers(1, 6 * (max_tokens - 1)), "window_nt")
    stride = data.draw(st.none() | st.integers(1, window or 6 * (max_tokens - 1)), "stride_nt")
    arguments = {"max_tokens": max_tokens, "long": long, "window_nt": window, "stride_nt": stride}

    pieces = cut_for(sequences, both=True, **arguments)

    letters = ["".join(sequence.split()) for sequence in sequences]
    for i, each in enumerate(letters):
        assert {nt for start, end in spans_of(pieces, i) for nt in range(start, end)} == set(range(len(each)))
    own, other = pieces.strands
    assert own.sequence.tolist() == sorted(own.sequence.tolist())
    places = zip(own.sequence.tolist(), pieces.start.tolist(), pieces.end.tolist(), strict=True)
    texts = [letters[i][start:end] for i, start, end in places]
    assert ids_of(pieces) == [rust_ids(text) for text in texts]
    assert own.num_tokens.tolist() == [len(rust_ids(text)) + 1 for text in texts]
    assert max(own.num_tokens) <= max_tokens
    if long == "windows":  # the other strand of each
        assert ids_of(pieces, strand=1) == [rust_ids(reverse_complement(text)) for text in texts]
        np.testing.assert_array_equal(own.sequence, other.sequence)
    else:  # the other strand is cut as if it had been given
        given = cut_for([reverse_complement(sequence) for sequence in sequences], **arguments)
        assert ids_of(pieces, strand=1) == ids_of(given)
        np.testing.assert_array_equal(other.num_tokens, given.strands[0].num_tokens)
        np.testing.assert_array_equal(other.sequence, given.strands[0].sequence)


def test_windows_lie_where_they_are_said_to():
    sequence = "".join(random.Random(0).choices("ACGT", k=100))
    pieces = cut_for([sequence], window_nt=60, stride_nt=24)
    assert spans_of(pieces, 0) == [(0, 60), (24, 84), (48, 100)]
    # By default they overlap by a quarter, in the frame of the 6-mers.
    assert spans_of(cut_for([sequence], window_nt=60), 0) == [(0, 60), (42, 100)]
    assert spans_of(cut_for([sequence], max_tokens=9), 0) == [(0, 48), (36, 84), (72, 100)]
    # What a window holds is not cut, what is one nt longer is.
    assert spans_of(cut_for([sequence], window_nt=100, stride_nt=6), 0) == [(0, 100)]
    assert spans_of(cut_for([sequence], window_nt=99, stride_nt=6), 0) == [(0, 99), (6, 100)]


def test_encoding_some_at_a_time_changes_nothing(monkeypatch):
    sequences = ["ACGTACA" * 9, "ACRT", "A C\n", "GGG" * 30]
    expected = cut_for(sequences, max_tokens=9, both=True)
    monkeypatch.setattr(cutting, "ENCODED_NT", 50)
    assert ids_of(cut_for(sequences, max_tokens=9, both=True)) == ids_of(expected)


def test_a_long_or_an_empty_sequence_is_an_error_that_knows_which():
    for other, tokens in (("ACGTAC" * 2 + "A", ", 4 tokens"), ("NNN", ", 4 tokens"), ("ACGTAC" * 5, "")):
        with pytest.raises(SequenceError, match=rf"{len(other)} .*{tokens}.* 3 tokens.*12 nt.*max_length") as error:
            cut_for(["ACGTAC" * 2, other], max_tokens=3, long="error")
        assert error.value.index == 1
    with pytest.raises(SequenceError, match="empty") as error:
        cut_for(["ACGT" * 9, "\n\u2003\t"])
    assert error.value.index == 1
