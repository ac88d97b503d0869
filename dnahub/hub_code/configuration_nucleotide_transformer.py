"""config.json, the published or our own -> NucleotideTransformerConfig."""

from copy import deepcopy
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers.models.esm.configuration_esm import EsmConfig

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

# NT-v2: Dalla-Torre et al. 2025, https://doi.org/10.1038/s41592-024-02523-z, and the published config.json files.
# `tiny` is ours, for the demo and the tests: two cores train it in a minute or two.
PRESETS = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 256},
    "v2-50m": {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 16, "intermediate_size": 2048},
    "v2-100m": {"hidden_size": 512, "num_hidden_layers": 22, "num_attention_heads": 16, "intermediate_size": 2048},
    "v2-250m": {"hidden_size": 768, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 3072},
    "v2-500m": {"hidden_size": 1024, "num_hidden_layers": 29, "num_attention_heads": 16, "intermediate_size": 4096},
}


@strict
class NucleotideTransformerConfig(EsmConfig):
    r"""
    Configuration of a Nucleotide Transformer, v1 and v2; the defaults are those of v2-50m.

    It is `EsmConfig` with one field more. Folders in the published layout (`model_type: esm`) load as they are.

    Args:
        add_bias_fnn (`bool`, *optional*):
            Whether the feed-forward is ESM's own, with biases and GELU (NT-v1), or gated by SiLU without biases
            (NT-v2, `False`). The name is that of the published config files. Where it is not given, the feed-forward
            is gated when the positions are rotary.
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
    auto_map: dict[str, str] | None = None
    custom_pipelines: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.add_bias_fnn is None:
            self.add_bias_fnn = self.position_embedding_type != "rotary"
        # Always ours, whatever the folder says: code is taken from beside the weights or from this package.
        self.auto_map = dict(AUTO_MAP)
        self.custom_pipelines = deepcopy(CUSTOM_PIPELINES)

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, `<cls>` included: the positions begin after the padding index, as in ESM."""
        return self.max_position_embeddings - self.pad_token_id - 1

    @classmethod
    def from_preset(cls, name: str, **kwargs) -> "NucleotideTransformerConfig":
        """
        A configuration by the name of its size.

        Args:
            name (`str`): A key of `PRESETS`, as `"tiny"` or `"v2-50m"`.
            kwargs: Fields to set on top, as `num_labels`.

        Raises:
            ValueError: If there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"There is no preset {name!r}; the presets are {', '.join(PRESETS)}.")
        return cls(**{**PRESETS[name], **kwargs})

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
