"""DNA sequences -> labels or numbers, by `pipeline("dna-classification")` or `pipeline("token-classification")`."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import TokenClassificationPipeline

from .pipeline_dna_embedding import (
    DEFAULTS,
    DNAEmbeddingPipeline,
    Piece,
    check_choice,
    check_whole,
    device_explained,
    letters_of,
    pool,
)


def trained_windows(config: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The windows by whose mean a model was evaluated, in config.json, where the arguments do not say otherwise."""
    is_in_windows = said.get("long") in (None, "mean", "windows") and not said.get("max_length")
    if not config.get("window_nt") or not is_in_windows:
        return {}
    found = {"long": said.get("long") or "mean", "window_nt": said.get("window_nt") or config["window_nt"]}
    other_stride = None if said.get("window_nt") else config["stride_nt"]
    return found | {"stride_nt": said.get("stride_nt") or other_stride}


class DNAClassificationPipeline(DNAEmbeddingPipeline):
    """
    DNA sequences -> labels with scores, or numbers; on request with logits and embeddings of the same forward pass.

    Inputs and arguments are those of `DNAEmbeddingPipeline`, and three more; the embedding is that of the last layer.
    With `long="mean"` the logits of windows are averaged, weighted by their tokens; with `reverse_complement` the
    probabilities, or numbers, of both strands. A model that was trained on windows of longer sequences has their
    `window_nt` and `stride_nt` in config.json: these are the defaults, with `long="mean"`, unless `max_length` or
    another `long` says how to cut.

    Args:
        return_logits (`bool`, default `False`): Whether to add `logits`, float32 (labels,); not with
            `reverse_complement`, which averages what is made of them.
        return_embedding (`bool`, default `False`): Whether to add `embedding`, float32 (hidden,).
        threshold (`float`, default `decision_threshold` of config.json, else 0.5): The probability from which on the
            second of two classes is predicted, or of several labels each. Between 0 and 1.

    Returns:
        A dictionary of Python values per sequence, with `long="windows"` a list of one per window. Single-label:
        `label`, its probability `score`, and `scores`, the probability of every label; they sum to 1. Multi-label: the
        same with independent probabilities, and `labels`, a list of those from `threshold` on. Regression: `value`, a
        number or a list of numbers.
    """

    _arguments = (*(name for name in DEFAULTS if name != "layer"), "return_logits", "return_embedding", "threshold")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        head = "NucleotideTransformerForSequenceClassification"
        # By name, because transformers may import this file and the model's from two copies of the checkpoint.
        if head not in [each.__name__ for each in type(self.model).__mro__]:
            raise ValueError(f"Got a {type(self.model).__name__}; give a {head}, or use dna-embedding for vectors.")

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        return super()._settings(given | trained_windows(self.model.config.to_dict(), self._preprocess_params | given))

    def _forward(
        self, pieces: list[Piece], pooling: str = "mean", return_embedding: bool = False, **_: Any
    ) -> list[Piece]:
        ids_BT, mask_BT = self._padded(pieces)
        outputs = self.model(ids_BT, attention_mask=mask_BT, output_hidden_states=return_embedding, return_dict=True)
        results = {"logits": outputs.logits.float().cpu()}  # (batch, labels)
        if return_embedding:
            states_BTH = outputs.hidden_states[-1]
            results["embedding"] = pool(states_BTH, mask_BT.to(states_BTH.device), pooling).cpu()
        return [piece | {name: each[i] for name, each in results.items()} for i, piece in enumerate(pieces)]

    def _sanitize_parameters(self, **given: Any) -> tuple[dict, dict, dict]:
        if given.get("return_logits") and given.get("reverse_complement"):
            raise ValueError("Got return_logits with reverse_complement, which averages probabilities; leave one out.")
        threshold = given.get("threshold")
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold < 1):
            raise ValueError(f"Got threshold {threshold!r}; give a number between 0 and 1.")
        if threshold is not None and not self._has_threshold:
            raise ValueError("Got a threshold, which is for two classes or several labels per sequence; leave it out.")
        return super()._sanitize_parameters(**given)

    def postprocess(
        self,
        pieces: list[Piece],
        return_logits: bool = False,
        return_embedding: bool = False,
        threshold: float | None = None,
        **settings: Any,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        settings = DEFAULTS | settings
        logits_PL = torch.stack([piece["logits"] for piece in pieces])
        self._check_finite("logits", [logits_PL.numpy()])
        per_window, num_strands = settings["long"] == "windows", 1 + settings["reverse_complement"]
        if per_window:
            strands = logits_PL.chunk(num_strands)
        else:
            of_strand = torch.tensor([piece["strand"] for piece in pieces])
            # They add up to 1 over both strands.
            weighted_PL = logits_PL * num_strands * torch.tensor([[piece["weight"]] for piece in pieces])
            strands = [weighted_PL[of_strand == i].sum(dim=0, keepdim=True) for i in range(num_strands)]
        outputs = torch.stack([self._activated(logits) for logits in strands]).mean(dim=0)  # (windows or 1, labels)
        answers = [self._answer(output, threshold) for output in outputs]
        if return_logits:
            for answer, logits in zip(answers, strands[0], strict=True):
                answer["logits"] = logits.numpy().copy()
        if return_embedding:
            vectors = super().postprocess(pieces, **settings)
            for answer, vector in zip(answers, vectors if per_window else [vectors], strict=True):
                answer["embedding"] = vector
        return answers if per_window else answers[0]

    @property
    def _problem(self) -> str:
        config = self.model.config
        # Where a configuration does not say, one output is a number and several are classes, as in transformers.
        return config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")

    @property
    def _has_threshold(self) -> bool:
        is_binary = self._problem == "single_label_classification" and self.model.config.num_labels == 2
        return is_binary or self._problem == "multi_label_classification"

    def _activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (windows, labels) -> probabilities, or as they are where they are numbers."""
        if self._problem == "regression":
            return logits
        return logits.sigmoid() if self._problem == "multi_label_classification" else logits.softmax(dim=-1)

    def _answer(self, output: torch.Tensor, threshold: float | None) -> dict[str, Any]:
        """What is returned for probabilities or numbers (labels,)."""
        if self._problem == "regression":
            return {"value": output.item() if len(output) == 1 else output.tolist()}
        scores = {self.model.config.id2label[i]: probability for i, probability in enumerate(output.tolist())}
        label = max(scores, key=scores.__getitem__)
        threshold = threshold or self.model.config.decision_threshold or 0.5
        if self._problem == "single_label_classification" and len(scores) == 2:
            label = self.model.config.id2label[int(output[1] >= threshold)]
        answer = {"label": label, "score": scores[label]}
        if self._problem == "multi_label_classification":
            answer["labels"] = [name for name, score in scores.items() if score >= threshold]
        return answer | {"scores": scores}


class DNATokenClassificationPipeline(TokenClassificationPipeline):
    """
    transformers' `TokenClassificationPipeline` for a DNA sequence of any length: a label of every token.

    What is longer than the model's positions is read in windows that overlap by `stride` tokens (default a quarter of
    a window), and each token has its label from the window in which it is farther from an end. Of the strategies of
    aggregation, there are "none" and "simple": the others are about words, which DNA does not have.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        with device_explained(kwargs.get("device")):
            super().__init__(*args, **kwargs)

    def _sanitize_parameters(self, stride: int | None = None, **given: Any) -> tuple[dict, dict, dict]:
        check_choice("aggregation_strategy", given.get("aggregation_strategy"), (None, "none", "simple"))
        check_whole("stride", stride, 0, self.model.config.max_tokens - 2)
        preprocess, forward, postprocess = super()._sanitize_parameters(**given)
        # transformers' own takes no stride with the strategy "none".
        return preprocess | ({} if stride is None else {"tokenizer_params": {"stride": stride}}), forward, postprocess

    def preprocess(self, sentence: str, tokenizer_params: dict | None = None, **params: Any) -> Iterator[dict]:
        letters_of(sentence)  # raises if it is no DNA sequence
        most = self.model.config.max_tokens
        overlap = most - 1 - max(1, (most - 1) * 3 // 4)
        windows = {"return_overflowing_tokens": True, "padding": True, "max_length": most, "stride": overlap}
        return super().preprocess(sentence, tokenizer_params=windows | (tokenizer_params or {}), **params)

    def postprocess(self, windows: list[dict[str, Any]], **params: Any) -> list[dict[str, Any]]:
        """The windows are joined before anything is grouped, so that the result is as if they had been one."""
        whole, first = {name: [] for name in ("logits", "input_ids", "offset_mapping", "special_tokens_mask")}, 0
        for window, following in zip(windows, [*windows[1:], None], strict=True):
            starts, overlap = window["offset_mapping"][0, 1:, 0], 0  # of `<cls>` alone there is none
            if following is not None:
                overlap = int((starts >= following["offset_mapping"][0, 1, 0]).sum())
            for name, parts in whole.items():
                parts.append(window[name][:, first : window[name].shape[1] - overlap // 2])
            first = 1 + overlap - overlap // 2
        joined = {name: torch.cat(parts, dim=1) for name, parts in whole.items()}
        entities = super().postprocess([windows[0] | joined], **params)
        return [entity | {"score": float(entity["score"])} for entity in entities]
