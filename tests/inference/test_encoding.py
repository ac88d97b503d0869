"""Token ids by arithmetic on arrays -> compared with the Rust tokenizer, letter by letter where it is not the same."""

import random
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnahub.checkpoints.tokenizer import (
    SPECIAL_TOKENS_V1,
    build_tokenizer,
    nt_vocabulary,
)
from dnahub.hub_code.pipeline_dna_embedding import count_replaced, reverse_complement
from dnahub.inference.encoding import TokenIds, encode, owners_and_ranks

TOKENIZERS = {
    "v2": build_tokenizer(nt_vocabulary(), max_tokens=2048),
    "v1": build_tokenizer(nt_vocabulary(SPECIAL_TOKENS_V1), max_tokens=1000),
}
WHITE_SPACE = [chr(i) for i in range(sys.maxunicode + 1) if chr(i).isspace()]


@pytest.fixture(params=["v2", "v1"])
def tokenizer(request):
    return TOKENIZERS[request.param]


def encode_for(tokenizer, sequences: list[str]) -> TokenIds:
    return encode(sequences, tokenizer.convert_tokens_to_ids("AAAAAA"))


def split(tokens: TokenIds) -> list[list[int]]:
    """The ids of each sequence."""
    assert tokens.ids.dtype == np.uint16
    ends = tokens.ends.tolist()
    assert not ends or ends[-1] == len(tokens.ids)
    return [tokens.ids[a:b].tolist() for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def assert_as_the_rust_tokenizer(tokenizer, sequences: list[str]) -> None:
    tokens = encode_for(tokenizer, sequences)
    # The names of special tokens are letters like any other here: the pipeline is given DNA.
    expected = [tokenizer(text, split_special_tokens=True).input_ids[1:] for text in sequences]
    assert split(tokens) == expected
    assert tokens.num_tokens.tolist() == [len(ids) for ids in expected]
    assert tokens.starts.tolist() == [end - len(ids) for end, ids in zip(tokens.ends, expected, strict=True)]
    assert tokens.num_nt.tolist() == [len("".join(text.split())) for text in sequences]
    assert tokens.num_replaced.tolist() == [count_replaced(text) for text in sequences]


def random_text(rng: random.Random, most_nt: int, letters: str = "ACGT", others: str = "", share: float = 0.0) -> str:
    length = rng.randrange(most_nt + 1)
    return "".join(rng.choice(others) if rng.random() < share else rng.choice(letters) for _ in range(length))


# --- worked by hand


def test_worked_examples():
    # Their ids are written out in test_tokenization.py, too.
    assert split(encode(["ATGGTAGCTACATCATCT", "AATN", "ANAAAAAA"], 6)) == [
        [506, 3662, 1567],
        [4102, 4102, 4103, 4106],
        [4102, 4106, 6],
    ]
    assert split(encode(["ATGGTAGCTACATCATCT"], 4)) == [[504, 3660, 1565]]


def test_every_6_mer_has_its_id(tokenizer):
    kmers = [token for token in tokenizer.get_vocab() if len(token) == 6 and not set(token) - set("ACGT")]
    assert len(kmers) == 4096
    assert split(encode_for(tokenizer, kmers)) == [[tokenizer.convert_tokens_to_ids(kmer)] for kmer in kmers]
    assert_as_the_rust_tokenizer(tokenizer, ["".join(kmers)])


# --- as the Rust tokenizer


ALPHABETS = {
    "DNA": ("ACGT", "", 0.0),
    "few N": ("ACGT", "N", 0.01),
    "many N": ("ACGT", "N", 0.3),
    "soft-masked": ("ACGTacgt", "Nn", 0.02),
    "RNA": ("ACGUacgu", "Nn", 0.02),
    "IUPAC": ("ACGT", "RYSWKMBDHVryswkmbdhv", 0.1),
    "lines": ("ACGT", "\n\r\t ", 0.05),
    "zero bytes": ("ACGT", "\0N", 0.1),
    "non-ASCII": ("ACGTacgtu", "éßЖ漢😀\u0301\u212a\uff21", 0.1),
    "non-ASCII white space": ("ACGTacgtu", "".join(char for char in WHITE_SPACE if ord(char) > 127), 0.1),
    "protein": ("LAGVSERTIDPKQNFYMHWCX*-", "", 0.0),
    "all of it": ("ACGT", "acgtuUNn RYK\0é\u2028\x1c-*<>", 0.2),
}


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_sequences_of_every_kind_give_the_rust_tokenizers_ids(tokenizer, alphabet):
    rng = random.Random(alphabet)
    sequences = [random_text(rng, 90, *ALPHABETS[alphabet]) for _ in range(200)]
    assert_as_the_rust_tokenizer(tokenizer, sequences)
    for text in sequences[:20]:
        assert_as_the_rust_tokenizer(tokenizer, [text])


def test_every_character_of_the_first_pages_and_all_white_space(tokenizer):
    characters = [*map(chr, range(0x250)), *WHITE_SPACE, "\u2067", "\u180e", "\u200b", "\ufeff", "\U0010ffff"]
    assert_as_the_rust_tokenizer(tokenizer, [f"ACG{character}TACGAA" for character in characters])
    assert_as_the_rust_tokenizer(tokenizer, characters)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(), min_size=1), st.sampled_from(["v2", "v1"]))
@example(["", "ACGTAC", "", "", "A", ""], "v2")
@example(["\0", "ACGTAC\0", "\0\0ACGTAC", ""], "v2")
@example([" \n\t", "\u2003", "A"], "v2")
@example(["<mask>ACGTAC<cls>"], "v2")
def test_any_text_gives_the_rust_tokenizers_ids(sequences, version):
    assert_as_the_rust_tokenizer(TOKENIZERS[version], sequences)


def test_ids_fit_their_type_up_to_the_last_letter():
    assert split(encode(["GGGGGGN"], 6)) == [[4101, 4106]]
    assert encode(["N" * 70_000], 6).num_tokens.tolist() == [70_000]  # more than the ids' type counts


# --- the rest of the module


def test_the_other_strand_is_read_backwards_letter_by_letter():
    partner = {"A": "T", "C": "G", "G": "C", "T": "A", "U": "A"}
    partner |= {letter.lower(): other.lower() for letter, other in partner.items()}
    rng = random.Random(0)
    for _ in range(100):
        text = random_text(rng, 40, "ACGTUacgtuNnRé")
        assert reverse_complement(text) == "".join(partner.get(letter, letter) for letter in reversed(text))
    assert reverse_complement("ATGGTN") == "NACCAT"


@given(st.lists(st.integers(0, 5), min_size=1))
def test_each_counts_as_two_loops_do(counts):
    owners, which = owners_and_ranks(np.array(counts))
    assert list(zip(owners.tolist(), which.tolist(), strict=True)) == [
        (i, j) for i, count in enumerate(counts) for j in range(count)
    ]
