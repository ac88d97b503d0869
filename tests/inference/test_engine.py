"""Engine -> compared with DNAEmbeddingPipeline, its reference; its counts, threads and errors."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from dnahub.hub_code import DNAEmbeddingPipeline
from dnahub.hub_code.pipeline_dna_embedding import BATCH_TOKENS, POOLINGS
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


def distinct_sequences(count: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("ACGT", k=rng.randrange(30, 200))) for _ in range(count)]


def engine_of(backend: str = "auto", model=None, **kwargs) -> Engine:
    model = model or random_model()
    return Engine(model, tokenizer_of(model), backend, **kwargs)


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of the batches that a model sees, of any engine; they may be made to wait or to fail."""
    seen, run = [], Engine._read

    def watched(self, ids_BT, mask_BT, settings):
        seen.append(tuple(ids_BT.shape))
        watched.before(len(seen), ids_BT)
        return run(self, ids_BT, mask_BT, settings)

    watched.before = lambda number, ids_BT: None
    monkeypatch.setattr(Engine, "_read", watched)
    return seen, watched


def test_the_counts_are_those_of_what_the_model_saw(shapes):
    seen, _ = shapes
    embedder = engine_of(batch_tokens=64)
    drawn = ["".join(random.Random(i).choices("ACGT", k=num_nt)) for i, num_nt in enumerate((200, 61, 131, 60, 5))]
    sequences = [*drawn, "ACGRYK", drawn[1], "acgnnn", "ACGNNN"]
    progress = []
    plan = embedder.plan(sequences, long="windows", window_nt=60, stride_nt=30)
    assert seen == []  # nothing is run before it is to be
    result = embedder.compute(plan, progress.append)
    windows = [[s[a : a + 60] for a in range(0, max(1, len(s) - 30), 30)] for s in sequences]
    tokens = [[len(embedder.encoder.tokenizer(text).input_ids) for text in texts] for texts in windows]
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

    mean = embedder.compute(embedder.plan(sequences, long="mean", window_nt=60, stride_nt=30))
    assert mean.sequence.tolist() == list(range(9)) and set(mean.start) == {0}
    assert mean.end.tolist() == [len(sequence) for sequence in sequences]
    assert mean.num_tokens.tolist() == [sum(each) for each in tokens]


def test_auto_is_fused_where_it_can_be():
    assert [engine_of(backend).encoder.backend for backend in ("auto", "fused", "torch")] == [
        "fused",
        "fused",
        "torch",
    ]
    assert engine_of(model=random_model(**V1)).encoder.backend == "torch"
    with pytest.raises(ValueError, match="'fused'.*float32"):
        engine_of("fused", model=random_model(**V1))


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_weights_that_are_not_finite_are_an_error(pooling):
    model = random_model()
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    for dtype, message in ((torch.float32, "NaN.*damaged"), (torch.float16, "float16")):
        each = engine_of(model=model.to(dtype))
        with pytest.raises(ValueError, match=message):
            each.compute(each.plan(["ACGTAC", "A"], pooling=pooling))


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def thread_counts() -> tuple[int, int]:
    """Of this thread, and of one that begins now."""
    with ThreadPoolExecutor(1) as thread:
        return torch.get_num_threads(), thread.submit(torch.get_num_threads).result()


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
    assert embedder.runner.batch_tokens < BATCH_TOKENS["cpu"]  # of the plans to come
    with pytest.raises(torch.OutOfMemoryError, match="201 tokens"):
        embedder.compute(embedder.plan(["ACGTAC" * 200]))
