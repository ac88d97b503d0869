"""Engine -> compared with DNAEmbeddingPipeline, its reference; its counts, threads and errors."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from dnahub.hub_code import DNAEmbeddingPipeline
from dnahub.hub_code.pipeline_dna_embedding import LONG, POOLINGS, SequenceError
from dnahub.inference import cutting, engine
from dnahub.inference.engine import Engine
from tests.tiny_models import LAYERS, V1, random_model, tokenizer_of

MODELS = {"v2": random_model(), "v1": random_model(**V1)}
PIPELINES = {name: DNAEmbeddingPipeline(model, tokenizer_of(model), device="cpu") for name, model in MODELS.items()}
ENGINES = {
    "fused": Engine(MODELS["v2"], tokenizer_of(MODELS["v2"]), "fused"),
    "torch": Engine(MODELS["v2"], tokenizer_of(MODELS["v2"]), "torch", batch_tokens=100),
    "v1": Engine(MODELS["v1"], tokenizer_of(MODELS["v1"])),
}
SEQUENCES = st.text("ACGTN", min_size=1, max_size=150) | st.text("ACGTuRn \n", min_size=1, max_size=60)


def rows_of(embeddings, settings) -> list:
    """As the pipeline gives them: one for each sequence."""
    rows = list(embeddings.vectors)
    if settings["pooling"] == "none":
        rows = np.split(embeddings.vectors, np.cumsum(embeddings.num_tokens)[:-1])
    if settings["long"] != "windows":
        return rows
    ends = np.flatnonzero(np.diff(embeddings.sequence, append=-1)) + 1
    groups = [rows[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    return groups if settings["pooling"] == "none" else [np.stack(group) for group in groups]


def assert_as_the_pipeline(name: str, sequences: list[str], **settings) -> None:
    embeddings = ENGINES[name].compute(ENGINES[name].plan(sequences, **settings))
    pipe = PIPELINES["v1" if name == "v1" else "v2"]
    before = pipe.num_replaced
    got, expected = rows_of(embeddings, settings), pipe(sequences, **settings)
    assert len(got) == len(expected) == len(sequences)
    for a, b in zip(got, expected, strict=True):
        for x, y in zip(a, b, strict=True) if isinstance(b, list) else [(a, b)]:
            assert x.shape == y.shape and x.dtype == y.dtype == np.float32
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-5)
    assert embeddings.counts["replaced"] == pipe.num_replaced - before


@st.composite
def settings_of(draw) -> dict:
    long, pooling = draw(st.sampled_from(["mean", "windows", "truncate"])), draw(st.sampled_from(POOLINGS))
    if pooling == "none" and long == "mean":
        long = "windows"
    max_length = draw(st.integers(3, 30))
    settings = {"long": long, "pooling": pooling, "max_length": max_length, "normalize": draw(st.booleans())}
    settings["layer"] = draw(st.integers(-LAYERS - 1, LAYERS))
    settings["reverse_complement"] = pooling != "none" and draw(st.booleans())
    if long != "truncate":
        settings["window_nt"] = draw(st.none() | st.integers(1, 6 * (max_length - 1)))
        settings["stride_nt"] = draw(st.none() | st.integers(1, settings["window_nt"] or 6 * (max_length - 1)))
    return settings


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    st.lists(SEQUENCES.filter(lambda text: text.split()), min_size=1, max_size=8),
    settings_of(),
    st.sampled_from(sorted(ENGINES)),
)
def test_any_sequences_give_the_vectors_of_the_pipeline(sequences, settings, name):
    assert_as_the_pipeline(name, sequences, **settings)


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize("name", ENGINES)
def test_sequences_of_every_length_give_the_vectors_of_the_pipeline(name, long):
    rng, most = random.Random(0), MODELS["v1" if name == "v1" else "v2"].config.max_tokens
    lengths = [1, 5, 6, 61, 500, 3000] + ([6 * (most - 1)] if long == "error" else [14_000, 30_000])
    sequences = ["".join(rng.choices("ACGT" if long == "error" else "ACGTTGCAN", k=n)) for n in lengths]
    # In float32 the angles of the last of 2,048 tokens are off by 1e-4, of which the mean over all keeps little.
    assert_as_the_pipeline(name, sequences, long=long, pooling="mean")


# --- what is computed

LONG_SEQUENCES = [
    "".join(random.Random(i).choices("ACGT", k=num_nt)) for i, num_nt in enumerate((200, 61, 131, 60, 5))
]


def engine_of(backend: str = "auto", model=None, **kwargs) -> Engine:
    model = model or random_model()
    return Engine(model, tokenizer_of(model), backend, **kwargs)


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of the batches that a model sees, of any engine; they may be made to wait or to fail."""
    seen, run = [], Engine._pooled

    def watched(self, ids_BT, mask_BT, settings):
        seen.append(tuple(ids_BT.shape))
        watched.before(len(seen), ids_BT)
        return run(self, ids_BT, mask_BT, settings)

    watched.before = lambda number, ids_BT: None
    seen_and_hook = seen, watched
    monkeypatch.setattr(Engine, "_pooled", watched)
    return seen_and_hook


