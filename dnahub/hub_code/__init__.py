"""The code that travels with a checkpoint -> known to transformers on this machine."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_nucleotide_transformer import NucleotideTransformerConfig
from .modeling_nucleotide_transformer import (
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from .pipeline_dna_classification import DNAClassificationPipeline, DNATokenClassificationPipeline
from .pipeline_dna_embedding import DNAEmbeddingPipeline

# This file stays here; a checkpoint names the same classes in its config.json (`auto_map`, `custom_pipelines`).
AutoConfig.register(NucleotideTransformerConfig.model_type, NucleotideTransformerConfig)
AutoModel.register(NucleotideTransformerConfig, NucleotideTransformerModel)
AutoModelForMaskedLM.register(NucleotideTransformerConfig, NucleotideTransformerForMaskedLM)
AutoModelForSequenceClassification.register(
    NucleotideTransformerConfig, NucleotideTransformerForSequenceClassification
)
AutoModelForTokenClassification.register(NucleotideTransformerConfig, NucleotideTransformerForTokenClassification)
PIPELINE_REGISTRY.register_pipeline("dna-embedding", DNAEmbeddingPipeline, pt_model=AutoModel, type="text")
PIPELINE_REGISTRY.register_pipeline(
    "dna-classification", DNAClassificationPipeline, pt_model=AutoModelForSequenceClassification, type="text"
)

__all__ = [
    "DNAClassificationPipeline",
    "DNAEmbeddingPipeline",
    "DNATokenClassificationPipeline",
    "NucleotideTransformerConfig",
    "NucleotideTransformerForMaskedLM",
    "NucleotideTransformerForSequenceClassification",
    "NucleotideTransformerForTokenClassification",
    "NucleotideTransformerModel",
]
