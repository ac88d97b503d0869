"""Token ids -> Nucleotide Transformer (native ESM, with NT-v2's gated feed-forward) -> hidden states, logits."""

from numbers import Integral

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
)
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs

from .configuration_nucleotide_transformer import NucleotideTransformerConfig


class RotaryEmbedding(nn.Module):
    """
    Rotary positions, as in ESM. The frequencies are computed in each forward pass, so that they are always float32
    (rounded to bfloat16, angles at token 2,000 are wrong by full turns), never saved, and never on the meta device.
    """

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__()
        self.config = config

    def frequencies(self, device: torch.device | None = None) -> torch.Tensor:
        """Radians per token, (head size / 2,)."""
        size, base = self.config.hidden_size // self.config.num_attention_heads, self.config.rope_theta
        if self.config.rescaling_factor is not None:
            # As in SegmentNT, https://github.com/instadeepai/nucleotide-transformer, layers/rotary_embedding.py
            base *= self.config.rescaling_factor ** (size / (size - 2))
        return 1.0 / base ** (torch.arange(0, size, 2, dtype=torch.float32, device=device) / size)

    @torch.no_grad()
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = position_ids[..., None].float() * self.frequencies(x.device)  # (batch, tokens, head size / 2)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class GatedIntermediate(nn.Module):
    """One projection without bias: its first half, through SiLU, gates its second (SwiGLU, arXiv:2002.05202)."""

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, value = self.dense(hidden_states).chunk(2, dim=-1)  # each (batch, tokens, intermediate)
        return nn.functional.silu(gate) * value


class NucleotideTransformerEncoder(EsmEncoder):
    """ESM's layers, with NT-v2's feed-forward where the configuration says so; it can stop after any of them."""

    def __init__(self, config: NucleotideTransformerConfig):
        super().__init__(config)
        if not config.add_bias_fnn:
            for layer in self.layer:
                layer.intermediate = GatedIntermediate(config)
                layer.output.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: torch.Tensor, num_layers: int, **kwargs):
        if num_layers == len(self.layer):
            return super().forward(hidden_states, **kwargs)
        for layer in self.layer[:num_layers]:
            hidden_states = layer(hidden_states, **kwargs)  # (batch, tokens, hidden)
        return BaseModelOutputWithCrossAttentions(last_hidden_state=hidden_states)