def test_the_counts_are_those_of_what_the_model_saw(shapes):
    seen, _ = shapes
    embedder = engine_of(batch_tokens=64)
    sequences = [*LONG_SEQUENCES, "ACGRYK", LONG_SEQUENCES[1], "acgnnn", "ACGNNN"]
    progress = []
    plan = embedder.plan(sequences, long="windows", window_nt=60, stride_nt=30)
    assert seen == []  # nothing is run before it is to be
    result = embedder.compute(plan, progress.append)
    windows = [[s[a : a + 60] for a in range(0, max(1, len(s) - 30), 30)] for s in sequences]
    tokens = [[len(embedder.tokenizer(text).input_ids) for text in texts] for texts in windows]
    # Of nine sequences the seventh is like the second, and three are ACGNNN to the model.
    num_seen = sum(map(sum, tokens)) - sum(tokens[6] + tokens[7] + tokens[8])
    assert result.counts == {
        **{"sequences": 9, "rows": sum(map(len, windows)), "nt": sum(map(len, sequences))},
        **{"tokens": sum(map(sum, tokens)), "replaced": 3, "truncated": 0, "repeats": len(windows[6]) + 2},
        **{"computed": num_seen, "padding": sum(rows * width for rows, width in seen) - num_seen},
        "vectors": len(result.vectors),
    }
    assert sum(progress) == pytest.approx(1) and len(progress) == len(plan.batches) == len(seen)
    assert max(rows * width for rows, width in seen) <= 64
    assert result.sequence.tolist() == [i for i, texts in enumerate(windows) for _ in texts]
    assert result.start.tolist() == [30 * j for texts in windows for j in range(len(texts))]
    assert result.end.tolist() == [30 * j + len(text) for texts in windows for j, text in enumerate(texts)]
    assert result.num_tokens.tolist() == sum(tokens, [])


def test_a_row_of_a_mean_is_the_whole_sequence():
    arguments = {"window_nt": 60, "stride_nt": 30, "reverse_complement": True}
    embedder = ENGINES["fused"]
    kept = embedder.compute(embedder.plan(LONG_SEQUENCES, long="windows", **arguments))
    mean = embedder.compute(embedder.plan(LONG_SEQUENCES, long="mean", **arguments))
    assert mean.sequence.tolist() == list(range(len(LONG_SEQUENCES))) and set(mean.start) == {0}
    assert mean.end.tolist() == [len(sequence) for sequence in LONG_SEQUENCES]
    assert mean.num_tokens.tolist() == np.bincount(kept.sequence, kept.num_tokens).tolist()


# --- backends


def test_auto_is_fused_where_it_can_be(monkeypatch):
    assert [engine_of(backend).backend for backend in ("auto", "fused", "torch")] == ["fused", "fused", "torch"]
    lora = get_peft_model(random_model(), LoraConfig(target_modules=["query"])).eval().base_model.model
    for model in (random_model(**V1), random_model().to(torch.bfloat16), lora):
        assert engine_of(model=model).backend == "torch"
        with pytest.raises(ValueError, match="'fused'.*float32"):
            engine_of("fused", model=model)


# --- errors


