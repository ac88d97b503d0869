"""Fields of a configuration -> a small model whose parameters are all random, alone or saved with its tokenizer."""

from pathlib import Path

import torch

from dnahub.checkpoints.tokenizer import SPECIAL_TOKENS_V1, build_tokenizer, nt_vocabulary
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerModel
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel

LAYERS = 3
SHAPE = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48}
V1 = {"position_embedding_type": "absolute", "max_position_embeddings": 1002, "vocab_size": 4105}


def random_model(
    model_class: type[NucleotideTransformerPreTrainedModel] = NucleotideTransformerModel, seed: int = 0, **fields
) -> NucleotideTransformerPreTrainedModel:
    """In evaluation mode; of `SHAPE` where `fields` do not say otherwise."""
    torch.manual_seed(seed)
    model = model_class(NucleotideTransformerConfig(**(SHAPE | fields))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def tokenizer_of(model: NucleotideTransformerPreTrainedModel):
    is_v1 = model.config.vocab_size == V1["vocab_size"]
    vocabulary = nt_vocabulary(SPECIAL_TOKENS_V1) if is_v1 else nt_vocabulary()
    return build_tokenizer(vocabulary, model.config.max_tokens)


def write_checkpoint(folder: Path, *arguments, **fields) -> Path:
    """The folder, with a `random_model` and its tokenizer."""
    model = random_model(*arguments, **fields)
    model.save_pretrained(folder)
    tokenizer_of(model).save_pretrained(folder)
    return folder
