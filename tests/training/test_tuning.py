"""Models whose weights are frozen or under an adapter -> compared with counts and names of parameters by hand."""

import pytest
import torch
from peft import PeftModel

from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
)
from dnahub.training.arguments import ModelArguments
from dnahub.training.tuning import add_ia3, add_lora, count_parameters, freeze, prepare
from tests.messages import naming

HIDDEN, LAYERS, INNER, LABELS, RANK = 16, 3, 24, 5, 3
HEAD = HIDDEN * HIDDEN + HIDDEN + HIDDEN * LABELS + LABELS  # two linear layers


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


@pytest.fixture
def classifier(config):
    return NucleotideTransformerForSequenceClassification(config).eval()


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("layers", [LAYERS, LAYERS + 1])
def test_more_layers_than_there_are_cannot_be_trained(classifier, layers):
    with pytest.raises(ValueError, match=naming(f"--trainable_layers {layers}", 3, 1, 2)):
        freeze(classifier, layers)


# A and B of queries and values; and of the feed-forward's gate and value.
@pytest.mark.parametrize(
    ("targets", "count"),
    [
        (["query", "value"], LAYERS * RANK * 2 * (HIDDEN + HIDDEN)),
        (["query", "intermediate.dense"], LAYERS * RANK * ((HIDDEN + HIDDEN) + (HIDDEN + 2 * INNER))),
    ],
)
def test_lora_trains_its_matrices_and_the_classification_head(classifier, targets, count):
    total = count_parameters(classifier)[1]

    model = prepare(classifier, ModelArguments(tuning="lora", lora_r=RANK, lora_alpha=7, lora_targets=targets))

    assert isinstance(model, PeftModel)
    assert all("lora_" in name or "classifier" in name for name in trained(model))
    assert count_parameters(model)[0] == count + HEAD
    assert count_parameters(model)[1] == total + count + HEAD  # peft keeps the head as it was beside the one it trains
    assert model.peft_config["default"].lora_alpha == 7


@pytest.mark.parametrize("target", ["queries", "out_proj", "layer"])
def test_a_lora_target_that_is_no_linear_layer_of_the_encoder_is_refused_with_those_that_are(classifier, target):
    names = ["attention.output.dense", *(f"attention.self.{name}" for name in ("key", "query", "value"))]
    with pytest.raises(ValueError, match=naming(f"--lora_targets {target}")):
        add_lora(classifier, targets=["query", target])
    with pytest.raises(ValueError, match=naming(*names, "intermediate.dense", "output.dense")):
        add_lora(classifier, targets=[target])


def test_the_head_of_the_base_model_is_not_trained_alone(config):
    with pytest.raises(ValueError, match=naming("--tuning head", "lora")):
        prepare(NucleotideTransformerForMaskedLM(config), ModelArguments(tuning="head"))


def test_an_adapter_of_a_masked_language_model_trains_its_own_weights_alone(config):
    for add, mark in ((add_lora, "lora_"), (add_ia3, "ia3_")):
        model = add(NucleotideTransformerForMaskedLM(config), revision="abc")
        assert model.peft_config["default"].revision == "abc"
        assert trained(model) and all(mark in name for name in trained(model))


@pytest.mark.parametrize("add", [add_lora, add_ia3])
def test_an_adapter_begins_at_the_function_of_the_base_model_and_merges_to_its_own(classifier, add):
    ids = torch.tensor([[3, 10, 20, 30]])
    with torch.no_grad():
        before = classifier(ids).logits
        model = add(classifier).eval()
        assert torch.equal(before, model(ids).logits)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
        changed = model(ids).logits
        assert not torch.allclose(before, changed, atol=1e-3)
        torch.testing.assert_close(model.merge_and_unload()(ids).logits, changed, atol=1e-5, rtol=1e-5)
