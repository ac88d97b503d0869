"""Sequences -> token ids, once for all epochs, kept in the cache of `datasets`."""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, IterableDataset, List, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerFast

# Columns of a tokenised row, next to its label.
IDS, NUM_TOKENS = "input_ids", "num_tokens"
STREAM_BATCH = 100  # rows


def tokenize(
    splits: DatasetDict,
    tokenizer: PreTrainedTokenizerFast,
    max_tokens: int,
    cut_at: int | None,
    place: Callable[[str, int], str],
) -> DatasetDict:
    """
    Replace the column `sequence` by `input_ids` and `num_tokens`, how many tokens the whole sequence has.

    The model takes `max_tokens`, and of a sequence `cut_at` are kept, `<cls>` included; None: all, and a longer one is
    an error, which `place` (split and row -> where that is) names. A stream is tokenised as it is read.
    """
    tokenised = {}
    for split, rows in splits.items():
        if isinstance(rows, IterableDataset):
            tokenised[split] = _tokenize_stream(rows, tokenizer, max_tokens, cut_at)
            continue
        tokenised[split] = _tokenize_split(rows, tokenizer, cut_at)
        lengths = num_tokens(tokenised[split])
        if cut_at is None:
            _check_length(partial(place, split), lengths, max_tokens)
        if isinstance(rows.features.get("label"), List) and rows.features["label"].length == -1:
            expected = lengths - tokenizer.num_special_tokens_to_add()
            numbers = pc.list_value_length(tokenised[split].with_format("arrow")[:]["label"]).to_numpy()
            wrong = np.flatnonzero(expected != numbers).tolist()
            if wrong:
                raise ValueError(
                    f"{place(split, wrong[0])}: the sequence has {expected[wrong[0]]} tokens, <cls> and the like not "
                    f"counted, but {numbers[wrong[0]]} labels ({len(wrong)} such rows in the split); give one label a "
                    "token."
                )
    return DatasetDict(tokenised)


def _check_length(place: Callable[[int], str], lengths: np.ndarray, max_tokens: int) -> None:
    too_long = np.flatnonzero(lengths > max_tokens).tolist()
    if too_long:
        raise ValueError(
            f"{place(too_long[0])}: the sequence has {lengths[too_long[0]]} tokens, but the model takes {max_tokens} "
            f"({len(too_long)} such in all); give --long windows to use all of them, or --long truncate."
        )


def num_tokens(rows: Dataset) -> np.ndarray:
    """Of each row, before it was cut, (rows,)."""
    return np.asarray(rows.with_format("numpy", columns=[NUM_TOKENS])[:][NUM_TOKENS], dtype=np.int64)


def _tokenize_split(rows: Dataset, tokenizer: PreTrainedTokenizerFast, cut_at: int | None) -> Dataset:
    # 16 bits hold all 4,107 tokens of an NT; the cache is a quarter as large as with the 64 that torch wants.
    id_type = Value("int16" if len(tokenizer) < 2**15 else "int32")
    features = {name: feature for name, feature in rows.features.items() if name != "sequence"}
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    del rules["padding"], rules["truncation"]  # how it was last used, which does not matter here
    return rows.map(
        lambda sequences: token_ids(tokenizer, sequences, cut_at),
        input_columns="sequence",
        batched=True,
        remove_columns="sequence",
        features=Features(features | {IDS: List(id_type), NUM_TOKENS: Value("int32")}),
        new_fingerprint=Hasher.hash([rows._fingerprint, rules, cut_at]),
        desc="tokenising",
    )


def token_ids(tokenizer: PreTrainedTokenizerFast, sequences: list[str], cut_at: int | None) -> dict[str, list]:
    """Ids, cut, with those that the tokenizer puts at the end (an NT's puts none there), and the whole lengths."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    ids = [each.ids for each in backend.encode_batch_fast(sequences)]  # a third faster than `tokenizer(sequences)`
    lengths = [len(each) for each in ids]
    if cut_at is not None:
        at_end = tokenizer("")[IDS][1:]
        ids = [each if len(each) <= cut_at else each[: cut_at - len(at_end)] + at_end for each in ids]
    return {IDS: ids, NUM_TOKENS: lengths}


def _tokenize_stream(
    rows: IterableDataset, tokenizer: PreTrainedTokenizerFast, max_tokens: int, cut_at: int | None
) -> IterableDataset:
    def batch_of_ids(batch: dict[str, list]) -> dict[str, list]:
        made = token_ids(tokenizer, batch["sequence"], cut_at)
        if cut_at is None:
            lengths = np.array(made[NUM_TOKENS])
            _check_length(lambda row: f"split train, {batch['sequence'][row][:20]!r}…", lengths, max_tokens)
        return made

    return rows.map(batch_of_ids, batched=True, batch_size=STREAM_BATCH, remove_columns="sequence")
