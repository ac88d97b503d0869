"""Token ids -> Nucleotide Transformer (native ESM, with NT-v2's gated feed-forward) -> hidden states, logits."""

import re

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithCrossAttentions
from transformers.models.esm.modeling_esm import (
    EsmClassificationHead,
    EsmEmbeddings,
    EsmEncoder,
    EsmForMaskedLM,
    EsmForSequenceClassification,
    EsmForTokenClassification,
    EsmLMHead,
    EsmModel,
    EsmPreTrainedModel,
    EsmRotaryEmbedding,
)

from .configuration_nucleotide_transformer import NucleotideTransformerConfig


class Float32RotaryEmbedding(EsmRotaryEmbedding):
    """ESM's rotary positions; the frequencies are neither saved nor rounded by `model.to(torch.bfloat16)`."""

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__(config)
        self.inv_freq = nn.Buffer(self.inv_freq, persistent=False)  # (head_dim / 2,)

    def _apply(self, fn, recurse: bool = True):
        # bfloat16 keeps 8 bits: at token 2,000 a rounded frequency is off by whole turns.
        super()._apply(fn, recurse)
        if self.inv_freq.dtype != torch.float32:
            exact, _ = self.compute_default_rope_parameters(self.config)
            self.inv_freq = nn.Buffer(exact.to(self.inv_freq.device), persistent=False)
        return self


class GatedIntermediate(nn.Module):
    """One projection without bias: its first half, through SiLU, gates its second (SwiGLU, arXiv:2002.05202)."""

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, value = self.dense(hidden_states).chunk(2, dim=-1)  # each (batch, tokens, intermediate)
        return nn.functional.silu(gate) * value


class GatedOutput(nn.Module):
    """Back to the hidden size without bias, added to the residual stream."""

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.dense(hidden_states)) + input_tensor  # (batch, tokens, hidden)


class NucleotideTransformerEncoder(EsmEncoder):
    """ESM's layers, with NT-v2's feed-forward where the configuration says so; it can stop after any of them."""

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__(config)
        if not config.add_bias_fnn:
            for layer in self.layer:
                layer.intermediate = GatedIntermediate(config)
                layer.output = GatedOutput(config)

    def forward(self, hidden_states: torch.Tensor, num_layers: int, **kwargs):
        if num_layers == len(self.layer):
            return super().forward(hidden_states, **kwargs)
        for layer in self.layer[:num_layers]:
            hidden_states = layer(hidden_states, **kwargs)  # (batch, tokens, hidden)
        return BaseModelOutputWithCrossAttentions(last_hidden_state=hidden_states)


class NucleotideTransformerPreTrainedModel(EsmPreTrainedModel):
    """What the encoder and all heads share: the configuration, and loading that never invents encoder weights."""

    config: NucleotideTransformerConfig
    # Published files also hold the rotary frequencies of each layer, which are computed here once for all layers, the
    # learned positions that v2 does not use, and ESM's contact head that no NT has.
    _keys_to_ignore_on_load_unexpected = [
        r"position_embeddings\.weight",
        r"rotary_embeddings\.inv_freq",
        r"contact_head",
    ]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """
        Load a folder or Hub id in our layout or the published one, v1 or v2; no remote code is run.

        As `PreTrainedModel.from_pretrained`, except that weights are never made up for the encoder. A task head that
        the checkpoint lacks is created, and transformers' load report, a warning, names its tensors.

        Raises:
            ValueError: If a tensor of the encoder is missing or left over, or if one has another shape than the
                configuration says (one of the task head: unless `ignore_mismatched_sizes=True`).
        """
        wants_info = kwargs.pop("output_loading_info", False)
        # transformers' own error on shapes says only "see the report above": collect them, and name them below.
        accepts_new_head = kwargs.pop("ignore_mismatched_sizes", False)
        model, info = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
        )

        def in_encoder(name: str) -> bool:
            return isinstance(model, NucleotideTransformerModel) or name.startswith(f"{cls.base_model_prefix}.")

        missing = sorted(name for name in info["missing_keys"] if in_encoder(name))
        if missing:
            raise ValueError(
                f"{pretrained_model_name_or_path}: the checkpoint lacks {len(missing)} tensors of the encoder: "
                f"{', '.join(missing)}. Give a complete checkpoint of this configuration."
            )
        misshapen = sorted(
            f"{name} is {tuple(found)}, not {tuple(expected)}"
            for name, found, expected in info["mismatched_keys"]
            if in_encoder(name) or not accepts_new_head
        )
        if misshapen:
            raise ValueError(
                f"{pretrained_model_name_or_path}: tensors do not have the shape that config.json says: "
                f"{'; '.join(misshapen)}. Give the config.json that belongs to these weights, or, for a task head "
                "of another size, ignore_mismatched_sizes=True."
            )
        left_over = sorted(name for name in info["unexpected_keys"] if re.match(r"(esm\.)?encoder\.layer\.", name))
        if left_over:
            raise ValueError(
                f"{pretrained_model_name_or_path}: {len(left_over)} tensors of the encoder have no place in the model "
                f"that config.json describes, such as {left_over[0]}. Give the config.json of these weights."
            )
        return (model, info) if wants_info else model


