"""Masked tokens of each sequence: `--task mlm`."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast, TrainerCallback

from dnahub.tasks.classes import ClassTask
from dnahub.tasks.collators import pad
from dnahub.tasks.labels import IGNORED, refuse_separator
from dnahub.tasks.task import Labels, Task

# Of the tokens; of these the shares that become <mask> and another token, the rest stays: BERT, and NT's Methods.
MLM_PROBABILITY = 0.15
MASKED_SHARE, REPLACED_SHARE = 0.8, 0.1
UNIGRAM_ROWS = 10_000  # of train, from which the frequencies of tokens are taken


class MaskingCollator(TrainerCallback):
    """
    Rows with `input_ids` -> masked `input_ids`, `attention_mask` and `labels` (batch, tokens), -100 where unmasked.

    15 % of the tokens are drawn, never special ones; of these 80 % become `<mask>`, 10 % a token that is not special,
    and 10 % stay. What is drawn depends on the seed, the epoch (which the Trainer tells it, as a callback) and the row
    alone: it is the same in every process and batch, and in a resumed run. transformers' own collator draws from the
    process's generator, and special tokens, too, of which `<pad>` would shift the positions of NT-v1.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int):
        if tokenizer.mask_token is None:
            raise ValueError(
                "The tokenizer of this model has no mask token: give --task mlm a model that was pre-trained by masked"
                " language modelling, or name the mask_token in its tokenizer_config.json."
            )
        self.tokenizer = tokenizer
        self.seed = seed
        self.epoch = 0
        self.ordinary_ids = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        masked = rows if "labels" in rows[0] else [self.mask(row["input_ids"]) for row in rows]
        batch = pad(self.tokenizer, [row["input_ids"] for row in masked])
        labels = [torch.as_tensor(row["labels"]) for row in masked]
        batch["labels"] = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return batch

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.epoch = int(round(state.epoch, 6))  # a resumed run begins within one

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
        """Rows masked for good, one token at least: every evaluation asks for the same."""
        masked = [self.mask(ids) for ids in rows["input_ids"]]
        if all((row["labels"] == IGNORED).all() for row in masked):  # a few short rows
            last = masked[0]["input_ids"].copy()
            place = int(np.flatnonzero(np.isin(last, self.ordinary_ids))[-1])
            masked[0]["labels"][place], masked[0]["input_ids"][place] = last[place], self.tokenizer.mask_token_id
        return masked


class MaskedLM(Task):
    """No labels but the tokens themselves; the head is that of the base model."""

    head = "masked_lm"
    auto_class = "AutoModelForMaskedLM"
    metrics = ("loss", "perplexity", "masked_accuracy")
    takes_labels = False
    smooths_labels = True
    pipeline = "dna-embedding"
    native_pipeline = hub_tag = "fill-mask"
    item = "token"

    def encode(self, splits: DatasetDict, column: str, separator: str | None = None) -> tuple[DatasetDict, Labels]:
        refuse_separator(separator)
        return splits, Labels([], 0)

    def head_fields(self, labels: Labels) -> dict[str, Any]:
        return {}

    def collator(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> MaskingCollator:
        return MaskingCollator(tokenizer, seed)

    def evaluation_rows(self, rows: Dataset, tokenizer: PreTrainedTokenizerFast, seed: int) -> list[dict]:
        return MaskingCollator(tokenizer, seed).mask_once(rows)

    loss = ClassTask.loss

    @staticmethod
    def outputs_kept(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of each token whether the likeliest is the true one, and its loss: (batch, tokens, 2)."""
        losses = cross_entropy(logits.float().transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
        return torch.stack([(logits.argmax(dim=-1) == labels).float(), losses], dim=-1)

    def mean_loss(self, outputs: np.ndarray, labels: np.ndarray) -> float:
        return float(outputs[labels != IGNORED, 1].mean(dtype=np.float64))

    def measure(self, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
        """Perplexity is the exponential of the loss; both are of the masked tokens alone."""
        right, losses = outputs[labels != IGNORED].T
        if not len(right):
            return {"perplexity": None, "masked_accuracy": None}
        perplexity = float(np.exp(losses.mean(dtype=np.float64)))
        return {
            "perplexity": perplexity if math.isfinite(perplexity) else None,
            "masked_accuracy": float(right.mean(dtype=np.float64)),
        }

    def references(
        self, labels: np.ndarray, train: Dataset, vocabulary_size: int, special_ids: Sequence[int]
    ) -> dict[str, float]:
        """The losses of the frequencies of ordinary tokens in train, plus one each, and of uniform ones."""
        counts = np.ones(vocabulary_size)
        for row in train.take(UNIGRAM_ROWS):
            counts += np.bincount(row["input_ids"], minlength=vocabulary_size)
        counts[special_ids] = 0  # which are never masked
        true = labels[labels != IGNORED]
        return {
            "unigram_loss": float(-np.log(counts[true] / counts.sum()).mean()),
            "uniform_loss": math.log(vocabulary_size),
        }

    def title(self, labels: Labels) -> str:
        return "trained by masked language modelling"

    def summary(self, labels: Labels) -> str:
        return "It predicts masked tokens of a DNA sequence."


TASK = MaskedLM()
