"""Hidden states of a batch -> the numbers that are kept of each of its pieces, and how strands are joined."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from dnahub.hub_code.pipeline_dna_embedding import pool
from dnahub.inference.encoder import Encoder

# What a fine-tuned head gives, and what this is called.
PROBLEMS = {
    "single_label_classification": "one class per sequence",
    "multi_label_classification": "labels per sequence",
    "regression": "numbers per sequence",
    "token_classification": "one class per token",
}
ACTIVATIONS = {
    "single_label_classification": lambda logits: softmax(logits, axis=-1),
    "multi_label_classification": expit,
    "regression": lambda logits: logits,
}


class Readout(ABC):
    """What is kept of a piece: one row of numbers, or one of each token; windows are averaged before `join`."""

    name: str  # of what it gives, for messages

    @abstractmethod
    def width(self, encoder: Encoder) -> int:
        """How many numbers a row has."""

    cuts_tokens = False  # whether long sequences are cut between tokens of the whole, not into windows of given nt

    def is_per_token(self, settings: Mapping[str, Any]) -> bool:
        """Whether a piece has a row for each token."""
        return False

    @abstractmethod
    def read(
        self, encoder: Encoder, ids_BT: torch.Tensor, mask_BT: torch.Tensor, settings: Mapping[str, Any]
    ) -> torch.Tensor:
        """Float32, (batch, width) or (batch, tokens, width)."""

    @abstractmethod
    def join(self, strands: Sequence[np.ndarray], settings: Mapping[str, Any]) -> np.ndarray:
        """The rows of one strand or both, (rows, width) each -> the result, (rows, width)."""


class Vectors(Readout):
    """The embedding: the pooled hidden states of a layer, or those of each token."""

    name = "embedding"

    def width(self, encoder):
        return encoder.hidden_size

    def is_per_token(self, settings):
        return settings["pooling"] == "none"

    def read(self, encoder, ids_BT, mask_BT, settings):
        return pool(encoder.hidden_states(ids_BT, mask_BT, settings["layer"]), mask_BT, settings["pooling"])

    def join(self, strands, settings):
        vectors = strands[0] if len(strands) == 1 else (strands[0] + strands[1]) / 2
        return normalized(vectors) if settings["normalize"] else vectors


class SequenceAnswers(Readout):
    """
    Probabilities, or numbers, of a fine-tuned head for each sequence; behind them, on request, the embedding.

    Of windows the logits are averaged, of strands the probabilities.
    """

    name = "logits"

    def __init__(self, problem_type: str, num_outputs: int, with_embedding: bool):
        self.activate = ACTIVATIONS[problem_type]
        self.num_outputs, self.with_embedding = num_outputs, with_embedding

    def width(self, encoder):
        return self.num_outputs + self.with_embedding * encoder.hidden_size

    def read(self, encoder, ids_BT, mask_BT, settings):
        logits_BL, states_BTH = encoder.logits(ids_BT, mask_BT)
        if not self.with_embedding:
            return logits_BL.float()
        return torch.cat((logits_BL.float(), pool(states_BTH, mask_BT, settings["pooling"])), dim=1)

    def join(self, strands, settings):
        outputs = np.mean([self.activate(strand[:, : self.num_outputs]) for strand in strands], axis=0)
        vectors = np.mean([strand[:, self.num_outputs :] for strand in strands], axis=0)
        return np.concatenate((outputs, normalized(vectors) if settings["normalize"] else vectors), axis=1)


class TokenAnswers(Readout):
    """Probabilities of a fine-tuned head for each token, those of `<cls>` and the like included."""

    name = "logits"
    cuts_tokens = True

    def __init__(self, num_outputs: int):
        self.num_outputs = num_outputs

    def width(self, encoder):
        return self.num_outputs

    def is_per_token(self, settings):
        return True

    def read(self, encoder, ids_BT, mask_BT, settings):
        return encoder.logits(ids_BT, mask_BT)[0].float()

    def join(self, strands, settings):
        return softmax(strands[0], axis=-1)


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to Euclidean length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
