"""Token ids by arithmetic on arrays -> compared with the Rust tokenizer."""

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnahub.checkpoints.tokenizer import SPECIAL_TOKENS_V1, build_tokenizer, nt_vocabulary
from dnahub.inference.encoding import encode_kmers

TOKENIZERS = {
    "v2": build_tokenizer(nt_vocabulary(), max_tokens=2048),
    "v1": build_tokenizer(nt_vocabulary(SPECIAL_TOKENS_V1), max_tokens=1000),
}


def assert_as_the_rust_tokenizer(version: str, sequences: list[str]) -> None:
    tokenizer = TOKENIZERS[version]
    sequences = ["".join(sequence.split()) for sequence in sequences]
    # The names of special tokens are letters like any other here: the pipeline is given DNA.
    expected = [tokenizer(text, split_special_tokens=True).input_ids[1:] for text in sequences]
    encoded = encode_kmers(sequences, tokenizer.convert_tokens_to_ids("AAAAAA"), 6)
    ids, ends = encoded.ids, encoded.ends
    assert ids.dtype == np.uint16 and ends[-1] == len(ids)
    assert [each.tolist() for each in np.split(ids, ends[:-1])] == expected


ALPHABETS = {
    "DNA": ("ACGT", "", 0.0),
    "many N": ("ACGT", "N", 0.3),
    "RNA": ("ACGUacgu", "Nn", 0.02),
    "IUPAC": ("ACGT", "RYSWKMBDHVryswkmbdhv", 0.1),
    "non-ASCII": ("ACGTacgtu", "éßЖ漢😀\u0301\u212a\uff21", 0.1),
}


@pytest.mark.parametrize("version", TOKENIZERS)
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_sequences_of_every_kind_give_the_rust_tokenizers_ids(version, alphabet):
    rng = random.Random(alphabet)
    letters, others, share = ALPHABETS[alphabet]
    texts = [
        "".join(rng.choice(others) if rng.random() < share else rng.choice(letters) for _ in range(rng.randrange(91)))
        for _ in range(200)
    ]
    assert_as_the_rust_tokenizer(version, texts)


@pytest.mark.parametrize("version", TOKENIZERS)
def test_every_6_mer_and_every_character_of_the_first_pages(version):
    kmers = [token for token in TOKENIZERS[version].get_vocab() if len(token) == 6 and not set(token) - set("ACGT")]
    assert len(kmers) == 4096
    characters = [*map(chr, range(0x250)), "\u2067", "\u180e", "\u200b", "\ufeff", "\U0010ffff"]
    assert_as_the_rust_tokenizer(version, kmers + [f"ACG{character}TACGAA" for character in characters])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(), min_size=1), st.sampled_from(["v2", "v1"]))
@example(["", "ACGTAC", "", "", "A", ""], "v2")
@example(["<mask>ACGTAC<cls>"], "v2")
def test_any_text_gives_the_rust_tokenizers_ids(sequences, version):
    assert_as_the_rust_tokenizer(version, sequences)


def test_more_ids_than_their_type_counts():
    assert encode_kmers(["N" * 70_000], 6, 6).ends.tolist() == [70_000]
