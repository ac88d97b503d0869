"""DNA sequences -> classes with scores, logits and embeddings in one pass, by `pipeline("dna-classification")`."""

from typing import Any

import torch

from .pipeline_dna_embedding import DNAEmbeddingPipeline


class DNAClassificationPipeline(DNAEmbeddingPipeline):
    """
    DNA sequences -> class, score of every class, logits and embedding, from one forward pass.

    Inputs and the arguments `pooling`, `max_length`, `normalize` and `batch_size` are those of
    `DNAEmbeddingPipeline`; the embedding is that of the last layer.

    Returns:
        A dictionary a sequence: `label` (`str`), `score` (`float`, the label's probability), `scores` (a probability
        for every label), `logits` (float32, (labels,)) and `embedding` (float32, (hidden,)).
    """

    _arguments = ("pooling", "max_length", "normalize")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if type(self.model).__name__ != "NucleotideTransformerForSequenceClassification":
            raise ValueError(
                f"Got a {type(self.model).__name__}; dna-classification takes a "
                "NucleotideTransformerForSequenceClassification. For vectors alone use dna-embedding."
            )
        config = self.model.config
        if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
            raise ValueError(
                f"Got a model with num_labels {config.num_labels} and problem_type {config.problem_type!r}; "
                "dna-classification gives one of two or more labels. For other outputs call the model itself."
            )

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        if "layer" in parameters:
            raise ValueError("Got layer; dna-classification embeds by the last one, dna-embedding by any.")
        return super()._sanitize_parameters(**parameters)

    def _forward(
        self, inputs: dict[str, torch.Tensor], pooling: str = "mean", normalize: bool = False
    ) -> dict[str, torch.Tensor]:
        attention_mask_BT = inputs["attention_mask"]
        hidden_states_BTH = self.model.base_model(
            inputs["input_ids"], attention_mask=attention_mask_BT, return_dict=True
        ).last_hidden_state
        return {
            "embedding": self._embedding(hidden_states_BTH, attention_mask_BT, pooling, normalize),
            "logits": self.model.classifier(hidden_states_BTH).float(),  # (batch, labels)
            "attention_mask": attention_mask_BT,
            "num_replaced": inputs["num_replaced"],
        }

    def postprocess(self, outputs: dict[str, torch.Tensor], pooling: str = "mean") -> dict[str, Any]:
        logits = outputs["logits"][0]
        probabilities = logits.softmax(dim=-1).tolist()
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        names = self.model.config.id2label
        return {
            "label": names[best],
            "score": probabilities[best],
            "scores": {names[i]: probability for i, probability in enumerate(probabilities)},
            "logits": logits.numpy(),
            "embedding": super().postprocess(outputs, pooling=pooling),
        }
