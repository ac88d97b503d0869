"""Ways to run an encoder -> the same vectors as the model's own forward, or one sentence why not."""

import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from dnahub.hub_code import (
    DNAClassificationPipeline,
    DNAEmbeddingPipeline,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
)
from dnahub.hub_code.backends_nucleotide_transformer import BACKENDS, BATCH_TOKENS, make_backend
from tests import forked
from tests.tiny_models import V1, random_model, tokenizer_of

LAYERS = 2
CLS, PAD = 3, 1

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler"
)
# "compile" takes half a minute a graph, for a model as small as this one, too.
compiled = pytest.param("compile", marks=[pytest.mark.slow, needs_compiler])


def make_model(*arguments, **fields):
    return random_model(*arguments, **({"num_hidden_layers": LAYERS} | fields))


@cache
def backend_of(name: str, version: str = "v2"):
    """One for all tests that do not change it: what compiles does it once."""
    if name == "compile":
        torch.compiler.reset()  # which after eight graphs of any models would compile no more
    return make_backend(name, make_model(**(V1 if version == "v1" else {})))


def random_batch(*lengths: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(6, 4100, mask.shape, generator=generator)
    ids[:, 0] = CLS
    return ids.masked_fill(~mask, PAD), mask.long()


def states_of(model, ids, mask, layer: int = -1) -> torch.Tensor:
    with torch.inference_mode():
        return model(ids, attention_mask=mask, layer=layer).last_hidden_state


def assert_as_by_the_model(backend, *lengths: int, layer: int = -1) -> torch.Tensor:
    ids, mask = random_batch(*lengths)
    expected = states_of(backend.model, ids, mask, layer)[mask.bool()]
    with torch.inference_mode():
        got = backend(ids, mask, layer)
        assert got.dtype == torch.float32 and got.shape == (*ids.shape, 32)
        torch.testing.assert_close(got[mask.bool()], expected, rtol=0, atol=1e-4)
        if mask.all():
            torch.testing.assert_close(backend(ids, None, layer)[mask.bool()], expected, rtol=0, atol=1e-4)
    return got


# --- the same vectors


@pytest.mark.parametrize("name", ["torch", "fused", "openvino", compiled])
def test_every_backend_gives_the_hidden_states_of_the_model(name):
    backend = backend_of(name)
    assert backend.name == name
    for lengths in [(11,) * 5, (2,), (60, 59, 17, 2), (1, 1), (300,)]:
        assert_as_by_the_model(backend, *lengths)


@pytest.mark.parametrize("layer", [0, 1, LAYERS, -LAYERS - 1])
@pytest.mark.parametrize("name", ["torch", "fused", "openvino"])
def test_every_backend_gives_every_layer(name, layer):
    backend = backend_of(name)
    for lengths in [(11,) * 5, (2,), (60, 59, 17, 2), (1, 1), (300,)]:
        assert_as_by_the_model(backend, *lengths, layer=layer)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_the_backends_of_v1_give_the_hidden_states_of_the_model(name):
    for lengths in [(11,) * 5, (60, 59, 17, 2), (1000,)]:
        assert_as_by_the_model(backend_of(name, "v1"), *lengths)


@pytest.mark.parametrize("name", ["torch", "fused", "openvino", compiled])
def test_a_layer_that_the_model_lacks_is_an_error(name):
    with pytest.raises(ValueError, match=f"layer 3.*{LAYERS} layers"), torch.no_grad():
        backend_of(name)(*random_batch(5), 3)


@pytest.mark.parametrize("name", ["torch", "fused", "openvino", compiled])
def test_several_threads_get_their_own_results(name):
    backend = backend_of(name)
    batches = [random_batch(*(5 + i % 7,) * (1 + i % 3), seed=i) for i in range(40)]
    expected = [states_of(backend.model, *batch) for batch in batches]

    @torch.inference_mode()
    def run(batch):
        return backend(*batch, -1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as threads:
            got = list(threads.map(run, batches))
    finally:
        sys.setswitchinterval(interval)
    for states, others in zip(got, expected, strict=True):
        torch.testing.assert_close(states, others, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["torch", "fused", "openvino"])
def test_a_weight_that_has_changed_is_noticed(name):
    backend = make_backend(name, make_model())
    before = assert_as_by_the_model(backend, 20, 7)
    with torch.no_grad():
        backend.model.encoder.layer[0].attention.self.query.weight.add_(0.5)
    backend.refresh()
    after = assert_as_by_the_model(backend, 20, 7)
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize("name", ["torch", "fused", "openvino"])
def test_a_backend_survives_pickling(name):
    backend = backend_of(name)
    again = pickle.loads(pickle.dumps(backend))
    assert (type(again), again.name) == (type(backend), name)
    assert again.one_core_each == backend.one_core_each
    ids, mask = random_batch(12, 5)
    with torch.inference_mode():
        got, expected = again(ids, mask, 1)[mask.bool()], backend(ids, mask, 1)[mask.bool()]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_a_compiled_backend_is_pickled_without_what_was_compiled():
    backend = make_backend("compile", make_model())
    again = pickle.loads(pickle.dumps(backend))
    assert (type(again), again.name, again.one_core_each) == (type(backend), "compile", False)


def test_openvino_makes_one_graph_a_layer_whatever_the_batch(monkeypatch):
    backend = make_backend("openvino", make_model())
    made = []
    compile_layer = backend._compile
    monkeypatch.setattr(backend, "_compile", lambda num_layers: made.append(num_layers) or compile_layer(num_layers))
    for lengths in [(5, 3), (40,), (11, 11)]:
        for layer in (1, -LAYERS, 0):
            assert_as_by_the_model(backend, *lengths, layer=layer)
    assert sorted(made) == [0, 1]


def test_openvino_tells_nobody_that_it_is_used(monkeypatch):
    openvino_telemetry = pytest.importorskip("openvino_telemetry", reason="this openvino has none")
    told = []
    for name in ("init", "start_session", "send_event"):
        monkeypatch.setattr(openvino_telemetry.Telemetry, name, lambda *args, **kwargs: told.append(args))
    assert_as_by_the_model(make_backend("openvino", make_model(num_hidden_layers=1)), 5)
    assert told == []


def test_a_signal_is_handled_after_backends_by_openvino_are_gone(environment):
    code = """
import faulthandler, gc, os, signal, torch
from tests.hub_code.test_backends import make_backend, make_model

faulthandler.enable()
backends = [make_backend("openvino", make_model(num_hidden_layers=1)) for _ in range(3)]
for i in range(3):
    backends[i](torch.full((1, 2), 7), None, -1)
while backends:
    backends.pop(0)
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    result = forked.run(["-c", code], forked.REPOSITORY, environment)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr
    assert "loss" not in result.stderr  # of which transformers may warn when a model is traced


# --- in a pipeline


def pipeline_of(cls=DNAEmbeddingPipeline, model=None, **kwargs):
    model = make_model() if model is None else model
    return cls(model=model, tokenizer=tokenizer_of(model), device="cpu", **kwargs)


SEQUENCES = ["ATGGTAGCTACATCATCTNNA", "G", "acguac" * 30, "TTTTTTA" * 9, "ACGTAC" * 3, "N" * 30]


@pytest.mark.parametrize("name", ["fused", "openvino"])
def test_a_pipeline_gives_the_same_vectors_by_every_backend(name):
    model = make_model()
    pipe, reference = pipeline_of(model=model, backend=name), pipeline_of(model=model, backend="torch")
    assert (pipe.backend, reference.backend) == (name, "torch")
    for arguments in ({}, {"layer": 0}, {"pooling": "max", "window_nt": 30, "reverse_complement": True}):
        got, expected = pipe.encode(SEQUENCES, **arguments), reference.encode(SEQUENCES, **arguments)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
        # Of one sequence alone it is no other.
        np.testing.assert_allclose(pipe.encode(SEQUENCES[2], **arguments), expected[2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("cls", [NucleotideTransformerForMaskedLM, NucleotideTransformerForSequenceClassification])
def test_the_encoder_of_a_model_with_a_head_is_what_runs(cls):
    model = make_model(cls, num_labels=3)
    for name in ("torch", "fused"):
        pipe = pipeline_of(model=model, backend=name)
        expected = pipeline_of(model=model.esm, backend="torch").encode(SEQUENCES)
        np.testing.assert_allclose(pipe.encode(SEQUENCES), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["fused", "openvino"])
def test_classification_takes_the_same_backends(name):
    model = make_model(NucleotideTransformerForSequenceClassification, num_labels=3)
    pipe, reference = (pipeline_of(DNAClassificationPipeline, model, backend=each) for each in (name, "torch"))
    assert pipe.backend == name
    for got, expected in zip(pipe(SEQUENCES), reference(SEQUENCES), strict=True):
        np.testing.assert_allclose(got["logits"], expected["logits"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(got["embedding"], expected["embedding"], rtol=0, atol=1e-4)


# --- the choice


def with_lora(model):
    return get_peft_model(model, LoraConfig(target_modules=["query", "value"], init_lora_weights=False)).eval()


def test_auto_is_fused_where_it_can_be():
    for name in ("auto", "fused"):
        assert make_backend(name, make_model()).name == "fused"
    assert pipeline_of().backend == pipeline_of(backend="auto").backend == "fused"


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_model(**V1),
        lambda: make_model().to(torch.bfloat16),
        lambda: make_model().double(),
        lambda: with_lora(make_model()),
        lambda: with_lora(make_model()).base_model.model,
    ],
    ids=["v1", "bfloat16", "float64", "an adapter", "the model in an adapter"],
)
def test_auto_is_torch_for_what_cannot_be_fused_and_fused_is_an_error(make):
    model = make()
    pipe = pipeline_of(model=model)
    assert pipe.backend == "torch"
    ids = torch.tensor([pipe.tokenizer("ATGGTAGCTACATCATCTNNA").input_ids])
    expected = states_of(model, ids, torch.ones_like(ids)).float()[0].mean(dim=0)
    np.testing.assert_allclose(pipe("ATGGTAGCTACATCATCTNNA"), expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="'fused'.*float32.*'auto'"):
        pipeline_of(model=model, backend="fused")


def test_a_batch_has_as_many_tokens_as_the_device_likes_or_as_is_said():
    assert pipeline_of().batch_tokens == BATCH_TOKENS["cpu"]
    assert pipeline_of(batch_tokens=100).batch_tokens == 100
    for wrong in (0, -1, 1.5, "many", True):
        with pytest.raises(ValueError, match=f"batch_tokens {wrong!r}"):
            pipeline_of(batch_tokens=wrong)


# --- errors


@pytest.mark.parametrize("name", ["onnx", "Torch", "", None])
def test_a_backend_that_is_none_is_an_error_that_names_all(name):
    with pytest.raises(ValueError, match=f"backend {name!r}.*{', '.join(BACKENDS)}"):
        make_backend(name, make_model())
    with pytest.raises(ValueError, match="auto, torch, fused, compile, openvino"):
        pipeline_of(backend=name)


def test_openvino_that_is_not_installed_is_an_error_that_says_what_to_do(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match="pip install openvino") as error:
        make_backend("openvino", make_model())
    assert "\n" not in str(error.value)
    assert make_backend("auto", make_model()).name == "fused"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_openvino_is_for_float32_alone(dtype):
    with pytest.raises(ValueError, match=rf"float32.*{dtype}.*cpu"):
        make_backend("openvino", make_model().to(dtype))
    with pytest.raises(ValueError, match="meta"):
        make_backend("openvino", make_model().to("meta"))
