"""Sequences -> token ids, compared with the tokenizer called on each; lengths; the cache."""

import random

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_dataset

from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary
from training.tokens import num_tokens, tokenize


@pytest.fixture
def tokenizer():
    return build_tokenizer(nt_vocabulary(), 10)


def splits_of(**sequences) -> DatasetDict:
    return DatasetDict(
        {
            split: Dataset.from_dict({"sequence": rows, "label": list(range(len(rows)))})
            for split, rows in sequences.items()
        }
    )


def test_ids_are_those_of_the_tokenizer_and_other_columns_stay(tokenizer):
    rng = random.Random(0)
    rows = ["".join(rng.choices("ACGTNacgtu ", k=rng.randint(1, 40))) + "A" for _ in range(50)]
    tokenised = tokenize(splits_of(train=rows, test=rows[:3]), tokenizer, 2048)

    assert list(tokenised["train"]["input_ids"]) == [tokenizer(row).input_ids for row in rows]
    assert list(tokenised["test"]["label"]) == [0, 1, 2]
    assert num_tokens(tokenised["train"]).tolist() == [len(tokenizer(row).input_ids) for row in rows]
    assert set(tokenised["train"].column_names) == {"label", "input_ids", "num_tokens"}


def test_the_first_sequence_that_is_too_long_is_named_and_one_that_just_fits_is_not(tokenizer):
    fits = ["ACGTAC" * 9, "N" * 9, "ACGTA" + " " * 30]  # 10 tokens, 10, and 6 after white space

    tokenize(splits_of(train=fits), tokenizer, 10)
    with pytest.raises(ValueError, match=r"split validation, row 3: the sequence has 11 tokens, .* takes 10 \(2 such"):
        tokenize(splits_of(train=fits, validation=[*fits, "N" * 10, "N" * 20]), tokenizer, 10)


def test_longer_sequences_are_cut_where_asked_and_their_whole_length_is_known(tokenizer):
    tokenised = tokenize(splits_of(train=["ACGTAC" * 20, "ACGTAC"]), tokenizer, 10, cut_at=5)["train"]

    assert list(tokenised["input_ids"]) == [tokenizer("ACGTAC" * 4).input_ids, tokenizer("ACGTAC").input_ids]
    assert np.array_equal(num_tokens(tokenised), [21, 2])


def test_a_second_time_the_ids_come_out_of_the_cache_though_the_tokenizer_was_used(tmp_path, tokenizer):
    (tmp_path / "train.csv").write_text("sequence\nACGTAC\nTTTTTT\n")
    splits = DatasetDict({"train": load_dataset("csv", data_files=str(tmp_path / "train.csv"), split="train")})
    first = tokenize(splits, tokenizer, 10)["train"].cache_files
    tokenizer(["ACGT", "AC"], padding=True, truncation=True, max_length=3)

    assert first and tokenize(splits, tokenizer, 10)["train"].cache_files == first
    assert tokenize(splits, tokenizer, 10, cut_at=2)["train"].cache_files != first
