"""Rows of token ids -> padded batches, with labels or with masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

IGNORED = -100  # torch's label for what counts in no loss
MLM_PROBABILITY = 0.15  # of the tokens; of these 80 % become <mask>, 10 % another token, 10 % stay: BERT, NT methods


@dataclass
class LabelCollator:
    """
    Rows with `input_ids` and `label` -> `input_ids`, `attention_mask` (batch, tokens) and `labels`.

    `labels` are (batch,) for one class each and for one number each, (batch, outputs) for several of either, and
    (batch, tokens) for one class a token, -100 at `<cls>` and at padding.

    Args:
        tokenizer: The tokenizer; rows are padded to the longest of the batch.
        problem: transformers' `problem_type`, or "token_classification".
    """

    tokenizer: PreTrainedTokenizerFast
    problem: str = "single_label_classification"

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(self.tokenizer, [row["input_ids"] for row in rows])
        if self.problem == "token_classification":
            batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
            for labels, row in zip(batch["labels"], rows, strict=True):
                num_labelled = len(row["input_ids"]) - 1  # a cut sequence leaves labels over
                labels[1 : num_labelled + 1] = torch.tensor(row["label"][:num_labelled])
        else:
            whole = self.problem == "single_label_classification"
            dtype = torch.long if whole else torch.float32
            batch["labels"] = torch.tensor([row["label"] for row in rows], dtype=dtype)
        return batch


class MaskingCollator(DataCollatorForLanguageModeling):
    """
    Rows with `input_ids` -> masked `input_ids`, `attention_mask` and `labels` (batch, tokens), -100 where unmasked.

    15 % of the tokens are drawn, never special ones; of these 80 % become `<mask>`, 10 % a token drawn from all that
    are not special, and 10 % stay as they are. At least one token of a batch is drawn, for a batch without any has no
    loss.

    Args:
        tokenizer: The tokenizer; rows are padded to the longest of the batch.
        seed: Seed of the draws; default torch's global generator.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int | None = None):
        super().__init__(tokenizer, mlm_probability=MLM_PROBABILITY, seed=seed)
        special = torch.tensor(tokenizer.all_special_ids)
        self.special_ids = special[special != tokenizer.mask_token_id]
        ids = torch.arange(len(tokenizer))
        self.ordinary_ids = ids[~torch.isin(ids, special)]

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = pad(self.tokenizer, [row["input_ids"] for row in rows])
        if "labels" in rows[0]:  # masked already
            labels = [torch.tensor(row["labels"]) for row in rows]
            batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
            return batch
        if self.seed is not None and self.generator is None:
            self.create_rng()
        batch["input_ids"], batch["labels"] = self.torch_mask_tokens(batch["input_ids"])
        return batch

    def torch_mask_tokens(self, inputs: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        masked, labels = super().torch_mask_tokens(inputs.clone(), *args, **kwargs)
        maskable = torch.isin(inputs, self.ordinary_ids).any()
        while maskable and (labels == IGNORED).all():
            masked, labels = super().torch_mask_tokens(inputs.clone(), *args, **kwargs)
        # The parent draws from the whole vocabulary. <pad> among the letters would shift the positions of NT-v1.
        drew_special = (labels != IGNORED) & torch.isin(masked, self.special_ids)
        drawn = torch.randint(len(self.ordinary_ids), (int(drew_special.sum()),), generator=self.generator)
        masked[drew_special] = self.ordinary_ids[drawn]
        return masked, labels

    def mask_once(self, rows: Dataset) -> list[dict[str, list[int]]]:
        """
        Rows masked now and for good, so that every evaluation asks for the same tokens.

        Args:
            rows: Rows with `input_ids`.

        Returns:
            A row each with `input_ids` and `labels`, which this collator only pads.
        """
        masked = []
        for row in rows:
            batch = self([row])
            masked.append({name: batch[name][0].tolist() for name in ("input_ids", "labels")})
        return masked


def pad(tokenizer: PreTrainedTokenizerFast, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Token ids of each sequence -> `input_ids` and `attention_mask`, (batch, tokens of the longest)."""
    rows = [torch.tensor(row) for row in ids]
    ones = [torch.ones_like(row) for row in rows]
    return {
        "input_ids": pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id),
        "attention_mask": pad_sequence(ones, batch_first=True),
    }
