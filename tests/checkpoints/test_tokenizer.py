"""The 6-mer tokenizer -> compared with EsmTokenizer, and with plain Python on any text."""

import random
import re
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, EsmTokenizer

from dnahub.checkpoints.tokenizer import (
    SPECIAL_TOKENS_V1,
    build_tokenizer,
    nt_vocabulary,
)
from dnahub.hub_code.pipeline_dna_embedding import count_replaced
from tests.messages import naming


def kmers(k: int) -> list[str]:
    return [""] if k == 0 else [prefix + letter for prefix in kmers(k - 1) for letter in "ATCG"]


# Written out here, not taken from the code under test.
VOCABULARY_V1 = ["<unk>", "<pad>", "<mask>", "<cls>", *kmers(6), "A", "T", "C", "G", "N"]
VOCABULARY_V2 = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", *kmers(6), "A", "T", "C", "G", "N"]
SPECIAL = re.compile("<(unk|pad|mask|cls|eos|bos)>")


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(nt_vocabulary(), max_tokens=2048)


@pytest.fixture(scope="module")
def tokenizer_v1():
    return build_tokenizer(nt_vocabulary(SPECIAL_TOKENS_V1), max_tokens=1000)


def plain_normalised(text: str) -> tuple[str, int]:
    """Letters of ACGTN, and how many of them stand for something else."""
    letters, replaced = [], 0
    for character in text:
        if character.isspace():
            continue
        if character in "ACGTNacgtn":
            letters.append(character.upper())
        elif character in "Uu":
            letters.append("T")
        else:
            letters.append("N")
            replaced += 1
    return "".join(letters), replaced


def plain_ids(text: str, vocabulary: list[str] = VOCABULARY_V2) -> list[int]:
    letters, _ = plain_normalised(text)
    ids, i = [vocabulary.index("<cls>")], 0
    first_kmer = vocabulary.index("AAAAAA")
    while i < len(letters):
        kmer = letters[i : i + 6]
        if len(kmer) == 6 and "N" not in kmer:
            ids.append(first_kmer + int("".join(str("ATCG".index(letter)) for letter in kmer), 4))
            i += 6
        else:
            ids.append(vocabulary.index(letters[i]))
            i += 1
    return ids


def random_sequences(count: int, seed: int = 0) -> list[str]:
    """ACGTN of 0 to 200 nt and of every remainder by 6, with no, few and many N."""
    rng = random.Random(seed)
    return [
        "".join(rng.choices("ACGTN", weights=(4, 4, 4, 4, rng.choice((0, 0.2, 2))), k=rng.randrange(200)))
        for _ in range(count)
    ]


def test_ids_are_the_published_ones(tokenizer, tokenizer_v1):
    assert (nt_vocabulary(), nt_vocabulary(SPECIAL_TOKENS_V1)) == (VOCABULARY_V2, VOCABULARY_V1)
    for each, vocabulary in ((tokenizer, VOCABULARY_V2), (tokenizer_v1, VOCABULARY_V1)):
        assert each.convert_ids_to_tokens(range(len(each))) == vocabulary
        assert (each.unk_token_id, each.pad_token_id, each.mask_token_id, each.cls_token_id) == (0, 1, 2, 3)
        assert each.eos_token is None and each.bos_token is None
    assert tokenizer("ATGGTAGCTACATCATCT").input_ids == [3, 506, 3662, 1567]


def test_special_tokens_in_the_text_are_read_as_such(tokenizer, tokenizer_v1):
    assert tokenizer("ATGGTA<mask>N <pad>acg<cls><unk>").input_ids == [3, 506, 2, 4106, 1, 4102, 4104, 4105, 3, 0]
    assert tokenizer("<bos>A<eos>").input_ids == [3, 5, 4102, 4]
    assert tokenizer("A<mask>", split_special_tokens=True).input_ids == plain_ids("A<mask>")
    assert tokenizer_v1("A<eos>").input_ids == plain_ids("A<eos>", VOCABULARY_V1)
    assert tokenizer.decode([3, 4, 506, 5, 2, 1, 0], skip_special_tokens=True) == "ATGGTA"


