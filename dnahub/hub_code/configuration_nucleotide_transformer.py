"""config.json, the published or our own -> NucleotideTransformerConfig."""

from copy import deepcopy
from math import inf
from typing import TYPE_CHECKING, Any

import transformers

# Tested with transformers 5.10.1 to 5.24.0 and torch 2.6 to 2.14.
if not (5, 10) <= tuple(map(int, transformers.__version__.split(".")[:2])) < (6, 0):
    raise ImportError(
        f"This Nucleotide Transformer needs transformers 5.10 or later and before 6; {transformers.__version__} is "
        "installed: pip install 'transformers>=5.10,<6'."
    )

from huggingface_hub.dataclasses import strict  # noqa: E402
from transformers.models.esm.configuration_esm import EsmConfig  # noqa: E402
from transformers.utils import logging  # noqa: E402

if TYPE_CHECKING:
    # Never run, but transformers searches for these lines: it copies the files that they name wherever a model or
    # its configuration is saved, and they tell apart two checkpoints in one process whose code differs.
    from .modeling_nucleotide_transformer import NucleotideTransformerModel  # noqa: F401
    from .pipeline_dna_classification import DNAClassificationPipeline  # noqa: F401
    from .pipeline_dna_embedding import DNAEmbeddingPipeline  # noqa: F401

logger = logging.get_logger(__name__)

# Where the Auto classes and `pipeline()` find the code next to a checkpoint's weights; `save_pretrained` alone
# would record only the head that is being saved.
MODELS = "modeling_nucleotide_transformer.NucleotideTransformer"
AUTO_MAP = {
    "AutoConfig": "configuration_nucleotide_transformer.NucleotideTransformerConfig",
    "AutoModel": f"{MODELS}Model",
    "AutoModelForMaskedLM": f"{MODELS}ForMaskedLM",
    "AutoModelForSequenceClassification": f"{MODELS}ForSequenceClassification",
    "AutoModelForTokenClassification": f"{MODELS}ForTokenClassification",
}


def _pipeline(name: str, auto_class: str) -> dict[str, Any]:
    return {"impl": f"pipeline_dna_{name}Pipeline", "pt": [auto_class], "type": "text"}


CUSTOM_PIPELINES = {
    "dna-embedding": _pipeline("embedding.DNAEmbedding", "AutoModel"),
    "dna-classification": _pipeline("classification.DNAClassification", "AutoModelForSequenceClassification"),
    # In place of transformers' own, which silently leaves out what is beyond the model's positions.
    "token-classification": _pipeline("classification.DNATokenClassification", "AutoModelForTokenClassification"),
    "ner": _pipeline("classification.DNATokenClassification", "AutoModelForTokenClassification"),
}


