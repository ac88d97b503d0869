"""pipeline("dna-embedding") -> compared with the model card's recipe, and with slow, obvious poolings."""

import logging
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModel, AutoTokenizer, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from hub_code import (
    DNAEmbeddingPipeline,
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerModel,
)
from hub_code.tokenization_nucleotide_transformer import SPECIAL_TOKENS_V1, build_tokenizer, nt_vocabulary

POOLINGS = ("mean", "mean_without_cls", "cls", "max", "none")
LAYERS = 3
V1 = {"position_embedding_type": "absolute", "max_position_embeddings": 1002, "vocab_size": 4105}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small lose more by sharing their work than they gain, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_checkpoint(folder, **kwargs):
    """A small model whose parameters are all random, and its tokenizer."""
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(
        hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=48, **kwargs
    )
    model = NucleotideTransformerForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    vocabulary = nt_vocabulary() if config.vocab_size == 4107 else nt_vocabulary(SPECIAL_TOKENS_V1)
    build_tokenizer(vocabulary, config.max_tokens).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def v2_folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("v2"))


@pytest.fixture(scope="module")
def v1_folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("v1"), **V1)


@pytest.fixture(params=["v2", "v1"])
def folder(request):
    return request.getfixturevalue(f"{request.param}_folder")


def load(folder, **kwargs) -> DNAEmbeddingPipeline:
    model = NucleotideTransformerModel.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return DNAEmbeddingPipeline(model=model, tokenizer=tokenizer, task="dna-embedding", device="cpu", **kwargs)


@pytest.fixture
def pipe(v2_folder):
    return load(v2_folder)


