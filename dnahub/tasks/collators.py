"""Rows of token ids -> padded batch with labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
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
    input_ids = np.full((len(ids), max(map(len, ids))), tokenizer.pad_token_id)
    attention_mask = np.zeros_like(input_ids)
    for row, of_row in enumerate(ids):  # 2 µs each; a tensor of each row takes 12
        input_ids[row, : len(of_row)] = of_row
        attention_mask[row, : len(of_row)] = 1
    return {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(attention_mask)}
