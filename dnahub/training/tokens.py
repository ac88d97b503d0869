"""Sequences -> token ids, once for all epochs, kept in the cache of `datasets`."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerFast

# Columns of a tokenised row, next to its label.
IDS, NUM_TOKENS = "input_ids", "num_tokens"
STREAM_BATCH = 100  # rows


def _row(split: str, row: int) -> str:
    return f"split {split}, row {row}"


def tokenize(
    splits: DatasetDict,
    tokenizer: PreTrainedTokenizerFast,
    max_tokens: int,
    cut_at: int | None = None,
    place: Callable[[str, int], str] = _row,
) -> DatasetDict:
    """
    Replace the column `sequence` by `input_ids` and `num_tokens`, how many tokens the whole sequence has.

    Args:
        splits: Rows with `sequence`; other columns stay. A stream, of rows without labels, is tokenised as it is read.
        tokenizer: Of the model.
        max_tokens: How many tokens the model takes, `<cls>` included.
        cut_at: Tokens to keep of a sequence, `<cls>` included; default all, and a longer one is an error.
        place: Split and row -> where that is, for messages.

    Raises:
        ValueError: If a sequence has more tokens than the model takes and is not cut, or if a row has another
            number of labels than tokens, where each token has one; the first such row is named, and how many there
            are. In a stream, when the row is reached.
    """
    tokenised = {}
    for split, rows in splits.items():
        if isinstance(rows, IterableDataset):
            tokenised[split] = _tokenize_stream(rows, tokenizer, max_tokens, cut_at)
            continue
        tokenised[split] = _tokenize_split(rows, tokenizer, cut_at)
        if cut_at is None:
            _check_length(partial(place, split), num_tokens(tokenised[split]), max_tokens)
        if isinstance(rows.features.get("label"), List) and rows.features["label"].length == -1:
            labels = tokenised[split].with_format("arrow")[:]["label"]
            numbers = pc.list_value_length(labels).to_numpy()
            _check_labels(partial(place, split), num_tokens(tokenised[split]), numbers, tokenizer)
    return DatasetDict(tokenised)


def _check_length(place: Callable[[int], str], lengths: np.ndarray, max_tokens: int) -> None:
    too_long = np.flatnonzero(lengths > max_tokens)
    if len(too_long):
        row = int(too_long[0])
        raise ValueError(
            f"{place(row)}: the sequence has {lengths[row]} tokens, but the model takes {max_tokens} "
            f"({len(too_long)} such row{'s' * (len(too_long) != 1)}); give --max_length to cut such sequences, or cut "
            "them into windows."
        )


def _check_labels(
    place: Callable[[int], str], lengths: np.ndarray, numbers: np.ndarray, tokenizer: PreTrainedTokenizerFast
) -> None:
    """A label for each token but those that the tokenizer adds."""
    expected = lengths - tokenizer.num_special_tokens_to_add()
    wrong = np.flatnonzero(expected != numbers)
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{place(row)}: the sequence has {expected[row]} tokens, <cls> and the like not counted, but "
            f"{numbers[row]} labels ({len(wrong)} such rows in the split); give one label a token."
        )


def num_tokens(rows: Dataset) -> np.ndarray:
    """Of each row, before it was cut, (rows,)."""
    return np.asarray(rows.with_format("numpy", columns=[NUM_TOKENS])[:][NUM_TOKENS], dtype=np.int64)


def _tokenize_split(rows: Dataset, tokenizer: PreTrainedTokenizerFast, cut_at: int | None) -> Dataset:
    def batch_of_ids(sequences: list[str]) -> dict[str, list]:
        ids = _ids(tokenizer, sequences)
        return {IDS: _cut(tokenizer, ids, cut_at), NUM_TOKENS: [len(each) for each in ids]}

    # 16 bits hold all 4,107 tokens of an NT; the cache is a quarter as large as with the 64 that torch wants.
    id_type = Value("int16" if len(tokenizer) < 2**15 else "int32")
    features = {name: feature for name, feature in rows.features.items() if name != "sequence"}
    features |= {IDS: List(id_type), NUM_TOKENS: Value("int32")}
    return rows.map(
        batch_of_ids,
        input_columns="sequence",
        batched=True,
        remove_columns="sequence",
        features=Features(features),
        new_fingerprint=Hasher.hash([rows._fingerprint, _rules(tokenizer), cut_at]),
        desc="tokenising",
    )


def _ids(tokenizer: PreTrainedTokenizerFast, sequences: list[str]) -> list[list[int]]:
    return tokenizer(sequences, return_attention_mask=False, verbose=False)[IDS]


def _cut(tokenizer: PreTrainedTokenizerFast, ids: list[list[int]], cut_at: int | None) -> list[list[int]]:
    """The first so many tokens, with those that the tokenizer puts at the end; an NT's puts none there."""
    if cut_at is None:
        return ids
    at_end = tokenizer("")[IDS][1:]
    return [each if len(each) <= cut_at else each[: cut_at - len(at_end)] + at_end for each in ids]


def _tokenize_stream(
    rows: IterableDataset, tokenizer: PreTrainedTokenizerFast, max_tokens: int, cut_at: int | None
) -> IterableDataset:
    def batch_of_ids(batch: dict[str, list]) -> dict[str, list]:
        ids = _ids(tokenizer, batch["sequence"])
        lengths = np.array([len(each) for each in ids])
        if cut_at is None:
            _check_length(lambda row: f"split train, {batch['sequence'][row][:20]!r}…", lengths, max_tokens)
        return {IDS: _cut(tokenizer, ids, cut_at), NUM_TOKENS: lengths.tolist()}

    return rows.map(batch_of_ids, batched=True, batch_size=STREAM_BATCH, remove_columns="sequence")


def _rules(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What decides of the ids; not how it padded and cut when it was last used, which its file says, too."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: rule for name, rule in rules.items() if name not in ("padding", "truncation")}