class NucleotideTransformerPreTrainedModel(EsmPreTrainedModel):
    """Base class of the encoder and all heads: loading never leaves random weights in the encoder."""

    config: NucleotideTransformerConfig
    # Published files also hold the rotary frequencies of each layer, the learned positions that v2 does not use, and
    # ESM's contact head; and any model may be loaded from a checkpoint with another head.
    _keys_to_ignore_on_load_unexpected = [
        r"position_embeddings\.weight|rotary_embeddings\.inv_freq|contact_head|^(lm_head|classifier)\."
    ]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """
        As `PreTrainedModel.from_pretrained`, but never with random weights in the encoder: a ValueError names them.

        A missing head is created, with a warning; a head of another size only with `ignore_mismatched_sizes=True`.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        # The error that transformers raises does not say which shapes differ.
        accepts_new_head = kwargs.pop("ignore_mismatched_sizes", False)
        model, info = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
        )
        # Prefix of the encoder's tensors.
        encoder = "" if isinstance(model, NucleotideTransformerModel) else f"{cls.base_model_prefix}."
        faults = [f"{name} is missing" for name in info["missing_keys"] if name.startswith(encoder)]
        faults += [f"{name} is left over" for name in info["unexpected_keys"] if "encoder.layer." in name]
        faults += [
            f"{name} is {tuple(found)}, not {tuple(expected)}"
            for name, found, expected in info["mismatched_keys"]
            if name.startswith(encoder) or not accepts_new_head
        ]
        if faults:
            raise ValueError(
                f"{pretrained_model_name_or_path}: {len(faults)} tensors differ from config.json: "
                f"{'; '.join(sorted(faults))}. Give the config.json of these weights, or, for a task head of another "
                "size, ignore_mismatched_sizes=True."
            )
        return (model, info) if wants_info else model


class NucleotideTransformerModel(NucleotideTransformerPreTrainedModel, EsmModel):
    """
    The encoder: token ids (batch, tokens) -> `last_hidden_state` (batch, tokens, hidden), after the final layer norm.

    `hidden_states[0]` are the embeddings, `hidden_states[i]` the output of layer i; the last entry is
    `last_hidden_state` (as in the JAX reference, after the layer norm).
    """

    def __init__(self, config: NucleotideTransformerConfig, add_pooling_layer: bool = False):
        if add_pooling_layer:
            raise ValueError("Got add_pooling_layer=True; a Nucleotide Transformer has no pooling layer.")
        # Skips EsmModel.__init__: its contact head gets no gradient, which DistributedDataParallel does not accept.
        EsmPreTrainedModel.__init__(self, config)
        self.embeddings = EsmEmbeddings(config)
        self.position_embedding_type = config.position_embedding_type
        self.rotary_embeddings = RotaryEmbedding(config) if config.position_embedding_type == "rotary" else None
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
        **kwargs: Unpack[TransformersKwargs],
    ):
        """
        As `EsmModel.forward`, up to `layer`: the index of `hidden_states` that becomes `last_hidden_state`, 0 = the
        embeddings, i = after layer i, -1 = the last, after the final layer norm. Deeper layers are not computed.
        """
        is_absolute = self.config.position_embedding_type == "absolute"
        given = input_ids if inputs_embeds is None else inputs_embeds
        if is_absolute and given is not None and given.shape[1] > self.config.max_tokens:
            raise ValueError(
                f"Got {given.shape[1]} tokens, but this model has learned positions for {self.config.max_tokens}, "
                "`<cls>` included; cut the sequence (max_length in the tokenizer) or embed it in pieces."
            )
        if inputs_embeds is not None and input_ids is None:
            # Given these, native ESM skips the rest of the embedding layer, such as NT-v1's position embeddings.
            if is_absolute and position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
                mask_BT = attention_mask.long()  # peft's is float
                position_ids = mask_BT.cumsum(dim=1) * mask_BT + self.config.pad_token_id
            if self.config.token_dropout:
                inputs_embeds = inputs_embeds * (1 - 0.15 * 0.8)  # as ESM scales a sequence without mask tokens
            inputs_embeds = self.embeddings(
                inputs_embeds=inputs_embeds, attention_mask=attention_mask, position_ids=position_ids
            )
        num_layers = self.num_layers_up_to(layer)
        as_tuple = kwargs.pop("return_dict", self.config.return_dict) is False
        outputs = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            num_layers=num_layers,
            return_dict=True,
            **kwargs,
        )
        if num_layers == 0 and outputs.hidden_states is not None:  # recorded by layers, of which none ran
            outputs["hidden_states"] = (outputs.last_hidden_state,)
        return outputs.to_tuple() if as_tuple else outputs

    def num_layers_up_to(self, layer: int) -> int:
        """How many layers have to be run for `hidden_states[layer]`; a ValueError if the model has no such layer."""
        return layers_up_to(layer, len(self.encoder.layer))


def layers_up_to(layer: int, num_layers: int) -> int:
    """How many of `num_layers` layers `layer` is behind, -1 being the last; a ValueError if there is none such."""
    is_whole = isinstance(layer, Integral) and not isinstance(layer, bool)
    if not (is_whole and -num_layers - 1 <= layer <= num_layers):
        raise ValueError(
            f"Got layer {layer!r}, but this model has {num_layers} layers: give 0 (embeddings) to {num_layers}, "
            f"or -1 (last) to {-num_layers - 1}."
        )
    return int(layer) % (num_layers + 1)


class NucleotideTransformerForMaskedLM(NucleotideTransformerPreTrainedModel, EsmForMaskedLM):
    """The encoder with the head it was pre-trained with: token ids -> `logits` (batch, tokens, vocabulary)."""

    def __init__(self, config: NucleotideTransformerConfig):
        # Skips EsmForMaskedLM.__init__ for the same reason; likewise in the heads below.
        EsmPreTrainedModel.__init__(self, config)
        self.esm = NucleotideTransformerModel(config)
        self.lm_head = EsmLMHead(config)
        self.post_init()

    def resize_token_embeddings(self, *args, **kwargs) -> nn.Embedding:
        """As in transformers; the head's bias is resized as well, with zeros for new tokens."""
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        bias, num_tokens = self.lm_head.bias, embeddings.num_embeddings
        padded = nn.functional.pad(bias.detach(), (0, num_tokens - len(bias)))  # a negative number cuts off
        self.lm_head.bias = nn.Parameter(padded, requires_grad=bias.requires_grad)
        return embeddings


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

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ):
        """As ESM's, but in evaluation mode without labels, more tokens than the model's positions are a ValueError."""
        most = self.config.max_tokens
        if labels is None and not self.training and input_ids is not None and input_ids.shape[1] > most:
            # transformers' own pipeline has the tokenizer cut the input, without a message. That of a checkpoint cuts
            # after one token too many, so that the pipeline ends here.
            is_2d = attention_mask is not None and attention_mask.dim() == 2
            if not is_2d or attention_mask.sum(dim=1).max() > most:
                raise ValueError(
                    f"Got a sequence of more than {most} tokens, `<cls>` included. To label all of it, give "
                    "pipeline('token-classification', trust_remote_code=True) the name of the checkpoint instead of "
                    f"a model object; to cut it, give the tokenizer max_length={most} and truncation=True."
                )
        return super().forward(input_ids, attention_mask, position_ids, inputs_embeds, labels, **kwargs)
