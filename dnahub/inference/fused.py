"""Weights of an NT-v2 encoder -> the same hidden states on a CPU, in fewer passes over the memory."""

import math
import threading

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from dnahub.hub_code.modeling_nucleotide_transformer import GatedIntermediate, NucleotideTransformerModel

# Up to this many tokens plain batched products take less time than the fused kernel, whose soft-max goes row by row:
# 0.56 and 0.86 ms at 11 tokens, equal at 21 (64 windows, 16 heads, two cores).
SHORT_TOKENS = 16
# Up to this many tokens of a batch, a thread keeps what a layer writes into: 26 MB of NT-v2-50m. Longer sequences are
# rare, and their twelve layers and more share it all the same.
KEPT_TOKENS = 1024


def can_fuse(model: NucleotideTransformerModel) -> bool:
    """Whether `FusedEncoder` computes what this encoder does: NT-v2 in float32 on a CPU, its layers unchanged."""
    config = model.config
    adapted = ("query", "key", "value", "dense", "word_embeddings", "LayerNorm", "emb_layer_norm_after")
    modules = [module for name, module in model.named_modules() if name.endswith(adapted)]
    return (
        config.position_embedding_type == "rotary"
        and not (config.token_dropout or config.emb_layer_norm_before or config.is_decoder)
        and all(type(layer.intermediate) is GatedIntermediate for layer in model.encoder.layer)
        and all(type(module) in (nn.Linear, nn.Embedding, nn.LayerNorm) for module in modules)  # no adapter around it
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())
        and not model.training
    )


class FusedEncoder:
    """
    The forward pass of `NucleotideTransformerModel`, for inference on a CPU.

    Query, key and value are one product; residuals are added by the products themselves. What a layer writes goes into
    memory that each thread keeps, for the system clears fresh memory first, which takes a fifth of the time. The
    weights are those of the model, but for copies of query, key and value: later changes of these are not seen.
    """

    @torch.no_grad()
    def __init__(self, model: NucleotideTransformerModel):
        config = model.config
        self.hidden = config.hidden_size
        self.pad_token_id = config.pad_token_id
        self.word_embeddings = model.embeddings.word_embeddings.weight.detach()
        self.inv_freq = model.rotary_embeddings.frequencies()  # (head_size / 2,)
        self.layers = [_FusedLayer(layer, config.num_attention_heads) for layer in model.encoder.layer]
        self.scratch = _Scratch()
        self.final_norm = model.encoder.emb_layer_norm_after

    @torch.inference_mode()
    def __call__(self, input_ids_BT: torch.Tensor, attention_mask_BT: torch.Tensor | None, num_layers: int):
        """
        Hidden states (batch, tokens, hidden) after so many layers, after the last of them normalised.

        The ids are padded on the right; the mask is None where there is no padding.
        """
        batch, tokens = input_ids_BT.shape
        hidden_NH = self.word_embeddings[input_ids_BT].view(batch * tokens, self.hidden)
        mask_B11T = None
        if attention_mask_BT is not None:
            hidden_NH *= attention_mask_BT.reshape(-1, 1)
            mask_B11T = attention_mask_BT[:, None, None, :].bool()
        # ESM counts positions from after the padding index on; the attention depends on their differences alone.
        positions = torch.arange(tokens, dtype=torch.float32) + self.pad_token_id + 1
        angles_TF = positions[:, None] * self.inv_freq  # (tokens, head_size / 2)
        turns_TF = torch.polar(torch.ones_like(angles_TF), angles_TF)
        for layer in self.layers[:num_layers]:
            layer(hidden_NH, batch, tokens, turns_TF, mask_B11T, self.scratch)
        if num_layers == len(self.layers):
            hidden_NH = self.final_norm(hidden_NH)
        if batch * tokens > KEPT_TOKENS:
            self.scratch.memory.clear()
        return hidden_NH.view(batch, tokens, self.hidden)


