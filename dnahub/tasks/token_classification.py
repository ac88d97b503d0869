"""One class of each token: `--task token_classification`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset, DatasetDict, List, Value
from transformers import PreTrainedTokenizerFast

from dnahub.tasks.classes import ClassTask, balanced_weights
from dnahub.tasks.collators import pad
from dnahub.tasks.labels import IGNORED, as_ids, label_array, read_columns, refuse_separator, with_labels
from dnahub.tasks.task import Labels


def token_label_batch(tokenizer: PreTrainedTokenizerFast, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows with `input_ids` and `label` -> batch; `labels` are -100 at padding and added tokens."""
    batch = pad(tokenizer, [row["input_ids"] for row in rows])
    added_ids = torch.tensor(tokenizer("").input_ids)  # not <unk>, which may stand for DNA
    labelled = batch["attention_mask"].bool() & ~torch.isin(batch["input_ids"], added_ids)
    counts = labelled.sum(dim=1).tolist()  # a cut sequence has more labels than tokens
    labels = [label for row, count in zip(rows, counts, strict=True) for label in row["label"][:count]]
    batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
    batch["labels"][labelled] = torch.tensor(labels)
    return batch


class TokenClassification(ClassTask):
    """`label` is a list of ids, one a token, `<cls>` not counted; -100, or null, where a token has none."""

    head = "token"
    auto_class = "AutoModelForTokenClassification"
    pipeline = native_pipeline = hub_tag = "token-classification"
    item = "token"
    usage = ("label", "entity, score, word, start and end of each token")

    def encode(self, splits: DatasetDict, column: str, separator: str | None = None) -> tuple[DatasetDict, Labels]:
        refuse_separator(separator)
        expected = "--task token_classification takes a list of labels a row, as JSON Lines and Parquet can hold"
        columns = read_columns(splits, column, in_lists=True, expected=expected)
        ids, names = as_ids(columns, column, fewest=2, may_lack=True)
        encoded = {}
        for split, rows in splits.items():
            starts = np.concatenate([[0], ids[split].numbers.cumsum()]).astype(np.int32)
            lists = pa.ListArray.from_arrays(starts, ids[split].values.fill_null(IGNORED))
            encoded[split] = with_labels(rows, column, lists, List(Value("int64")))
        return DatasetDict(encoded), Labels(names, len(names))

    def row_labels(self, rows: Dataset) -> tuple[np.ndarray, np.ndarray]:
        labels = label_array(rows)
        pairs = np.stack([pc.list_parent_indices(labels).to_numpy(), labels.flatten().to_numpy()])
        return tuple(np.unique(pairs[:, pairs[1] != IGNORED], axis=1))

    def collator(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> partial:
        return partial(token_label_batch, tokenizer)

    def class_weights(self, rows: Dataset, num_labels: int) -> torch.Tensor:
        return balanced_weights(label_array(rows).flatten().to_numpy(), num_labels)

    def title(self, labels: Labels) -> str:
        return "fine-tuned to label each token of a DNA sequence"

    def summary(self, labels: Labels) -> str:
        return f"It gives each token of a DNA sequence one of: {', '.join(labels.names)}."


TASK = TokenClassification()
