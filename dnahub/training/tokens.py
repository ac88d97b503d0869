"""Sequences -> token ids, once for all epochs, kept in the cache of `datasets`."""

import json
import re
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerFast

# What a row has beside its label, once it is tokenised.
IDS, NUM_TOKENS = "input_ids", "num_tokens"
NUCLEOTIDE = re.compile("[ACGTUacgtu]")  # what a model can learn from
# Neither a base, nor IUPAC's code for several, X, a gap or white space: what proteins and slips have.
NO_DNA = re.compile(r"(?i)[^ACGTURYSWKMBDHVNX.\-\s]")
STREAM_BATCH = 100  # rows


def tokenize(
    splits: DatasetDict, tokenizer: PreTrainedTokenizerFast, max_tokens: int, cut_at: int | None = None
) -> DatasetDict:
    """
    Replace the column `sequence` by `input_ids` and `num_tokens`, how many tokens the whole sequence has.

    Args:
        splits: Rows with `sequence`; other columns stay. A stream, of rows without labels, is tokenised as it is read.
        tokenizer: Of the model.
        max_tokens: How many tokens the model takes, `<cls>` included.
        cut_at: Tokens to keep of a sequence, `<cls>` included; default all, and a longer one is an error.

    Raises:
        ValueError: If a sequence has more tokens than the model takes and `cut_at` is not given, or a row has another
            number of labels than tokens, where each token has one. The first such row is named, and how many there
            are. In a stream, when the row is reached.
    """
    tokenised = {}
    for split, rows in splits.items():
        if isinstance(rows, IterableDataset):
            tokenised[split] = _tokenize_stream(split, rows, tokenizer, max_tokens, cut_at)
            continue
        tokenised[split] = _tokenize_split(rows, tokenizer, cut_at)
        if cut_at is None:
            _check_length(split, num_tokens(tokenised[split]), max_tokens)
        if isinstance(rows.features.get("label"), List) and rows.features["label"].length == -1:
            labels = tokenised[split].with_format("arrow")[:]["label"]
            _check_labels(split, num_tokens(tokenised[split]), pc.list_value_length(labels).to_numpy(), tokenizer)
    return DatasetDict(tokenised)


def _check_length(split: str, lengths: np.ndarray, max_tokens: int) -> None:
    too_long = np.flatnonzero(lengths > max_tokens)
    if len(too_long):
        row = int(too_long[0])
        raise ValueError(
            f"split {split}, row {row}: the sequence has {lengths[row]} tokens, but the model takes {max_tokens} "
            f"({len(too_long)} such row{'s' * (len(too_long) != 1)}); give --max_length to cut such sequences, or cut "
            "them into windows."
        )


def _check_labels(split: str, lengths: np.ndarray, numbers: np.ndarray, tokenizer: PreTrainedTokenizerFast) -> None:
    """A label for each token but those that the tokenizer adds."""
    expected = lengths - tokenizer.num_special_tokens_to_add()
    wrong = np.flatnonzero(expected != numbers)
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"split {split}, row {row}: the sequence has {expected[row]} tokens, <cls> and the like not counted, but "
            f"{numbers[row]} labels ({len(wrong)} such rows in the split); give one label a token."
        )


def fault_of(sequence: str) -> str | None:
    """Why a model cannot learn from a sequence; None where it can."""
    if other := NO_DNA.search(sequence):
        return f"contains {other[0]!r}, which is not a nucleotide code"
    return None if NUCLEOTIDE.search(sequence) else "contains no A, C, G or T"


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
    split: str, rows: IterableDataset, tokenizer: PreTrainedTokenizerFast, max_tokens: int, cut_at: int | None
) -> IterableDataset:
    where = f"{split} (a stream; row 0 is the first of the last {STREAM_BATCH} read)"

    def batch_of_ids(sequences: list[str]) -> dict[str, list]:
        for sequence in sequences:
            if fault := fault_of(sequence or ""):
                raise ValueError(f"split {split}: the sequence {(sequence or '')[:20]!r} {fault}; leave that row out.")
        ids = _ids(tokenizer, sequences)
        lengths = np.array([len(each) for each in ids])
        if cut_at is None:
            _check_length(where, lengths, max_tokens)
        return {IDS: _cut(tokenizer, ids, cut_at), NUM_TOKENS: lengths.tolist()}

    options = {"input_columns": "sequence", "remove_columns": "sequence"}
    return rows.map(batch_of_ids, batched=True, batch_size=STREAM_BATCH, **options)


def _rules(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What decides of the ids; not how it padded and cut when it was last used, which its file says, too."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: rule for name, rule in rules.items() if name not in ("padding", "truncation")}