def test_an_empty_sequence_is_an_error_that_knows_which():
    for empty in ("", " ", "\n\u2003\t"):
        with pytest.raises(SequenceError, match="empty") as error:
            ENGINES["fused"].plan(["ACGT" * 9, empty], max_length=3, long="windows")
        assert error.value.index == 1


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_weights_that_are_not_finite_are_an_error(pooling):
    model = random_model()
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    for each, message in ((engine_of(model=model), "NaN.*damaged"), (engine_of(model=model.half()), "float16")):
        with pytest.raises(ValueError, match=message):
            each.compute(each.plan(["ACGTAC", "A"], pooling=pooling))


# --- threads


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def thread_counts() -> tuple[int, int]:
    """Of this thread, and of one that begins now."""
    with ThreadPoolExecutor(1) as thread:
        return torch.get_num_threads(), thread.submit(torch.get_num_threads).result()


def distinct_sequences(count: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=rng.randrange(30, 200))) for _ in range(count)]


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_batches_on_one_core_each_give_the_same_vectors(shapes, two_threads, pooling):
    _, watched = shapes
    embedder = engine_of("fused", batch_tokens=50)
    plan = embedder.plan(distinct_sequences(60), pooling=pooling)
    torch.set_num_threads(1)
    expected = embedder.compute(plan).vectors
    torch.set_num_threads(2)
    both, seen = threading.Barrier(2, timeout=60), set()

    def wait(number, ids_BT):
        seen.add((threading.get_ident(), torch.get_num_threads()))
        if number - len(plan.batches) <= 2:
            both.wait()  # so that two are at it at the same time

    watched.before = wait
    np.testing.assert_array_equal(embedder.compute(plan).vectors, expected)
    assert thread_counts() == (2, 2)
    assert len(seen) == 2 and {num_threads for _, num_threads in seen} == {1}


@pytest.mark.parametrize("where", ["model", "progress"])
def test_an_error_ends_the_threads_at_once_and_leaves_their_number_as_it_was(shapes, two_threads, where):
    embedder, threads_before = engine_of(batch_tokens=50), set(threading.enumerate())
    plan = embedder.plan(distinct_sequences(300))

    def fail(number, *_):
        if number == 3 or where == "progress":
            raise KeyboardInterrupt

    if where == "model":
        shapes[1].before = fail
    with pytest.raises(KeyboardInterrupt) as held:  # also while somebody holds the error, as a debugger does
        embedder.compute(plan, fail if where == "progress" else lambda share: None)
    assert thread_counts() == (2, 2)
    assert len(shapes[0]) < len(plan.batches)
    assert set(threading.enumerate()) <= threads_before
    del held


# --- memory


@pytest.mark.parametrize(
    "settings", [{}, {"pooling": "none"}, {"long": "windows", "reverse_complement": True}], ids=str
)
def test_a_batch_that_does_not_fit_is_divided_until_it_does(shapes, settings):
    seen, watched = shapes

    def run_out(number, ids_BT):
        if ids_BT.numel() > 120:
            raise torch.OutOfMemoryError(f"{ids_BT.numel()} tokens")

    embedder, sequences = engine_of(), distinct_sequences(30)
    expected = embedder.compute(embedder.plan(sequences, **settings)).vectors
    watched.before = run_out
    got = embedder.compute(embedder.plan(sequences, **settings)).vectors
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert embedder.batch_tokens < engine.BATCH_TOKENS["cpu"]  # of the plans to come
    with pytest.raises(torch.OutOfMemoryError, match="201 tokens"):
        embedder.compute(embedder.plan(["ACGTAC" * 200]))


def test_encoding_some_at_a_time_changes_nothing(monkeypatch):
    embedder, sequences = ENGINES["fused"], [*distinct_sequences(20), "ACRT", "A C\n"]
    settings = {"long": "mean", "max_length": 9, "reverse_complement": True}
    expected = embedder.compute(embedder.plan(sequences, **settings)).vectors
    monkeypatch.setattr(cutting, "ENCODED_NT", 50)
    np.testing.assert_array_equal(embedder.compute(embedder.plan(sequences, **settings)).vectors, expected)
