"""Layers that never change -> their activations, computed once for all epochs.

With `--tuning head` and `--tuning frozen`, the embeddings and the first layers give the same activations for a
sequence in every epoch. Here they are computed once; the Trainer then sees a model that begins above them.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import PreTrainedModel, Trainer

from hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from training.collators import IGNORED

# Activations of a split beyond this lie in a file, of which the system keeps in memory what there is room for.
MEMORY_LIMIT_BYTES = 2**30
# Tokens of a batch of the one pass over the frozen layers.
BATCH_TOKENS = 4096


@dataclass
class Activations(torch.utils.data.Dataset):
    """
    Args:
        hidden: Of all sequences, one after another, float32, (all tokens, hidden).
        ends: Where each sequence ends in it, (sequences,).
        labels: Of each sequence, as the collator made them, without padding.
    """

    hidden: np.ndarray
    ends: np.ndarray
    labels: list[torch.Tensor]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        start = self.ends[i - 1] if i else 0
        return {"hidden": torch.from_numpy(self.hidden[start : self.ends[i]]), "labels": self.labels[i]}


def collate_activations(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Rows of `Activations` -> `inputs_embeds` (batch, tokens, hidden), `attention_mask` (batch, tokens), `labels`."""
    hidden = [row["hidden"] for row in rows]
    ones = [torch.ones(len(each), dtype=torch.long) for each in hidden]
    labels = [row["labels"] for row in rows]
    per_token = labels[0].ndim > 0  # or several for the sequence, which are equally many
    return {
        "inputs_embeds": pad_sequence(hidden, batch_first=True),
        "attention_mask": pad_sequence(ones, batch_first=True),
        "labels": pad_sequence(labels, True, padding_value=IGNORED) if per_token else torch.stack(labels),
    }


def num_frozen_layers(model: PreTrainedModel) -> int:
    """
    How many of the first layers give the same activations in every epoch.

    Returns:
        0 if something in or below them is trained, if they drop out at random, or if the model is no NT, which alone
        can begin above them.
    """
    if not isinstance(model, NucleotideTransformerPreTrainedModel):
        return 0
    config = model.config
    embeddings = model.base_model.embeddings
    if any(parameter.requires_grad for parameter in embeddings.parameters()):
        return 0
    if config.hidden_dropout_prob or config.attention_probs_dropout_prob:
        return 0
    for i, layer in enumerate(model.base_model.encoder.layer):
        if any(parameter.requires_grad for parameter in layer.parameters()):
            return i
    return len(model.base_model.encoder.layer)


@contextmanager
def activations_reused(trainer: Trainer, folder: Path) -> Iterator[None]:
    """
    Within it, the trainer trains and evaluates on activations of the frozen layers; after it, all is as before.

    Args:
        trainer: Of one process, with a `LabelCollator`; its model has `num_frozen_layers` above 0, its rows have
            `input_ids` and `label`.
        folder: Where a file may lie meanwhile.
    """
    model, encoder = trainer.model, trainer.model.base_model.encoder
    num_frozen = num_frozen_layers(model)
    layers, norm = encoder.layer, encoder.emb_layer_norm_after
    before = trainer.train_dataset, trainer.eval_dataset, trainer.data_collator
    whole = num_frozen == len(layers)  # then the head is all that is trained
    with tempfile.TemporaryDirectory(prefix=".activations-", dir=folder) as scratch:
        activations = [
            _compute(trainer, rows, num_frozen, Path(scratch) / name)
            for name, rows in (("train", trainer.train_dataset), ("validation", trainer.eval_dataset))
        ]
        try:
            encoder.layer = nn.ModuleList(layers[num_frozen:])
            if whole:  # the activations of the last layer are those after the norm
                encoder.emb_layer_norm_after = nn.Identity()
            trainer.train_dataset, trainer.eval_dataset = activations
            trainer.data_collator = collate_activations
            yield
        finally:
            encoder.layer, encoder.emb_layer_norm_after = layers, norm
            trainer.train_dataset, trainer.eval_dataset, trainer.data_collator = before


def _compute(trainer: Trainer, rows: Dataset, num_layers: int, file: Path) -> Activations:
    """One pass over the frozen layers, shortest sequences first."""
    encoder, device = trainer.model.base_model, trainer.args.device
    encoder.to(device).eval()
    of_tokens = trainer.data_collator.problem == "token_classification"
    # The head on sequences looks at <cls> alone.
    cls_alone = num_layers == len(encoder.encoder.layer) and not of_tokens
    lengths = np.array([len(ids) for ids in rows["input_ids"]])
    kept = np.ones_like(lengths) if cls_alone else lengths
    ends = np.cumsum(kept)
    shape = (int(ends[-1]), encoder.config.hidden_size)
    in_memory = shape[0] * shape[1] * np.float32().itemsize <= MEMORY_LIMIT_BYTES
    hidden = np.empty(shape, np.float32) if in_memory else np.memmap(file, np.float32, "w+", shape=shape)
    labels: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    progress = tqdm(total=len(rows), desc="activations of frozen layers", disable=trainer.args.disable_tqdm)
    for batch in _batches(np.argsort(lengths, kind="stable"), lengths):
        inputs = trainer.data_collator([rows[i] for i in batch])
        targets = inputs.pop("labels")
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        with torch.no_grad(), trainer.autocast_smart_context_manager():
            states = encoder(**inputs, layer=num_layers).last_hidden_state.float().cpu().numpy()
        for i, state, target in zip(batch, states, targets, strict=True):
            hidden[ends[i] - kept[i] : ends[i]] = state[: kept[i]]
            labels[i] = target[: lengths[i]] if of_tokens else target
        progress.update(len(batch))
    progress.close()
    return Activations(hidden, ends, labels)


def _batches(order: np.ndarray, lengths: np.ndarray) -> Iterator[list[int]]:
    """Indices in that order, cut so that no padded batch has more than BATCH_TOKENS tokens, if it has two rows."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[i] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(int(i))
    if batch:
        yield batch