@strict
class NucleotideTransformerConfig(EsmConfig):
    """
    Configuration of a Nucleotide Transformer, v1 and v2; the defaults are those of v2-50m.

    It is `EsmConfig` with a few more fields. Fields that it does not implement (`rope_scaling`, …) raise a ValueError.
    """

    model_type = "nucleotide_transformer"

    vocab_size: int = 4107
    mask_token_id: int = 2
    pad_token_id: int = 1
    eos_token_id: int | None = None  # EsmConfig's 2 is `<mask>` here; NT has no end token
    hidden_size: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 16
    intermediate_size: int = 2048
    hidden_dropout_prob: float | int | None = 0.0
    attention_probs_dropout_prob: float | int | None = 0.0
    max_position_embeddings: int = 2050
    position_embedding_type: str | None = "rotary"
    emb_layer_norm_before: bool | None = False
    tie_word_embeddings: bool = False
    # Whether the feed-forward is ESM's own, with biases and GELU (v1), or gated by SiLU without biases (v2, `False`).
    # The name comes from the published files. Default: gated if the positions are rotary.
    add_bias_fnn: bool | None = None
    rope_theta: float | int = 10000.0
    rescaling_factor: float | int | None = None  # stretches the rotary positions, as in SegmentNT
    # Of two classes, the probability from which on the second is predicted. Default: 0.5.
    decision_threshold: float | None = None
    # The windows by which a fine-tuned model was evaluated, by the mean of their logits. Default: none, sequences.
    window_nt: int | None = None
    stride_nt: int | None = None
    auto_map: dict[str, str] | None = None
    custom_pipelines: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self._check_sizes()
        if self.add_bias_fnn is None:
            self.add_bias_fnn = self.position_embedding_type != "rotary"
        self._refuse_other_mathematics(kwargs)
        # Never those of config.json: the code is the files next to the weights, or this package.
        self.auto_map = dict(AUTO_MAP)
        self.custom_pipelines = deepcopy(CUSTOM_PIPELINES)

    def _check_sizes(self) -> None:
        least = dict.fromkeys(("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size"), 1)
        least |= {"num_hidden_layers": 0, "pad_token_id": 0, "max_position_embeddings": (self.pad_token_id or 0) + 2}
        wrong = {name: getattr(self, name) for name, size in least.items() if (getattr(self, name) or 0) < size}
        if not wrong and self.pad_token_id >= self.vocab_size:
            wrong = {"pad_token_id": self.pad_token_id, "vocab_size": self.vocab_size}
        of_head = 2 if self.position_embedding_type == "rotary" else 1  # which turns pairs
        if not wrong and self.hidden_size % (of_head * self.num_attention_heads):
            wrong = {"hidden_size": self.hidden_size, "num_attention_heads": self.num_attention_heads}
        if not wrong and self.rescaling_factor is not None and self.hidden_size == 2 * self.num_attention_heads:
            wrong = {"rescaling_factor": self.rescaling_factor, "head size": 2}
        wrong |= {} if 0 < self.rope_theta < inf else {"rope_theta": self.rope_theta}
        if wrong:
            said = ", ".join(f"{name} {value!r}" for name, value in wrong.items())
            raise ValueError(f"The configuration says {said}, of which no model can be built; correct it.")

    def _refuse_other_mathematics(self, unknown: dict[str, Any]) -> None:
        activations = ("gelu", "gelu-no-approx") if self.add_bias_fnn else ("silu", "swish")
        default_rope = ({}, {"rope_type": "default"}, {"rope_type": "default", "rope_theta": self.rope_theta})
        # Fields of related models that change what is computed, with the values that agree with this one.
        neutral = {
            **dict.fromkeys(("hidden_act", "ffn_activation_name"), activations),
            **dict.fromkeys(("rope_scaling", "rope_parameters"), default_rope),
            **dict.fromkeys(("pre_layer_norm", "attention_bias", "embed_scale", "partial_rotary_factor"), (1,)),
            "use_glu_in_ffn": (not self.add_bias_fnn,),
            "head_dim": (self.hidden_size // self.num_attention_heads,),
            "num_key_value_heads": (self.num_attention_heads,),
            "sliding_window": (False,),
            "rope_type": ("default",),
        }
        wrong = {name: value for name, value in unknown.items() if value not in (None, *neutral.get(name, (value,)))}
        positions, factor = self.position_embedding_type, self.rescaling_factor
        if positions not in ("rotary", "absolute"):
            wrong["position_embedding_type"] = positions
        if factor not in (None, 1) and not (positions == "rotary" and 0 < factor < inf):
            wrong |= {"rescaling_factor": factor, "position_embedding_type": positions}
        wrong |= {"add_cross_attention": True} if self.add_cross_attention else {}
        if wrong:
            said = ", ".join(f"{name} {value!r}" for name, value in wrong.items())
            raise ValueError(
                f"The configuration says {said}, which this model does not implement; use the code with which the "
                "checkpoint was trained."
            )
        # transformers keeps any other unknown field as an attribute, and reads only these.
        read = ("model_type", "num_labels", "transformers_version", "quantization_config")
        kept = [name for name in unknown if name in vars(self) and name not in (*neutral, *read)]
        if ignored := [name for name in kept if unknown[name] not in (None, "", [], {}) and not name.startswith("_")]:
            names = ", ".join(map(repr, ignored))  # as text, for they may contain anything
            logger.warning(
                f"The configuration has fields unknown to a Nucleotide Transformer: {names}. They are ignored; if one "
                "changes what the model computes, its results here are wrong."
            )

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, `<cls>` included: the positions begin after the padding index, as in ESM."""
        return self.max_position_embeddings - self.pad_token_id - 1

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        """The config.json of a Nucleotide Transformer, with our `model_type` and without pointers to other code."""
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        found = config_dict.get("model_type")
        if found not in ("esm", cls.model_type):
            raise ValueError(
                f"{pretrained_model_name_or_path}: config.json says model_type {found!r}; give a checkpoint of a "
                f"Nucleotide Transformer, which says 'esm' (as published) or {cls.model_type!r}."
            )
        config_dict["model_type"] = cls.model_type
        config_dict.pop("auto_map", None)
        return config_dict, kwargs


NucleotideTransformerConfig.register_for_auto_class()  # saving it copies the code as well
