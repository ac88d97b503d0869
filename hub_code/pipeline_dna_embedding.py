"""DNA sequences -> embeddings, by `pipeline("dna-embedding")`."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import Pipeline
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import logging

from .tokenization_nucleotide_transformer import count_replaced

logger = logging.get_logger(__name__)

POOLINGS = ("mean", "mean_without_cls", "cls", "max", "none")


def pool(hidden_states_BTH: torch.Tensor, attention_mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """
    One vector a sequence out of its tokens' vectors, in float32; padding never takes part.

    Args:
        hidden_states_BTH: Tokens' vectors, (batch, tokens, hidden), `<cls>` first, padded on the right.
        attention_mask_BT: 1 for tokens, 0 for padding.
        pooling: `"mean"` over all tokens, `<cls>` included, as in the model card of NT; `"mean_without_cls"`;
            `"cls"`; `"max"` over all tokens; `"none"` gives the tokens' vectors back.

    Returns:
        (batch, hidden), for `"none"` (batch, tokens, hidden).
    """
    hidden_states_BTH = hidden_states_BTH.float()
    if pooling == "none":
        return hidden_states_BTH
    if pooling == "cls":
        return hidden_states_BTH[:, 0]
    mask_BT1 = attention_mask_BT[..., None].bool()
    if pooling == "max":
        return hidden_states_BTH.masked_fill(~mask_BT1, -torch.inf).amax(dim=1)
    if pooling == "mean_without_cls":
        hidden_states_BTH, mask_BT1 = hidden_states_BTH[:, 1:], mask_BT1[:, 1:]
    return hidden_states_BTH.masked_fill(~mask_BT1, 0.0).sum(dim=1) / mask_BT1.sum(dim=1)


class DNAEmbeddingPipeline(Pipeline):
    """
    DNA sequences -> one float32 vector each; the same vector whatever the batch or the order.

    A string gives an array, a list a list in the same order; a generator, a `datasets` column or any other iterable
    of strings is streamed. Lower case is read as upper case, U as T, white space is dropped; any other character is
    read as N, with one warning, and `num_replaced` counts them all. The arguments below are taken by `pipeline(...)`
    and by the call, which goes first.

    Args:
        pooling (`str`, default `"mean"`): `"mean"` (over all tokens, `<cls>` included), `"mean_without_cls"`, `"cls"`,
            `"max"`, or `"none"` (the tokens' vectors).
        layer (`int`, default -1): 0 = the embeddings, i = after layer i, -1 = the last, after the final layer norm.
            Deeper layers are not computed.
        max_length (`int`, default none): Tokens to keep, `<cls>` included; the rest of the sequence is cut off.
            Without it a sequence longer than the model's positions is an error.
        normalize (`bool`, default `False`): Whether to scale each vector to Euclidean length 1.
        batch_size (`int`, default 1): Sequences a forward pass.

    Returns:
        (hidden,) a sequence; with `pooling="none"` (tokens, hidden).

    Raises:
        ValueError: For an argument out of range, an empty sequence, or one that is too long.
    """

    _arguments = ("pooling", "layer", "max_length", "normalize")
    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, *args, **kwargs):
        self.num_replaced = 0
        super().__init__(*args, **kwargs)

    def save_pretrained(self, save_directory, **kwargs) -> None:
        """As `Pipeline.save_pretrained`, which takes this file along only where the task is registered."""
        super().save_pretrained(save_directory, **kwargs)
        custom_object_save(self, save_directory)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        preprocess, forward, postprocess = {}, {}, {}
        for name, value in parameters.items():
            if name == "pooling":
                if value not in POOLINGS:
                    raise ValueError(f"Got pooling {value!r}; it is one of {', '.join(POOLINGS)}.")
                forward[name] = postprocess[name] = value
            elif name == "layer":
                self.model.base_model.num_layers_up_to(value)  # raises where there is no such layer
                forward[name] = value
            elif name == "max_length":
                limit = self.model.config.max_tokens
                if value is not None and not (isinstance(value, int) and 2 <= value <= limit):
                    raise ValueError(f"Got max_length {value!r}; this model takes 2 to {limit} tokens, with `<cls>`.")
                preprocess[name] = value
            elif name == "normalize":
                if not isinstance(value, bool):
                    raise ValueError(f"Got normalize {value!r}; it is True or False.")
                forward[name] = value
            else:
                raise ValueError(
                    f"Got the argument {name!r}; this pipeline takes {', '.join(self._arguments)} and batch_size."
                )
        return preprocess, forward, postprocess

    def __call__(self, inputs: str | Iterable[str], **kwargs: Any) -> np.ndarray | list[np.ndarray] | Iterator:
        if isinstance(inputs, (list, tuple)):
            return super().__call__(list(inputs), **kwargs) if inputs else []
        if isinstance(inputs, (str, Dataset)):
            return super().__call__(inputs, **kwargs)
        if isinstance(inputs, (bytes, dict)) or not isinstance(inputs, Iterable):
            raise ValueError(f"Got {type(inputs).__name__}; give a DNA sequence as a string, or an iterable of them.")
        return super().__call__((sequence for sequence in inputs), **kwargs)

    def preprocess(self, sequence: str, max_length: int | None = None) -> dict[str, torch.Tensor]:
        if not isinstance(sequence, str):
            raise ValueError(f"Got {type(sequence).__name__} for a DNA sequence; give a string.")
        if not sequence or sequence.isspace():
            raise ValueError("Got an empty sequence, which has no embedding; leave it out.")
        # Cut here: the tokenizer's own truncation is a setting of it, which threads would share. The names of special
        # tokens are letters like any other here.
        ids = self.tokenizer(sequence, split_special_tokens=True, verbose=False).input_ids[:max_length]
        limit = self.model.config.max_tokens
        if len(ids) > limit:
            raise ValueError(
                f"Got a sequence of {len(sequence)} characters, {len(ids)} tokens, but this model takes "
                f"{limit}, `<cls>` included (about {6 * (limit - 1)} nt): give max_length to cut it, or embed it in "
                "pieces."
            )
        return {
            "input_ids": torch.tensor([ids]),  # (1, tokens)
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            "num_replaced": torch.tensor([count_replaced(sequence)]),
        }

    def _forward(
        self, inputs: dict[str, torch.Tensor], pooling: str = "mean", layer: int = -1, normalize: bool = False
    ) -> dict[str, torch.Tensor]:
        attention_mask_BT = inputs["attention_mask"]
        encoder = self.model.base_model
        hidden_states_BTH = encoder(
            inputs["input_ids"], attention_mask=attention_mask_BT, layer=layer, return_dict=True
        ).last_hidden_state
        return {
            "embedding": self._embedding(hidden_states_BTH, attention_mask_BT, pooling, normalize),
            "attention_mask": attention_mask_BT,
            "num_replaced": inputs["num_replaced"],
        }

    def _embedding(self, hidden_states_BTH, attention_mask_BT, pooling: str, normalize: bool) -> torch.Tensor:
        embedding = pool(hidden_states_BTH, attention_mask_BT, pooling)
        return torch.nn.functional.normalize(embedding, dim=-1) if normalize else embedding

    def postprocess(self, outputs: dict[str, torch.Tensor], pooling: str = "mean") -> np.ndarray:
        self._count(int(outputs["num_replaced"]))
        embedding = outputs["embedding"][0]
        if pooling == "none":
            embedding = embedding[outputs["attention_mask"][0].bool()]
        return embedding.numpy()

    def _count(self, num_replaced: int) -> None:
        if num_replaced and not self.num_replaced:
            logger.warning(
                f"{num_replaced} characters of a sequence are none of A, C, G, T, U, N and were read as N; further "
                "ones are counted in `num_replaced` of this pipeline without a warning."
            )
        self.num_replaced += num_replaced
