"""Rows of token ids -> padded batches, with labels or with masks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

IGNORED = -100  # torch's label for what counts in no loss
# Of the tokens; of these the shares that become <mask> and another token, the rest stays: BERT, and NT's Methods.
MLM_PROBABILITY = 0.15
MASKED_SHARE, REPLACED_SHARE = 0.8, 0.1


@dataclass
class LabelCollator:
    """
    Rows with `input_ids` and `label` -> `input_ids`, `attention_mask` (batch, tokens) and `labels`.

    `labels` are (batch,) for one class each and for one number each, (batch, outputs) for several of either, and
    (batch, tokens) for one class a token, -100 at padding and at what the tokenizer adds: `<cls>`, for another
    encoder also a token at the end.

    Args:
        tokenizer: The tokenizer; rows are padded to the longest of the batch.
        problem: transformers' `problem_type`, or "token_classification".
    """

    tokenizer: PreTrainedTokenizerFast
    problem: str = "single_label_classification"

    def __post_init__(self):
        self.added_ids = torch.tensor(self.tokenizer("").input_ids)  # <unk> may stand for DNA and is none of them

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(self.tokenizer, [row["input_ids"] for row in rows])
        if self.problem == "token_classification":
            batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
            labelled = batch["attention_mask"].bool() & ~torch.isin(batch["input_ids"], self.added_ids)
            counts = labelled.sum(dim=1).tolist()  # a cut sequence leaves labels over
            labels = [label for row, count in zip(rows, counts, strict=True) for label in row["label"][:count]]
            batch["labels"][labelled] = torch.tensor(labels)
        else:
            whole = self.problem == "single_label_classification"
            dtype = torch.long if whole else torch.float32
            batch["labels"] = torch.tensor([row["label"] for row in rows], dtype=dtype)
        return batch


class MaskingCollator:
    """
    Rows with `input_ids` -> masked `input_ids`, `attention_mask` and `labels` (batch, tokens), -100 where unmasked.

    15 % of the tokens are drawn, never special ones; of these 80 % become `<mask>`, 10 % a token drawn from all that
    are not special, and 10 % stay as they are. What is drawn depends on the seed, the epoch and the row alone: it is
    the same in whichever process and batch the row is, and in a resumed run. (transformers' own collator draws from
    the process's generator, and special tokens, too, of which `<pad>` would shift the positions of NT-v1.)

    Args:
        tokenizer: The tokenizer; rows are padded to the longest of the batch.
        seed: Seed of the draws.

    Raises:
        ValueError: If the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int):
        if tokenizer.mask_token is None:
            raise ValueError(
                "The tokenizer of this model has no mask token: give --task mlm a model that was pre-trained by masked"
                " language modelling, or name the mask_token in its tokenizer_config.json."
            )
        self.tokenizer = tokenizer
        self.seed = seed
        self.epoch = 0  # set by whoever goes over the rows again
        self.ordinary_ids = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        masked = rows if "labels" in rows[0] else [self.mask(row["input_ids"]) for row in rows]
        batch = pad(self.tokenizer, [row["input_ids"] for row in masked])
        labels = [torch.as_tensor(row["labels"]) for row in masked]
        batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return batch

    def mask(self, input_ids: Sequence[int]) -> dict[str, np.ndarray]:
        """One row of token ids -> `input_ids` and `labels`, both (tokens,)."""
        ids = np.asarray(input_ids, dtype=np.int64)
        key = hashlib.blake2b(ids.tobytes(), digest_size=16, salt=f"{self.seed} {self.epoch}".encode()[:16]).digest()
        draws = np.random.Generator(np.random.Philox(key=int.from_bytes(key))).random((3, len(ids)))
        drawn = np.isin(ids, self.ordinary_ids) & (draws[0] < MLM_PROBABILITY)
        labels = np.where(drawn, ids, IGNORED)
        others = self.ordinary_ids[(draws[2] * len(self.ordinary_ids)).astype(np.int64)]
        changed = np.where(draws[1] < MASKED_SHARE, self.tokenizer.mask_token_id, others)
        changed = np.where(draws[1] < MASKED_SHARE + REPLACED_SHARE, changed, ids)
        return {"input_ids": np.where(drawn, changed, ids), "labels": labels}

    def mask_once(self, rows: Dataset) -> list[dict[str, np.ndarray]]:
        """
        Rows masked now and for good, so that every evaluation asks for the same tokens; at least one is asked for.

        Args:
            rows: Rows with `input_ids`.

        Returns:
            A row each with `input_ids` and `labels`, which this collator only pads.
        """
        masked = [self.mask(ids) for ids in rows["input_ids"]]
        if all((row["labels"] == IGNORED).all() for row in masked):  # a few short rows
            last = masked[0]["input_ids"].copy()
            place = int(np.flatnonzero(np.isin(last, self.ordinary_ids))[-1])
            masked[0]["labels"][place], masked[0]["input_ids"][place] = last[place], self.tokenizer.mask_token_id
        return masked


def pad(tokenizer: PreTrainedTokenizerFast, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Token ids of each sequence -> `input_ids` and `attention_mask`, (batch, tokens of the longest)."""
    rows = [torch.as_tensor(row, dtype=torch.long) for row in ids]
    ones = [torch.ones_like(row) for row in rows]
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id),
        "attention_mask": pad_sequence(ones, batch_first=True),
    }
