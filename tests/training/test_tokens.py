"""Sequences -> token ids, compared with the tokenizer called on each; lengths; labels of tokens; streams; cache."""

import random

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, IterableDataset, List, Value, load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.training.tokens import STREAM_BATCH, num_tokens
from dnahub.training.tokens import tokenize as tokenize_named
from tests.messages import naming


@pytest.fixture
def tokenizer():
    return build_tokenizer(nt_vocabulary(), 10)


def tokenize(splits, tokenizer, max_tokens, cut_at=None):
    return tokenize_named(splits, tokenizer, max_tokens, cut_at, lambda split, row: f"split {split}, row {row}")


def splits_of(**sequences) -> DatasetDict:
    columns = {split: {"sequence": rows, "label": list(range(len(rows)))} for split, rows in sequences.items()}
    return DatasetDict({split: Dataset.from_dict(each) for split, each in columns.items()})


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
    with pytest.raises(ValueError, match=naming("split validation", "row 3", 11, 10, 2)):
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


# Labels of tokens


def labelled(**splits) -> DatasetDict:
    """Splits of (sequence, labels) rows."""
    features = Features({"sequence": Value("string"), "label": List(Value("int64"))})
    as_rows = {split: [dict(zip(features, row, strict=True)) for row in rows] for split, rows in splits.items()}
    return DatasetDict({split: Dataset.from_list(rows, features) for split, rows in as_rows.items()})


FITTING = [("ACGTAC" * 2, [0, 1]), ("ACGTACGT", [1, -100, 0]), ("acgu n", [0, 1, 0, 1, -100])]  # cls is not counted


@pytest.mark.parametrize("cut_at", [None, 2])
def test_a_label_for_each_token_but_cls_is_taken_also_where_the_end_is_cut_off(tokenizer, cut_at):
    for sequence, labels in FITTING:
        assert len(labels) == len(tokenizer.tokenize(sequence))

    tokenised = tokenize(labelled(train=FITTING), tokenizer, 10, cut_at)["train"]

    assert tokenised["label"][:] == [labels for _, labels in FITTING]


@pytest.mark.parametrize(
    ("bad", "expected", "numbers"),
    [(("ACGTAC", [0, 1]), 1, 2), (("ACGTAC" * 3, [0]), 3, 1), (("ACGTAC", []), 1, 0), (("ACG", [0]), 3, 1)],
)
@pytest.mark.parametrize("cut_at", [None, 2])
def test_a_row_of_another_number_of_labels_than_tokens_is_named(tokenizer, bad, expected, numbers, cut_at):
    splits = labelled(train=FITTING, test=[*FITTING, bad, FITTING[0], bad])

    told = ["row 3", f"{expected} tokens", f"{numbers} labels", "2"]
    with pytest.raises(ValueError, match=naming("split test", *told)):
        tokenize(splits, tokenizer, 10, cut_at)


def test_what_another_tokenizer_adds_at_both_ends_has_no_label():
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate("[ ] P A C G T N".split())}, unk_token="N"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(single="[ $A ]", special_tokens=[("[", 0), ("]", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="P", unk_token="N")

    tokenised = tokenize(labelled(train=[("ACG", [0, 1, 1])]), tokenizer, 10)["train"]

    assert tokenised["input_ids"][:] == [[0, 3, 4, 5, 1]]
    assert tokenize(splits_of(train=["Acg"]), tokenizer, 10)["train"]["input_ids"][:] == [tokenizer("Acg").input_ids]
    with pytest.raises(ValueError, match=naming("3 tokens", "5 labels")):
        tokenize(labelled(train=[("ACG", [0, 1, 1, 0, 0])]), tokenizer, 10)


# Streams


def stream_of(sequences, **columns) -> DatasetDict:
    return DatasetDict(train=Dataset.from_dict({"sequence": sequences, **columns}).to_iterable_dataset())


@pytest.mark.parametrize("cut_at", [None, 4])
def test_a_stream_is_tokenised_as_the_same_rows_at_once(tokenizer, cut_at):
    rng = random.Random(0)
    rows = ["".join(rng.choices("ACGTNacgtu ", k=rng.randint(1, 40))) + "A" for _ in range(2 * STREAM_BATCH + 7)]
    at_once = tokenize(splits_of(train=rows), tokenizer, 2048, cut_at)["train"]

    streamed = tokenize(stream_of(rows, label=list(range(len(rows)))), tokenizer, 2048, cut_at)["train"]

    assert isinstance(streamed, IterableDataset)
    assert list(streamed) == at_once.to_list()


def test_a_sequence_that_is_too_long_is_an_error_when_its_batch_of_the_stream_is_reached(tokenizer):
    rows = ["ACGT"] * STREAM_BATCH + ["ACGT", "GG", "U", "ACGTAC" * 10, "ACGT"]
    streamed = iter(tokenize(stream_of(rows), tokenizer, 10)["train"])

    for _ in range(STREAM_BATCH):
        next(streamed)
    with pytest.raises(ValueError, match=naming("split train", "ACGTACACGTACACGTACAC", "11 tokens", 10)):
        next(streamed)
