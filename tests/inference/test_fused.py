"""FusedEncoder -> compared with the model's own forward, which test_modeling.py compares with float64 numpy."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from peft import LNTuningConfig, LoraConfig, get_peft_model
from torch import nn

from dnahub.inference.fused import SHORT_TOKENS, FusedEncoder, can_fuse
from tests.tiny_models import LAYERS, V1, random_model

CLS, PAD, N = 3, 1, 4106


@pytest.fixture
def model():
    return random_model()


def random_batch(*lengths: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask; `<cls>` first, padded on the right, N among the 6-mers."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(6, 4102, mask.shape, generator=generator)
    ids[torch.rand(ids.shape, generator=generator) < 0.1] = N
    ids[:, 0] = CLS
    return ids.masked_fill(~mask, PAD), mask.long()


def states_of(model, ids, mask, layer: int = -1) -> torch.Tensor:
    with torch.no_grad():
        return model(ids, attention_mask=mask, layer=layer).last_hidden_state


def assert_same(got, expected, mask, tolerance: float = 1e-5) -> None:
    assert got.shape == expected.shape and got.dtype == expected.dtype
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], rtol=0, atol=tolerance)


BATCHES = {
    "a letter": (2,),
    "short": (SHORT_TOKENS,) * 5,
    "short, padded": (SHORT_TOKENS, 2, 11, SHORT_TOKENS - 1),
    "long": (SHORT_TOKENS + 1,) * 3,
    "long, padded": (150, 149, SHORT_TOKENS, 2),
    "one long": (700,),
}
# Positions are turned by up to `tokens` radians, where float32 has steps of up to 6e-5.
TOLERANCES = {700: 1e-4}


# --- the same vectors


@pytest.mark.parametrize("layer", range(LAYERS + 1))
@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
def test_every_layer_is_that_of_the_model(model, lengths, layer):
    ids, mask = random_batch(*lengths)
    expected, tolerance = states_of(model, ids, mask, layer), TOLERANCES.get(max(lengths), 1e-5)
    encoder = FusedEncoder(model)
    assert_same(encoder(ids, mask, layer), expected, mask, tolerance)
    if mask.all():
        assert_same(encoder(ids, None, layer), expected, mask, tolerance)


@pytest.mark.parametrize(
    "shape",
    [
        {"num_hidden_layers": 1},
        {"num_attention_heads": 1},
        {"num_attention_heads": 16},  # of two numbers each
        {"hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 20},
        {"layer_norm_eps": 0.1},
        {"pad_token_id": 0},
        {"rescaling_factor": 2.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("lengths", [(12, 5), (40, 30)])
def test_every_shape_of_a_model_is_computed_as_by_itself(shape, lengths):
    model = random_model(**shape)
    ids, mask = random_batch(*lengths)
    ids[ids == PAD] = model.config.pad_token_id
    assert_same(FusedEncoder(model)(ids, mask, len(model.encoder.layer)), states_of(model, ids, mask), mask)


def test_a_result_stays_what_it_is_whatever_is_computed_next(model):
    # Memory is used again, also for batches of another size.
    encoder = FusedEncoder(model)
    batches = [random_batch(*lengths, seed=i) for i, lengths in enumerate([(12, 7), (50, 3), (5,), (50, 50), (12, 7)])]
    got = [encoder(ids, mask, LAYERS) for ids, mask in batches]
    for states, (ids, mask) in zip(got, batches, strict=True):
        assert_same(states, states_of(model, ids, mask), mask)


def test_threads_do_not_write_into_each_others_memory(model):
    encoder = FusedEncoder(model)
    batches = [random_batch(*(5 + i % 37,) * (1 + i % 5), seed=i) for i in range(120)]
    expected = [encoder(ids, mask, LAYERS) for ids, mask in batches]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as threads:
            got = list(threads.map(lambda batch: encoder(*batch, LAYERS), batches))
    finally:
        sys.setswitchinterval(interval)
    for states, others in zip(got, expected, strict=True):
        assert torch.equal(states, others)


def test_autocast_of_the_caller_changes_nothing(model):
    encoder = FusedEncoder(model)
    ids, mask = random_batch(12, 30)
    expected = encoder(ids, mask, LAYERS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder(ids, mask, LAYERS), expected)


# --- what it is not for


def adapt(config):
    return lambda model: get_peft_model(model, config).eval()


def put_in_another_linear(model):
    class Quantized(nn.Linear):
        pass

    model.encoder.layer[0].output.dense = Quantized(48, 32, bias=False)


UNLIKE = {
    "LoRA": adapt(LoraConfig(target_modules=["query", "value"])),
    "LoRA of the feed-forward": adapt(LoraConfig(target_modules=["intermediate.dense"])),
    "LoRA of the embeddings": adapt(LoraConfig(target_modules=["word_embeddings"])),
    "tuned layer norms": adapt(LNTuningConfig(target_modules=["LayerNorm"])),
    "training": lambda model: model.train(),
    "a Linear of another kind": put_in_another_linear,
    "offloaded": lambda model: model.encoder.layer[1].to("meta"),
    "one weight in half": lambda model: model.encoder.layer[2].output.half(),
}


@pytest.mark.parametrize("change", UNLIKE.values(), ids=UNLIKE)
def test_a_model_that_is_another_is_not_fused(model, change):
    assert can_fuse(model)
    change(model)
    assert not can_fuse(model)


@pytest.mark.parametrize(
    "kwargs",
    [V1, *({name: True} for name in ("token_dropout", "emb_layer_norm_before", "add_bias_fnn", "is_decoder"))],
    ids=str,
)
def test_another_architecture_is_not_fused(kwargs):
    assert not can_fuse(random_model(**kwargs))
