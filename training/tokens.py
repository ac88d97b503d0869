"""Sequences -> token ids, once for all epochs, kept in the cache of `datasets`."""

import json
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, Features, List, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerFast

# What a row has beside its label, once it is tokenised.
IDS, NUM_TOKENS = "input_ids", "num_tokens"


def tokenize(
    splits: DatasetDict, tokenizer: PreTrainedTokenizerFast, max_tokens: int, cut_at: int | None = None
) -> DatasetDict:
    """
    Replace the column `sequence` by `input_ids` and `num_tokens`, how many tokens the whole sequence has.

    Args:
        splits: Rows with `sequence`; other columns stay.
        tokenizer: Of the model.
        max_tokens: How many tokens the model takes, `<cls>` included.
        cut_at: Tokens to keep of a sequence, `<cls>` included; default all, and a longer one is an error.

    Raises:
        ValueError: If a sequence has more tokens than the model takes and none shall be cut; the first such row is
            named, and how many there are.
    """
    tokenised = DatasetDict({split: _tokenize_split(rows, tokenizer, cut_at) for split, rows in splits.items()})
    if cut_at is None:
        for split, rows in tokenised.items():
            too_long = np.flatnonzero(num_tokens(rows) > max_tokens)
            if len(too_long):
                row = int(too_long[0])
                raise ValueError(
                    f"split {split}, row {row}: the sequence has {rows[row][NUM_TOKENS]} tokens, but the model takes "
                    f"{max_tokens} ({len(too_long)} such rows in the split); give --max_length to cut such sequences, "
                    "or cut them into windows."
                )
    return tokenised


def num_tokens(rows: Dataset) -> np.ndarray:
    """Of each row, before it was cut, (rows,)."""
    return np.asarray(rows.with_format("numpy", columns=[NUM_TOKENS])[:][NUM_TOKENS], dtype=np.int64)


def _tokenize_split(rows: Dataset, tokenizer: PreTrainedTokenizerFast, cut_at: int | None) -> Dataset:
    def batch_of_ids(sequences: list[str]) -> dict[str, list]:
        ids = tokenizer(sequences, return_attention_mask=False, verbose=False)[IDS]
        return {IDS: [each[:cut_at] for each in ids], NUM_TOKENS: [len(each) for each in ids]}

    # 16 bits hold all 4,107 tokens; the cache is a quarter as large as with the 64 that torch wants.
    features = {name: feature for name, feature in rows.features.items() if name != "sequence"}
    features |= {IDS: List(Value("int16")), NUM_TOKENS: Value("int32")}
    return rows.map(
        batch_of_ids,
        input_columns="sequence",
        batched=True,
        remove_columns="sequence",
        features=Features(features),
        new_fingerprint=Hasher.hash([rows._fingerprint, _rules(tokenizer), cut_at]),
        desc="tokenising",
    )


def _rules(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What decides of the ids; not how it padded and cut when it was last used, which its file says, too."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: rule for name, rule in rules.items() if name not in ("padding", "truncation")}