class _FusedLayer:
    """One layer; what it is given is changed in place."""

    def __init__(self, layer: nn.Module, heads: int):
        attention = layer.attention.self
        self.heads, self.head_size = heads, attention.attention_head_size
        scaling = self.head_size**-0.5  # ESM scales the query, not the scores
        queries = attention.query.weight * scaling, attention.query.bias * scaling
        weights = self._paired(queries[0]), self._paired(attention.key.weight), attention.value.weight
        biases = self._paired(queries[1]), self._paired(attention.key.bias), attention.value.bias
        self.qkv_weight_HO, self.qkv_bias_O = torch.cat(weights).detach().t(), torch.cat(biases).detach()
        self.attention_norm = layer.attention.LayerNorm
        self.out_weight_HH = layer.attention.output.dense.weight.detach().t()
        self.out_bias_H = layer.attention.output.dense.bias.detach()
        self.feed_forward_norm = layer.LayerNorm
        gate, value = layer.intermediate.dense.weight.detach().chunk(2)
        self.gate_weight_HI, self.value_weight_HI = gate.t(), value.t()
        self.down_weight_IH = layer.output.dense.weight.detach().t()

    def _paired(self, queries_or_keys: torch.Tensor) -> torch.Tensor:
        """The outputs of each head reordered: i and i + head_size / 2, which ESM turns, become a complex number."""
        halves = queries_or_keys.view(self.heads, 2, self.head_size // 2, *queries_or_keys.shape[1:])
        return halves.transpose(1, 2).reshape(queries_or_keys.shape)

    def __call__(self, hidden_NH, batch: int, tokens: int, turns_TF, mask_B11T, scratch: "_Scratch") -> None:
        qkv_NO = scratch.take("qkv", len(hidden_NH), len(self.qkv_bias_O))
        torch.addmm(self.qkv_bias_O, self.attention_norm(hidden_NH), self.qkv_weight_HO, out=qkv_NO)
        qkv_3BATD = qkv_NO.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # A: heads
        rotated_2BATD = scratch.take("rotated", 2, *qkv_3BATD.shape[1:])
        torch.mul(_as_complex(qkv_3BATD[:2]), turns_TF, out=_as_complex(rotated_2BATD))
        if tokens <= SHORT_TOKENS:
            mixed_BATD = _attend_short(*rotated_2BATD, qkv_3BATD[2], mask_B11T)
        else:
            attend = scaled_dot_product_attention
            mixed_BATD = attend(*rotated_2BATD, qkv_3BATD[2], attn_mask=mask_B11T, scale=1.0)
        mixed_NH = mixed_BATD.transpose(1, 2).reshape(batch * tokens, -1)
        hidden_NH.add_(self.out_bias_H).addmm_(mixed_NH, self.out_weight_HH)

        normed_NH = self.feed_forward_norm(hidden_NH)
        intermediate = self.gate_weight_HI.shape[1]
        gate_NI, value_NI = (scratch.take(name, len(hidden_NH), intermediate) for name in ("gate", "value"))
        torch.mm(normed_NH, self.gate_weight_HI, out=gate_NI)
        torch.mm(normed_NH, self.value_weight_HI, out=value_NI)
        nn.functional.silu(gate_NI, inplace=True)
        gate_NI *= value_NI
        hidden_NH.addmm_(gate_NI, self.down_weight_IH)


class _Scratch(threading.local):
    """Memory by name, of each thread its own; as large as was needed most, and freed with the thread."""

    def __init__(self):
        self.memory: dict[str, torch.Tensor] = {}

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor of that shape, with whatever stands there."""
        size = math.prod(shape)
        if name not in self.memory or self.memory[name].numel() < size:
            self.memory[name] = torch.empty(size, dtype=torch.float32)
        return self.memory[name][:size].view(shape)


def _as_complex(vectors: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(vectors.unflatten(-1, (-1, 2)))


def _attend_short(query_BATD, key_BATD, value_BATD, mask_B11T) -> torch.Tensor:
    batch, heads, tokens, head_size = query_BATD.shape
    scores_BATT = (query_BATD.flatten(0, 1) @ key_BATD.flatten(0, 1).mT).view(batch, heads, tokens, tokens)
    if mask_B11T is not None:
        scores_BATT.masked_fill_(~mask_B11T, -torch.inf)
    scores_BATT -= scores_BATT.amax(dim=-1, keepdim=True)
    scores_BATT.exp_()
    mixed = scores_BATT.flatten(0, 1) @ value_BATD.reshape(batch * heads, tokens, head_size)
    mixed /= scores_BATT.flatten(0, 1).sum(dim=-1, keepdim=True)
    return mixed.view(batch, heads, tokens, head_size)
