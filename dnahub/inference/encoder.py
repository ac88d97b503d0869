"""A model of any kind with its tokenizer -> what the engine asks of it: hidden states, logits and limits."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from dnahub.checkpoints.loading import max_tokens
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel, layers_up_to
from dnahub.inference.encoding import Encoding
from dnahub.inference.fused import FusedEncoder, can_fuse


class Encoder:
    """
    An NT, or another encoder of transformers, with or without a head, in evaluation mode.

    Args:
        model: On its device and in its dtype. Later changes to its weights may not be seen.
        tokenizer: Its tokenizer.
        backend: `"torch"`, the model's own forward; `"fused"`, the same in fewer passes over the memory, for NT-v2 in
            float32 on a CPU; `"auto"`, `"fused"` where it can be.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, backend: str = "auto"):
        self.model, self.tokenizer = model, tokenizer
        self.encoding = Encoding(tokenizer)
        self.kmer, self.num_added = self.encoding.kmer, self.encoding.num_added
        self.max_tokens, self.hidden_size = max_tokens(model), model.config.hidden_size
        self._is_nt = isinstance(model, NucleotideTransformerPreTrainedModel)
        is_fusible = self._is_nt and can_fuse(model.base_model)
        if backend == "fused" and not is_fusible:
            raise ValueError("The backend 'fused' is for an NT-v2 in float32 on a CPU, without adapters; give 'auto'.")
        self.backend = "fused" if backend != "torch" and is_fusible else "torch"
        self._fused = FusedEncoder(model.base_model) if self.backend == "fused" else None

    def num_layers_up_to(self, layer: int) -> int:
        """How many layers `layer` is behind, 0 of the embeddings; a ValueError if the model has no such layer."""
        if self._is_nt:
            return self.model.base_model.num_layers_up_to(layer)
        return layers_up_to(layer, self.model.config.num_hidden_layers)

    def hidden_states(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, layer: int = -1) -> torch.Tensor:
        """(batch, tokens, hidden), after that layer; of the last, as the model gives them to its head."""
        padding_mask_BT = None if mask_BT.all() else mask_BT
        if self._fused is not None:
            return self._fused(ids_BT, padding_mask_BT, self.num_layers_up_to(layer))
        encoder = self.model.base_model
        if self._is_nt:
            return encoder(ids_BT, attention_mask=padding_mask_BT, layer=layer, return_dict=True).last_hidden_state
        num_layers = self.num_layers_up_to(layer)
        is_last = num_layers == self.model.config.num_hidden_layers
        # All ones instead of None, for which some encoders guess the padding by its id.
        outputs = encoder(ids_BT, attention_mask=mask_BT, output_hidden_states=not is_last, return_dict=True)
        return outputs.last_hidden_state if is_last else outputs.hidden_states[num_layers]

    def logits(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What a head for labels gives, (batch, [tokens,] outputs), and the hidden states that it had."""
        if self._is_nt:
            states_BTH = self.hidden_states(ids_BT, mask_BT)
            return self.model.classifier(states_BTH), states_BTH
        seen: list[torch.Tensor] = []
        hook = self.model.base_model.register_forward_hook(lambda _, __, outputs: seen.append(outputs[0]))
        try:
            logits = self.model(ids_BT, attention_mask=mask_BT, return_dict=True).logits
        finally:
            hook.remove()
        return logits, seen[0]

    def log_probabilities(
        self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, rows: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        """What a head for masked tokens gives at some tokens, each of a row and at a place: (tokens, vocabulary)."""
        if self._is_nt:
            logits = self.model.lm_head(self.hidden_states(ids_BT, mask_BT)[rows, places])
        else:
            logits = self.model(ids_BT, attention_mask=mask_BT, return_dict=True).logits[rows, places]
        return logits.float().log_softmax(dim=-1)
