"""config.json, the published or our own -> NucleotideTransformerConfig."""

from copy import deepcopy
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
    # Never run, but transformers follows these lines: it copies all code wherever a model or its configuration is
    # saved, and keeps two checkpoints apart in one process if any of their code differs.
    from .modeling_nucleotide_transformer import NucleotideTransformerModel  # noqa: F401
    from .pipeline_dna_classification import DNAClassificationPipeline  # noqa: F401
    from .pipeline_dna_embedding import DNAEmbeddingPipeline  # noqa: F401

logger = logging.get_logger(__name__)

# Where the Auto classes and `pipeline()` find the code that lies beside a checkpoint's weights. Declared here and not
# left to `save_pretrained`, which would record only the one head that is being saved.
AUTO_MAP = {
    "AutoConfig": "configuration_nucleotide_transformer.NucleotideTransformerConfig",
    "AutoModel": "modeling_nucleotide_transformer.NucleotideTransformerModel",
    "AutoModelForMaskedLM": "modeling_nucleotide_transformer.NucleotideTransformerForMaskedLM",
    "AutoModelForSequenceClassification": (
        "modeling_nucleotide_transformer.NucleotideTransformerForSequenceClassification"
    ),
    "AutoModelForTokenClassification": "modeling_nucleotide_transformer.NucleotideTransformerForTokenClassification",
}
CUSTOM_PIPELINES = {
    "dna-embedding": {
        "impl": "pipeline_dna_embedding.DNAEmbeddingPipeline",
        "pt": ["AutoModel"],
        "type": "text",
    },
    "dna-classification": {
        "impl": "pipeline_dna_classification.DNAClassificationPipeline",
        "pt": ["AutoModelForSequenceClassification"],
        "type": "text",
    },
}

# Fields of related models that change what is computed, and that this model does not implement.
OTHER_MATHEMATICS = {
    *("hidden_act", "ffn_activation_name", "use_glu_in_ffn", "pre_layer_norm", "head_dim", "sliding_window"),
    *("rope_scaling", "rope_parameters", "rope_type", "partial_rotary_factor", "attention_bias", "embed_scale"),
}
KNOWN = {*OTHER_MATHEMATICS, "model_type", "num_labels", "transformers_version", "quantization_config"}


@strict
class NucleotideTransformerConfig(EsmConfig):
    r"""
    Configuration of a Nucleotide Transformer, v1 and v2; the defaults are those of v2-50m.

    It is `EsmConfig` with two more fields. Folders in the published layout (`model_type: esm`) load as they are.

    Args:
        add_bias_fnn (`bool`, *optional*):
            Whether the feed-forward is ESM's own, with biases and GELU (NT-v1), or gated by SiLU without biases
            (NT-v2, `False`). The name is that of the published config files. Default: gated if the positions are
            rotary.
        rescaling_factor (`float`, *optional*):
            SegmentNT's stretching of the rotary positions: their base is multiplied by
            `rescaling_factor ** (d / (d - 2))`, where d is the size of a head.

    Raises:
        ValueError: If a field asks for mathematics that this model does not have, such as `rope_scaling`.
    """

    model_type = "nucleotide_transformer"

    vocab_size: int = 4107
    mask_token_id: int = 2
    pad_token_id: int = 1
    eos_token_id: int | None = None  # EsmConfig's 2 is `<mask>` here, and NT puts nothing at the end
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
    add_bias_fnn: bool | None = None
    rescaling_factor: float | int | None = None
    auto_map: dict[str, str] | None = None
    custom_pipelines: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.add_bias_fnn is None:
            self.add_bias_fnn = self.position_embedding_type != "rotary"
        self._refuse_other_mathematics(kwargs)
        # Always ours, whatever the folder says: code is taken from beside the weights or from this package.
        self.auto_map = dict(AUTO_MAP)
        self.custom_pipelines = deepcopy(CUSTOM_PIPELINES)

    def _refuse_other_mathematics(self, unknown: dict[str, Any]) -> None:
        positions = self.position_embedding_type
        neutral = {
            "hidden_act": "gelu" if self.add_bias_fnn else "silu",
            "head_dim": self.hidden_size // self.num_attention_heads,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rope_type": "default",
        }
        wrong = [
            f"{name} {value!r}"
            for name, value in unknown.items()
            if name in OTHER_MATHEMATICS and value not in (None, False, 1, neutral.get(name))
        ]
        if positions not in ("rotary", "absolute"):
            wrong.append(f"position_embedding_type {positions!r}")
        if positions != "rotary" and self.rescaling_factor not in (None, 1):
            wrong.append(f"rescaling_factor {self.rescaling_factor} with {positions} positions")
        if wrong:
            raise ValueError(
                f"The configuration says {', '.join(wrong)}, which this Nucleotide Transformer does not compute; use "
                "the code that the checkpoint was trained with."
            )
        # What transformers did not take out is kept as an attribute that nothing reads.
        kept = {name for name in vars(self) if not name.startswith("_")} - KNOWN
        ignored = [name for name, value in unknown.items() if value and name in kept]
        if ignored:
            logger.warning(
                f"The configuration has fields that a Nucleotide Transformer does not have: {', '.join(ignored)}. "
                "They are ignored; if one changes what the model computes, its results here are wrong."
            )

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, `<cls>` included: the positions begin after the padding index, as in ESM."""
        return self.max_position_embeddings - self.pad_token_id - 1

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        """
        The folder's config.json as a dictionary: `model_type` ours, and without pointers to code that is not ours.

        Raises:
            ValueError: If the folder says that it holds another kind of model.
        """
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        found = config_dict.get("model_type")
        if found not in ("esm", cls.model_type):
            raise ValueError(
                f"{pretrained_model_name_or_path}: config.json says model_type {found!r}; a Nucleotide Transformer "
                f"says 'esm' (as published) or {cls.model_type!r}. Give the folder or Hub id of such a checkpoint."
            )
        config_dict["model_type"] = cls.model_type
        config_dict.pop("auto_map", None)
        return config_dict, kwargs


NucleotideTransformerConfig.register_for_auto_class()