def sequences_of_mixed_length(count: int = 11, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    sequences = ["".join(rng.choices("ACGTN", weights=(9, 9, 9, 9, 1), k=rng.randrange(1, 400))) for _ in range(count)]
    return [*sequences, "A", "ACGTAC", "N"]


@cache
def states_by_hand(folder, sequence: str) -> list[np.ndarray]:
    """Every layer's hidden states of one sequence alone, (tokens, hidden), through the plain Auto classes."""
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        out = model(**AutoTokenizer.from_pretrained(folder)(sequence, return_tensors="pt"), output_hidden_states=True)
    return [states[0].double().numpy() for states in out.hidden_states]


def slow_pool(states: np.ndarray, pooling: str) -> np.ndarray:
    """One token after another; `states` (tokens, hidden) holds no padding."""
    tokens = list(states)
    if pooling == "none":
        return states
    if pooling == "cls":
        return tokens[0]
    if pooling == "max":
        return np.array([max(token[i] for token in tokens) for i in range(len(tokens[0]))])
    if pooling == "mean_without_cls":
        tokens = tokens[1:]
    return sum(tokens) / len(tokens)


def assert_same(got, expected, tolerance: float = 1e-5) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


# --- the vector


def test_the_vector_is_that_of_the_model_cards_recipe(folder):
    sequences = sequences_of_mixed_length()
    # https://huggingface.co/InstaDeepAI/nucleotide-transformer-v2-50m-multi-species, "How to use"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    ids = tokenizer(sequences, return_tensors="pt", padding="max_length", max_length=400).input_ids
    attention_mask = ids != tokenizer.pad_token_id
    with torch.no_grad():
        states = model(ids, attention_mask=attention_mask, output_hidden_states=True)["hidden_states"][-1]
    mask = attention_mask.unsqueeze(-1)
    expected = (mask * states).sum(axis=-2) / mask.sum(axis=1)
    assert_same(load(folder)(sequences, batch_size=4), expected.numpy())


def test_the_vector_is_float32_and_as_wide_as_the_model(pipe):
    vector = pipe("ATGGTAGCTACATCATCT")
    assert type(vector) is np.ndarray
    assert (vector.shape, vector.dtype) == ((32,), np.float32)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_vector_does_not_depend_on_the_batch_or_the_order(folder, pooling):
    pipe = load(folder, pooling=pooling)
    sequences = sequences_of_mixed_length()
    alone = [pipe(sequence) for sequence in sequences]
    assert np.ptp([vector.mean() for vector in alone]) > 0.01  # they do differ from each other
    for batch_size in (2, 5, 64):
        assert_same(pipe(sequences, batch_size=batch_size), alone)
    order = random.Random(1).sample(range(len(sequences)), len(sequences))
    shuffled = pipe([sequences[i] for i in order], batch_size=7)
    assert_same(shuffled, [alone[i] for i in order])


@pytest.mark.parametrize("layer", [0, 1, 2, 3, -1, -2, -4])
def test_every_pooling_of_every_layer_equals_the_slow_one(folder, layer):
    pipe = load(folder, layer=layer)
    sequences = ["ATGGTAGCTACATCATCTNNA", "G", "ACGTAC" * 20]
    for pooling in POOLINGS:
        expected = [slow_pool(states_by_hand(folder, sequence)[layer], pooling) for sequence in sequences]
        assert_same(pipe(sequences, pooling=pooling, batch_size=3), expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_normalize_scales_to_length_1(v2_folder, pipe, pooling):
    sequences = ["ATGGTAGCTACATCATCTNNA", "G"]
    vectors = pipe(sequences, pooling=pooling, normalize=True, batch_size=2)
    expected = [slow_pool(states_by_hand(v2_folder, sequence)[-1], pooling) for sequence in sequences]
    assert_same(vectors, [vector / np.sqrt((vector**2).sum(-1, keepdims=True)) for vector in expected])


def test_only_the_layers_needed_are_run(v2_folder):
    pipe = load(v2_folder, backend="torch")  # the model's own forward, which calls hooks
    runs = []
    for i, module in enumerate(pipe.model.encoder.layer, start=1):
        module.register_forward_hook(lambda *_, i=i: runs.append(i))
    for layer, expected in ((0, []), (1, [1]), (-3, [1]), (2, [1, 2]), (-1, [1, 2, 3])):
        pipe("ACGT", layer=layer)
        assert runs == expected
        runs.clear()


def test_arguments_of_the_call_go_before_those_of_the_construction(v2_folder):
    pipe = load(v2_folder, pooling="cls", layer=1, max_length=3, normalize=True)
    sequence = "ATGGTAGCTACATCATCT"
    states = states_by_hand(v2_folder, sequence[:12])[1]
    assert_same([pipe(sequence)], [states[0] / np.linalg.norm(states[0])])
    assert_same([pipe(sequence, pooling="mean", normalize=False)], [states.mean(0)])
    expected = states_by_hand(v2_folder, sequence)[-1][0]
    assert_same([pipe(sequence, layer=-1, max_length=None, normalize=False)], [expected])
    assert_same([pipe(sequence)], [states[0] / np.linalg.norm(states[0])])  # the call changed nothing for good


def test_max_length_is_in_tokens_with_cls(v2_folder, pipe):
    assert_same([pipe("ATGGTAGCTACATCATCT", max_length=2)], [states_by_hand(v2_folder, "ATGGTA")[-1].mean(0)])
    assert_same([pipe("ATGGTA", max_length=2048)], [pipe("ATGGTA")], tolerance=0)


# --- what it takes


def test_every_kind_of_input_gives_the_same_vectors_in_the_same_order(pipe):
    sequences = sequences_of_mixed_length(8)
    expected = [pipe(sequence) for sequence in sequences]
    dataset = Dataset.from_dict({"sequence": sequences})
    inputs = {
        "list": sequences,
        "tuple": tuple(sequences),
        "generator": (sequence for sequence in sequences),
        "iterator": iter(sequences),
        "array": np.array(sequences),
        "column": dataset["sequence"],
        "streamed column": dataset.to_iterable_dataset()["sequence"],
        "KeyDataset": KeyDataset(dataset, "sequence"),
    }
    for name, given in inputs.items():
        result = pipe(given, batch_size=3)
        assert isinstance(result, list) == (name in ("list", "tuple")), name
        assert_same(list(result), expected)


def test_nothing_in_nothing_out(pipe):
    assert pipe([]) == pipe(()) == []
    assert list(pipe(sequence for sequence in [])) == list(pipe(iter([]))) == []
    assert list(pipe(np.array([], dtype=str))) == []


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_generator_is_read_one_batch_ahead_at_most(pipe, batch_size):
    taken = []

    def sequences():
        for i in range(1000):
            taken.append(i)
            yield "ACGT"[i % 4 :] or "A"

    vectors = pipe(sequences(), batch_size=batch_size)
    assert len(taken) <= 1  # transformers looks at the first one
    for given in range(1, 10):
        next(vectors) if given > 1 else next(iter(vectors))
        assert given <= len(taken) <= given + batch_size


@pytest.mark.parametrize("text", ["atggtagct", "AUGGUAGCU", "auggUAgct", " ATG GTA\tGCT\r\n", "A T G\nG T A\nG C T"])
def test_case_u_and_white_space_do_not_matter(pipe, text):
    np.testing.assert_array_equal(pipe(text), pipe("ATGGTAGCT"))
    assert pipe.num_replaced == 0


@pytest.fixture
def logged():
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    # Not under "transformers.": the logger is that of the pipeline's own module.
    logger = logging.getLogger(DNAEmbeddingPipeline.__module__)
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_unknown_letters_are_read_as_n_counted_and_warned_of_once(pipe, logged):
    np.testing.assert_array_equal(pipe("ATGNGTANN"), pipe("ATGNGTANN".lower()))
    assert (pipe.num_replaced, logged) == (0, [])
    np.testing.assert_array_equal(pipe("ATGRGTA-*"), pipe("ATGNGTANN"))
    assert pipe.num_replaced == 3
    assert len(logged) == 1 and "3 characters" in logged[0]
    list(pipe(["ACGT", "ryk", "W"], batch_size=2))
    assert pipe.num_replaced == 7
    assert len(logged) == 1


@pytest.mark.parametrize("text", ["A<unk>T", "ATG<cls>", "<mask>", "A<pad>T"])
def test_the_names_of_special_tokens_are_letters_like_any_other(pipe, text):
    plain = "".join(c.upper() if c in "ACGTacgt" else "T" if c in "Uu" else "N" for c in text)
    np.testing.assert_array_equal(pipe(text), pipe(plain))


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_sequence_is_an_error(pipe, text):
    for given in (text, ["ACGT", text], (sequence for sequence in ["ACGT", text])):
        with pytest.raises(ValueError, match="empty sequence"):
            list(pipe(given))


@pytest.mark.parametrize("separator", "\x1c\x1d\x1e\x1f")
def test_what_python_calls_white_space_is_white_space(pipe, separator):
    np.testing.assert_array_equal(pipe(f"ATG{separator}GTA"), pipe("ATGGTA"))


@pytest.mark.parametrize("given", [None, 3, 1.5, b"ACGT", {"sequence": "ACGT"}])
def test_what_is_no_sequence_is_an_error_that_names_its_type(pipe, given):
    with pytest.raises(ValueError, match=type(given).__name__):
        pipe(given)
    with pytest.raises(ValueError, match=type(given).__name__):
        pipe(["ACGT", given])


def test_a_list_of_lists_is_an_error(pipe):
    with pytest.raises(ValueError, match="list"):
        pipe([["ACGT"], ["ACGT"]])


# --- length


def test_v2_takes_12282_nt_and_not_a_token_more(pipe, v2_folder):
    longest = "".join(random.Random(0).choices("ACGT", k=12_282))
    assert_same([pipe(longest)], [states_by_hand(v2_folder, longest)[-1].mean(0)])
    with pytest.raises(ValueError, match=r"12283 characters, 2049 tokens.* 2048.*max_length"):
        pipe(longest + "A")


def test_v1_takes_5994_nt_and_not_a_token_more(v1_folder):
    pipe = load(v1_folder)
    longest = "".join(random.Random(0).choices("ACGT", k=5994))
    assert_same([pipe(longest)], [states_by_hand(v1_folder, longest)[-1].mean(0)])
    with pytest.raises(ValueError, match=r"1001 tokens.* 1000.*max_length"):
        pipe(longest + "A")


def test_30000_nt_are_an_error_unless_max_length_is_given(pipe):
    sequence = "".join(random.Random(0).choices("ACGT", k=30_000))
    with pytest.raises(ValueError, match="30000 characters.*max_length"):
        pipe(sequence)
    with pytest.raises(ValueError, match="max_length"):
        pipe(["ACGT", sequence], batch_size=2)
    assert_same([pipe(sequence, max_length=2048)], [pipe(sequence[:12_282])], tolerance=0)
    assert_same([pipe(sequence, max_length=100)], [pipe(sequence[: 6 * 99])], tolerance=0)


# --- bad arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "average"}, r"'average'.*mean, mean_without_cls, cls, max, none"),
        ({"pooling": None}, "None.*mean"),
        ({"layer": 4}, "Got layer 4, but this model has 3 layers"),
        ({"layer": -5}, "Got layer -5"),
        ({"layer": "last"}, "'last'"),
        ({"layer": 1.0}, r"1\.0"),
        ({"layer": None}, "None"),
        ({"max_length": 1}, "max_length 1.* 2 to 2048"),
        ({"max_length": 2049}, "max_length 2049.* 2 to 2048"),
        ({"max_length": "512"}, "'512'"),
        ({"max_length": 100.5}, r"100\.5"),
        ({"normalize": "no"}, "'no'"),
        ({"poolin": "mean"}, "'poolin'.*pooling, layer, max_length, normalize"),
        ({"truncation": True}, "'truncation'"),
    ],
    ids=str,
)
def test_a_bad_argument_is_an_error_at_construction_and_at_the_call(v2_folder, pipe, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipe("ACGTACGTACGT", **arguments)
    with pytest.raises(ValueError, match=message):
        load(v2_folder, **arguments)


# --- in other hands


def test_the_registered_task_loads_the_class_and_any_head_serves(v2_folder, pipe):
    by_task = pipeline(
        "dna-embedding",
        model=NucleotideTransformerForMaskedLM.from_pretrained(v2_folder),
        tokenizer=AutoTokenizer.from_pretrained(v2_folder),
        device="cpu",
    )
    assert type(by_task) is DNAEmbeddingPipeline
    assert_same([by_task("ATGGTAGCTN")], [pipe("ATGGTAGCTN")], tolerance=0)


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_worker_processes_change_nothing(pipe, pooling):
    sequences = [*sequences_of_mixed_length(8), "RYK"]
    expected = pipe(sequences, pooling=pooling)
    counted = pipe.num_replaced
    assert counted == 3
    assert_same(pipe(sequences, pooling=pooling, num_workers=2, batch_size=3), expected)
    assert_same(list(pipe(iter(sequences), pooling=pooling, num_workers=1, batch_size=3)), expected)
    assert pipe.num_replaced == 3 * counted


def test_threads_do_not_mix_up_their_arguments(pipe):
    # Long to tokenize, short to embed; threads take turns as often as they can.
    sequence = "ATGGTAGCTACATCATCT" * 30
    max_lengths = [2, None, 5, 3] * 100
    expected = {max_length: pipe(sequence, max_length=max_length) for max_length in set(max_lengths)}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            got = list(threads.map(lambda max_length: pipe(sequence, max_length=max_length), max_lengths))
    finally:
        sys.setswitchinterval(interval)
    assert_same(got, [expected[max_length] for max_length in max_lengths])


def test_a_pipeline_survives_pickling(pipe):
    again = pickle.loads(pickle.dumps(pipe))
    assert_same(again(["ATGGTAGCTN", "A"]), pipe(["ATGGTAGCTN", "A"]), tolerance=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_float32_vectors_close_to_the_exact_ones(v2_folder, pipe, dtype):
    rough = DNAEmbeddingPipeline(
        model=NucleotideTransformerModel.from_pretrained(v2_folder, dtype=dtype),
        tokenizer=AutoTokenizer.from_pretrained(v2_folder),
        device="cpu",
    )
    for sequence in ["ATGGTAGCT", "".join(random.Random(0).choices("ACGT", k=12_282))]:
        for pooling in ("mean", "cls"):
            got, expected = (each(sequence, pooling=pooling) for each in (rough, pipe))
            assert got.dtype == np.float32
            # bfloat16 rounds by up to 0.4 %, some tens of times in a row.
            assert np.linalg.norm(got - expected) < 0.03 * np.linalg.norm(expected)


def test_layers_kept_on_disk_give_the_same_vector(v2_folder, tmp_path):
    pipe = load(v2_folder, backend="torch")
    device_map = {"embeddings": "cpu", "rotary_embeddings": "cpu", "encoder.layer.0": "cpu"}
    device_map |= {"encoder.layer.1": "disk", "encoder.layer.2": "cpu", "encoder.emb_layer_norm_after": "cpu"}
    model = NucleotideTransformerModel.from_pretrained(v2_folder, device_map=device_map, offload_folder=tmp_path)
    offloaded = DNAEmbeddingPipeline(model=model, tokenizer=AutoTokenizer.from_pretrained(v2_folder))
    for layer in (0, 1, 2, -1):
        assert_same([offloaded("ATGGTAGCTN", layer=layer)], [pipe("ATGGTAGCTN", layer=layer)], tolerance=1e-6)


def test_a_model_that_always_returns_hidden_states_is_embedded_all_the_same(v2_folder, pipe):
    model = NucleotideTransformerModel.from_pretrained(v2_folder, output_hidden_states=True)
    verbose = DNAEmbeddingPipeline(model=model, tokenizer=AutoTokenizer.from_pretrained(v2_folder), device="cpu")
    for layer in (1, 1, 2, -1):
        assert_same([verbose("ATGGTA", layer=layer)], [pipe("ATGGTA", layer=layer)], tolerance=0)
    inputs = verbose.tokenizer("ATGGTA", return_tensors="pt")
    assert len(model(**inputs).hidden_states) == LAYERS + 1
