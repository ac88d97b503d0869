"""Rows of sequences -> batches of padded token ids, with class labels or with masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

MLM_PROBABILITY = 0.15  # of the tokens; of these 80 % become <mask>, 10 % another token, 10 % stay: BERT, NT methods


@dataclass
class ClassificationCollator:
    """
    Rows with `sequence` and `label` -> `input_ids`, `attention_mask` (batch, tokens) and `labels` (batch,).

    Args:
        tokenizer: The tokenizer; rows are padded to the longest of the batch.
        max_length: Tokens to keep of each sequence, `<cls>` included; default all.
    """

    tokenizer: PreTrainedTokenizerFast
    max_length: int | None = None

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = _tokenize(self.tokenizer, rows, self.max_length)
        batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch


class MaskingCollator(DataCollatorForLanguageModeling):
    """
    Rows with `sequence` -> masked `input_ids`, `attention_mask` and `labels` (batch, tokens), -100 where unmasked.

    15 % of the tokens are drawn, never special ones; of these 80 % become `<mask>`, 10 % a token drawn from all that
    are not special, and 10 % stay as they are. At least one token of a batch is drawn, for a batch without any has no
    loss.

    Args:
        tokenizer: The tokenizer; rows are padded to the longest of the batch.
        max_length: Tokens to keep of each sequence, `<cls>` included; default all.
        seed: Seed of the draws; default torch's global generator.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, max_length: int | None = None, seed: int | None = None):
        super().__init__(tokenizer, mlm_probability=MLM_PROBABILITY, seed=seed)
        self.max_length = max_length
        special = torch.tensor(tokenizer.all_special_ids)
        self.special_ids = special[special != tokenizer.mask_token_id]
        ids = torch.arange(len(tokenizer))
        self.ordinary_ids = ids[~torch.isin(ids, special)]

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if "labels" in rows[0]:
            return _pad_masked(self.tokenizer, rows)
        batch = _tokenize(self.tokenizer, rows, self.max_length)
        if self.seed is not None and self.generator is None:
            self.create_rng()
        batch["input_ids"], batch["labels"] = self.torch_mask_tokens(batch["input_ids"])
        return batch

    def torch_mask_tokens(self, inputs: torch.Tensor, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        masked, labels = super().torch_mask_tokens(inputs.clone(), *args, **kwargs)
        maskable = torch.isin(inputs, self.ordinary_ids).any()
        while maskable and (labels == -100).all():
            masked, labels = super().torch_mask_tokens(inputs.clone(), *args, **kwargs)
        # The parent draws from the whole vocabulary. <pad> among the letters would shift the positions of NT-v1.
        drew_special = (labels != -100) & torch.isin(masked, self.special_ids)
        drawn = torch.randint(len(self.ordinary_ids), (int(drew_special.sum()),), generator=self.generator)
        masked[drew_special] = self.ordinary_ids[drawn]
        return masked, labels

    def mask_once(self, rows: Dataset) -> list[dict[str, list[int]]]:
        """
        Rows masked now and for good, so that every evaluation asks for the same tokens.

        Args:
            rows: Rows with `sequence`.

        Returns:
            A row each with `input_ids` and `labels`, which this collator only pads.
        """
        masked = []
        for row in rows:
            batch = self([row])
            masked.append({name: batch[name][0].tolist() for name in ("input_ids", "labels")})
        return masked


def _tokenize(
    tokenizer: PreTrainedTokenizerFast, rows: Sequence[dict[str, Any]], max_length: int | None
) -> dict[str, torch.Tensor]:
    batch = tokenizer(
        [row["sequence"] for row in rows],
        padding=True,
        truncation=max_length is not None,
        max_length=max_length,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    return dict(batch)


def _pad_masked(tokenizer: PreTrainedTokenizerFast, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    batch = tokenizer.pad([{"input_ids": row["input_ids"]} for row in rows], return_tensors="pt")
    batch["labels"] = torch.full_like(batch["input_ids"], -100)
    for labels, row in zip(batch["labels"], rows, strict=True):
        labels[: len(row["labels"])] = torch.tensor(row["labels"])
    return dict(batch)
