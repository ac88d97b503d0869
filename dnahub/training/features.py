"""Frozen encoder -> its output at `<cls>` for each sequence, computed once, on which the head is trained."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, Trainer
from transformers.modeling_outputs import BaseModelOutput

from dnahub.hub_code import NucleotideTransformerForSequenceClassification


def has_fixed_features(model: PreTrainedModel) -> bool:
    """Whether the head sees one vector, the same in every epoch: nothing of the encoder is trained or drops out."""
    if not isinstance(model, NucleotideTransformerForSequenceClassification):
        return False
    if model.config.hidden_dropout_prob or model.config.attention_probs_dropout_prob:
        return False
    return not any(parameter.requires_grad for parameter in model.base_model.parameters())


@contextmanager
def features_computed_once(trainer: Trainer) -> Iterator[None]:
    """Within it, the trainer, of one process, uses features of the sequences; model and checkpoints stay whole."""
    encoder = trainer.model.base_model
    before = trainer.train_dataset, trainer.eval_dataset, trainer.data_collator
    trainer.train_dataset, trainer.eval_dataset = (_compute(trainer, rows) for rows in before[:2])
    trainer.data_collator = collate_features
    encoder.forward = lambda *_, inputs_embeds, **__: BaseModelOutput(last_hidden_state=inputs_embeds)
    try:
        yield
    finally:
        del encoder.forward  # of this instance
        trainer.train_dataset, trainer.eval_dataset, trainer.data_collator = before


def collate_features(rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Features (hidden,) and labels of each row -> `inputs_embeds` (batch, 1, hidden) and `labels`."""
    return {
        "inputs_embeds": torch.stack([row["features"] for row in rows])[:, None],
        "labels": torch.stack([row["labels"] for row in rows]),
    }


def _compute(trainer: Trainer, rows: Dataset) -> list[dict[str, torch.Tensor]]:
    """One pass over the encoder, shortest sequences first, so that little is padded."""
    encoder, device = trainer.model.base_model, trainer.args.device
    encoder.to(device).eval()
    order = np.argsort([len(ids) for ids in rows["input_ids"]], kind="stable")
    features: list[dict[str, torch.Tensor]] = [{}] * len(rows)
    batches = np.array_split(order, range(trainer.args.eval_batch_size, len(order), trainer.args.eval_batch_size))
    for batch in tqdm(batches, desc="features of the frozen encoder", disable=trainer.args.disable_tqdm):
        inputs = trainer.data_collator([rows[int(i)] for i in batch])
        labels = inputs.pop("labels")
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        with torch.no_grad(), trainer.accelerator.autocast():
            at_cls = encoder(**inputs).last_hidden_state[:, 0].float().cpu()  # (batch, hidden)
        for i, vector, label in zip(batch, at_cls, labels, strict=True):
            features[i] = {"features": vector, "labels": label}
    return features