class NucleotideTransformerModel(NucleotideTransformerPreTrainedModel, EsmModel):
    """
    The encoder: token ids (batch, tokens) -> `last_hidden_state` (batch, tokens, hidden), after the final layer norm.

    `hidden_states[0]` are the embeddings, `hidden_states[i]` the output of layer i; the last entry is
    `last_hidden_state` (as in the JAX reference, after the layer norm).
    """

    # An encoder taken out of a checkpoint with a task head leaves the head behind.
    _keys_to_ignore_on_load_unexpected = [
        *NucleotideTransformerPreTrainedModel._keys_to_ignore_on_load_unexpected,
        r"^lm_head\.",
        r"^classifier\.",
    ]

    def __init__(self, config: NucleotideTransformerConfig):
        # Past EsmModel.__init__: it would build ESM's own feed-forward first, and a
        # contact head that NT never uses, whose weights would have no gradient: DistributedDataParallel refuses that.
        EsmPreTrainedModel.__init__(self, config)
        self.embeddings = EsmEmbeddings(config)
        self.position_embedding_type = config.position_embedding_type
        self.rotary_embeddings = Float32RotaryEmbedding(config) if config.position_embedding_type == "rotary" else None
        self.encoder = NucleotideTransformerEncoder(config)
        self.pooler = None
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        layer: int = -1,
        **kwargs,
    ):
        """
        As `EsmModel.forward`, up to a layer.

        Args:
            layer (`int`, default -1): Which of the `hidden_states` is to be `last_hidden_state`: 0 = the embeddings,
                i = after layer i, -1 = the last, after the final layer norm. Deeper layers are not computed.

        Raises:
            ValueError: If the model has no such layer, or if the input is longer than the learned positions of an
                NT-v1 reach.
        """
        if self.config.position_embedding_type == "absolute" and not (input_ids is None and inputs_embeds is None):
            num_tokens = (inputs_embeds if input_ids is None else input_ids).shape[1]
            if num_tokens > self.config.max_tokens:
                raise ValueError(
                    f"Got {num_tokens} tokens, but this model has learned positions for {self.config.max_tokens}, "
                    "`<cls>` included; cut the sequence (max_length in the tokenizer) or embed it in pieces."
                )
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            num_layers=self.num_layers_up_to(layer),
            **kwargs,
        )

    def num_layers_up_to(self, layer: int) -> int:
        """
        How many layers have to be run for `hidden_states[layer]`.

        Raises:
            ValueError: If the model has no such layer.
        """
        num_layers = len(self.encoder.layer)
        if not isinstance(layer, int) or not -num_layers - 1 <= layer <= num_layers:
            raise ValueError(
                f"Got layer {layer!r}, but this model has {num_layers} layers: give 0 (embeddings) to {num_layers}, "
                f"or -1 (last) to {-num_layers - 1}."
            )
        return layer % (num_layers + 1)


class NucleotideTransformerForMaskedLM(NucleotideTransformerPreTrainedModel, EsmForMaskedLM):
    """The encoder with the head it was pre-trained with: token ids -> `logits` (batch, tokens, vocabulary)."""

    def __init__(self, config: NucleotideTransformerConfig):
        # Past EsmForMaskedLM.__init__ for the same reason, and so in the heads below.
        EsmPreTrainedModel.__init__(self, config)
        self.esm = NucleotideTransformerModel(config)
        self.lm_head = EsmLMHead(config)
        self.post_init()


class NucleotideTransformerForSequenceClassification(
    NucleotideTransformerPreTrainedModel, EsmForSequenceClassification
):
    """The encoder with ESM's classification head on `<cls>`: token ids -> `logits` (batch, labels)."""

    def __init__(self, config: NucleotideTransformerConfig):
        EsmPreTrainedModel.__init__(self, config)
        self.num_labels = config.num_labels
        self.esm = NucleotideTransformerModel(config)
        self.classifier = EsmClassificationHead(config)
        self.post_init()


class NucleotideTransformerForTokenClassification(NucleotideTransformerPreTrainedModel, EsmForTokenClassification):
    """The encoder with a linear head on each token: token ids -> `logits` (batch, tokens, labels)."""

    def __init__(self, config: NucleotideTransformerConfig):
        EsmPreTrainedModel.__init__(self, config)
        self.num_labels = config.num_labels
        self.esm = NucleotideTransformerModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


# So that `save_pretrained` copies this file and its imports beside the weights.
NucleotideTransformerModel.register_for_auto_class("AutoModel")
NucleotideTransformerForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")
NucleotideTransformerForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
NucleotideTransformerForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
