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
        {"num_attention_heads": 16},  # of two numbers each
        {"hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 20},
        {"pad_token_id": 0},
        {"rescaling_factor": 2.5},
    ],
    ids=str,
)
def test_every_shape_of_a_model_is_computed_as_by_itself(shape):
    model = random_model(**shape)
    ids, mask = random_batch(40, 5)
    ids[ids == PAD] = model.config.pad_token_id
    assert_same(FusedEncoder(model)(ids, mask, len(model.encoder.layer)), states_of(model, ids, mask), mask)


def test_threads_do_not_write_into_each_others_memory(model):
    encoder = FusedEncoder(model)
    batches = [random_batch(*(5 + i % 37,) * (1 + i % 5), seed=i) for i in range(120)]
    one_by_one = [
        encoder(ids, mask, LAYERS) for ids, mask in batches
    ]  # memory is used again, but not that of a result
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as threads:
            got = list(threads.map(lambda batch: encoder(*batch, LAYERS), batches))
    finally:
        sys.setswitchinterval(interval)
    for states, others, (ids, mask) in zip(got, one_by_one, batches, strict=True):
        assert torch.equal(states, others)
        assert_same(states, states_of(model, ids, mask), mask)


def adapt(config):
    return lambda model: get_peft_model(model, config).eval()


class Quantized(nn.Linear):
    pass


CHANGES = {
    "LoRA": adapt(LoraConfig(target_modules=["query", "value"])),
    "tuned layer norms": adapt(LNTuningConfig(target_modules=["LayerNorm"])),
    "training": lambda model: model.train(),
    "a Linear of another kind": lambda model: setattr(model.encoder.layer[0].output, "dense", Quantized(48, 32)),
    "offloaded": lambda model: model.encoder.layer[1].to("meta"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_that_is_another_is_not_fused(model, change):
    assert can_fuse(model)
    change(model)
    assert not can_fuse(model)


def test_another_architecture_is_not_fused():
    for name in ("token_dropout", "emb_layer_norm_before", "add_bias_fnn", "is_decoder"):
        assert not can_fuse(random_model(**{name: True}))
    assert not can_fuse(random_model(**V1))
