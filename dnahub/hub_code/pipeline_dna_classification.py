"""DNA sequences -> labels or numbers with logits and embeddings in one pass, by `pipeline("dna-classification")`."""

from typing import Any

import numpy as np
import torch

from .pipeline_dna_embedding import DNAEmbeddingPipeline, Embeddings


class DNAClassificationPipeline(DNAEmbeddingPipeline):
    """
    DNA sequences -> labels with their scores, or numbers, and embedding, from one forward pass.

    Inputs and the arguments `pooling`, `max_length`, `normalize` and `batch_size` are those of
    `DNAEmbeddingPipeline`; the embedding is that of the last layer.

    Returns:
        A dictionary a sequence. One label each: `label` (`str`), `score` (`float`, the label's probability), `scores`
        (a probability for every label, 1 in all), `logits` (float32, (labels,)) and `embedding` (float32, (hidden,)).
        Several labels each (`problem_type` "multi_label_classification"): the same, where each label has a
        probability of its own, `label` is the most probable one, and `labels` lists those of 0.5 or more, which may be
        none. Regression: `value` (`float`, or float32, (numbers,), where there are several) and `embedding`.
    """

    _arguments = ("pooling", "max_length", "normalize")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if type(self.model).__name__ != "NucleotideTransformerForSequenceClassification":
            raise ValueError(
                f"Got a {type(self.model).__name__}; dna-classification takes a "
                "NucleotideTransformerForSequenceClassification. For vectors alone use dna-embedding, for labels of "
                "tokens token-classification."
            )
        config = self.model.config
        # Where a configuration does not say, one output is a number and several are classes, as in transformers.
        self.problem = config.problem_type or (
            "regression" if config.num_labels == 1 else "single_label_classification"
        )

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        if "layer" in parameters:
            raise ValueError("Got layer; dna-classification embeds by the last one, dna-embedding by any.")
        return super()._sanitize_parameters(**parameters)

    def _outputs(self, hidden_states_BTH, attention_mask_BT, pooling: str) -> dict[str, torch.Tensor]:
        logits = self.model.classifier(hidden_states_BTH).float()  # (batch, labels)
        return super()._outputs(hidden_states_BTH, attention_mask_BT, pooling) | {"logits": logits}

    def postprocess(self, embeddings: Embeddings, **settings: Any) -> list[dict[str, Any]]:
        logits = torch.from_numpy(embeddings.extra["logits"])
        vectors = super().postprocess(embeddings, **settings)
        return [self._answer(*each) for each in zip(logits, vectors, strict=True)]

    def _answer(self, logits: torch.Tensor, embedding: np.ndarray) -> dict[str, Any]:
        if self.problem == "regression":
            return {"value": logits.item() if len(logits) == 1 else logits.numpy(), "embedding": embedding}
        several = self.problem == "multi_label_classification"
        probabilities = (logits.sigmoid() if several else logits.softmax(dim=-1)).tolist()
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        names = self.model.config.id2label
        scores = {names[i]: probability for i, probability in enumerate(probabilities)}
        return {
            "label": names[best],
            "score": probabilities[best],
            **({"labels": [name for name, score in scores.items() if score >= 0.5]} if several else {}),
            "scores": scores,
            "logits": logits.numpy(),
            "embedding": embedding,
        }
