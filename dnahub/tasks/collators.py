"""Rows of token ids -> padded batch with labels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from dnahub.tasks.labels import IGNORED

BESIDE_IGNORED = -99.99999  # the next float32


def label_batch(tokenizer: PreTrainedTokenizerFast, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows with `input_ids` and `label` -> padded batch; `labels` are (batch,), or of vectors (batch, outputs)."""
    labels = torch.tensor([row["label"] for row in rows])
    if labels.is_floating_point():  # the Trainer counts the labels of a step, but not those that are -100
        labels[labels == IGNORED] = BESIDE_IGNORED
    return pad(tokenizer, [row["input_ids"] for row in rows]) | {"labels": labels}


def pad(tokenizer: PreTrainedTokenizerFast, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Token ids of each sequence -> `input_ids` and `attention_mask`, (batch, tokens of the longest)."""
    rows = [torch.as_tensor(row, dtype=torch.long) for row in ids]
    ones = [torch.ones_like(row) for row in rows]
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id),
        "attention_mask": pad_sequence(ones, batch_first=True),
    }