@pytest.mark.parametrize(
    "vocabulary",
    [
        [*VOCABULARY_V2[:6], *sorted(VOCABULARY_V2[6:4102]), *VOCABULARY_V2[4102:]],
        list("LAGVSERTIDPKQNFYMHWCXBUZO"),
    ],
    ids=["6-mers in the order of ACGT", "amino acids"],
)
def test_another_vocabulary_is_an_error_that_says_its_size(vocabulary):
    with pytest.raises(ValueError, match=naming(len(vocabulary), "6-mers", "3-mers")):
        build_tokenizer(vocabulary, max_tokens=2048)


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_ids_are_those_of_esm_tokenizer(tmp_path, tokenizer, tokenizer_v1, version):
    ours = tokenizer if version == "v2" else tokenizer_v1
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY_V2 if version == "v2" else VOCABULARY_V1))
    theirs = EsmTokenizer(str(tmp_path / "vocab.txt"), eos_token=None, model_max_length=2048)  # as published
    sequences = random_sequences(1000) + ["".join(random.Random(1).choices("ACGTN", k=12_300))]
    for sequence in sequences:
        assert ours(sequence).input_ids == theirs(sequence).input_ids, sequence


@settings(max_examples=200, deadline=None)
@given(st.text().filter(lambda text: not SPECIAL.search(text)))
@example("acgtn uU \t\r\n ACGTN")
@example("ATG\x1fGTA")
@example("ATG\u00a0GTA\u2028")
@example("ATG\u0130\u0131\ufb00")  # letters whose case changes their number
@example("e\u0301")  # a letter and a combining accent are two characters
@example("ATG-GTA*")
@example("")
def test_any_text_is_encoded_as_plain_python_does(tokenizer, text):
    ids = tokenizer(text).input_ids
    assert ids == plain_ids(text)
    assert tokenizer.decode(ids, skip_special_tokens=True) == plain_normalised(text)[0]
    assert count_replaced(text) == plain_normalised(text)[1]


def test_every_character_of_unicode_is_white_space_a_base_or_one_n(tokenizer):
    characters = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]  # no lone surrogates
    for start in range(0, len(characters), 1000):
        text = "".join(characters[start : start + 1000])
        letters, replaced = plain_normalised(text)
        where = f"among the 1000 characters from {ord(characters[start]):#x}"
        assert tokenizer.backend_tokenizer.normalizer.normalize_str(text) == letters, where
        assert count_replaced(text) == replaced, where


def test_a_batch_is_padded_on_the_right_and_truncated_at_the_model_s_limit(tokenizer, tokenizer_v1):
    batch = tokenizer(["", "acgu", "RYN"], padding=True)
    assert batch.input_ids == [[3, 1, 1, 1, 1], [3, 4102, 4104, 4105, 4103], [3, 4106, 4106, 4106, 1]]
    assert batch.attention_mask == [[1, 0, 0, 0, 0], [1] * 5, [1, 1, 1, 1, 0]]
    assert set(batch) == {"input_ids", "attention_mask"}
    assert tokenizer("AAAAAAT" * 3, truncation=True, max_length=2).input_ids == [3, 6]
    assert len(tokenizer("A" * 30_000, truncation=True).input_ids) == 2048
    assert len(tokenizer_v1("A" * 30_000, truncation=True).input_ids) == 1000


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_a_saved_tokenizer_is_the_same_without_our_code(tmp_path, tokenizer, tokenizer_v1, version):
    ours = tokenizer if version == "v2" else tokenizer_v1
    ours.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    sequences = random_sequences(300, seed=4) + ["acgu acgt\n", "RYK-*", "Ünï", "<mask>ACGT"]
    assert again(sequences, padding=True).data == ours(sequences, padding=True).data
    for name in ("unk_token", "pad_token", "mask_token", "cls_token", "eos_token", "padding_side", "model_max_length"):
        assert getattr(again, name) == getattr(ours, name), name
