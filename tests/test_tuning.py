"""Models whose weights are frozen or under LoRA -> compared with counts and names of parameters by hand."""

import pytest
import torch
from peft import PeftModel

from hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
)
from training.tuning import count_parameters, prepare

HIDDEN, LAYERS, INNER, LABELS, RANK = 16, 2, 24, 5, 3
HEAD = HIDDEN * HIDDEN + HIDDEN + HIDDEN * LABELS + LABELS  # two linear layers
# A and B of queries and values, and of the feed-forward's gate and value.
LORA = LAYERS * RANK * (2 * (HIDDEN + HIDDEN) + (HIDDEN + 2 * INNER))


@pytest.fixture
def config():
    torch.manual_seed(0)
    return NucleotideTransformerConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=INNER,
        num_labels=LABELS,
    )


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_full_trains_every_weight(config):
    model = NucleotideTransformerForSequenceClassification(config)

    prepared = prepare(model, "full")

    assert prepared is model
    assert trained(model) == {name for name, _ in model.named_parameters()}
    total = sum(tensor.numel() for tensor in model.state_dict().values())
    assert count_parameters(model) == (total, total)


def test_frozen_trains_the_classification_head_alone(config):
    model = prepare(NucleotideTransformerForSequenceClassification(config), "frozen")

    assert trained(model) == {
        f"classifier.{name}.{kind}" for name in ("dense", "out_proj") for kind in ("weight", "bias")
    }
    assert count_parameters(model)[0] == HEAD


def test_lora_trains_its_matrices_and_the_classification_head(config):
    plain = NucleotideTransformerForSequenceClassification(config)
    total = count_parameters(plain)[1]

    model = prepare(plain, "lora", lora_r=RANK, lora_alpha=7)

    assert isinstance(model, PeftModel)
    assert all("lora_" in name or "classifier" in name for name in trained(model))
    assert count_parameters(model)[0] == LORA + HEAD
    assert count_parameters(model)[1] == total + LORA + HEAD  # peft keeps the head as it was beside the one it trains
    assert model.peft_config["default"].lora_alpha == 7


def test_lora_of_a_masked_language_model_trains_its_matrices_alone(config):
    model = prepare(NucleotideTransformerForMaskedLM(config), "lora", lora_r=RANK)

    assert all("lora_" in name for name in trained(model))
    assert count_parameters(model)[0] == LORA


def test_lora_begins_at_the_function_of_the_base_model(config):
    plain = NucleotideTransformerForSequenceClassification(config).eval()
    ids = torch.tensor([[3, 10, 20, 30]])
    with torch.no_grad():
        before = plain(ids).logits
        after = prepare(plain, "lora", lora_r=RANK).eval()(ids).logits

    assert torch.equal(before, after)
