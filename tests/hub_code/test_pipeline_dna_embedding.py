"""pipeline("dna-embedding") -> compared with the model card's recipe, and with slow, obvious poolings."""

import io
import multiprocessing
import pickle
import random
from functools import cache

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from hypothesis import strategies as st
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModel, AutoTokenizer, pipeline
from transformers.pipelines.pt_utils import KeyDataset
from transformers.utils import logging as logging_of_transformers

from dnahub.hub_code import (
    DNAEmbeddingPipeline,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerModel,
    pipeline_dna_embedding,
)
from dnahub.hub_code.pipeline_dna_embedding import LEAST_FILLED, SequenceError, batches_of, pool
from tests.messages import naming
from tests.tiny_models import V1, write_checkpoint

BOTH = {"long": "windows", "window_nt": 60, "reverse_complement": True}


@pytest.fixture(scope="module")
def v2_folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("v2"), NucleotideTransformerForMaskedLM)


@pytest.fixture(scope="module", params=[{}, V1], ids=["v2", "v1"])
def folder(request, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("any"), NucleotideTransformerForMaskedLM, **request.param)


def load(folder, **kwargs) -> DNAEmbeddingPipeline:
    model = NucleotideTransformerModel.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return DNAEmbeddingPipeline(model=model, tokenizer=tokenizer, task="dna-embedding", device="cpu", **kwargs)


@pytest.fixture
def pipe(v2_folder):
    return load(v2_folder)


def random_dna(num_nt: int, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=num_nt))


def sequences_of_mixed_length(count: int = 11, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    sequences = ["".join(rng.choices("ACGTN", weights=(9, 9, 9, 9, 1), k=rng.randrange(1, 400))) for _ in range(count)]
    return [*sequences, "A", "ACGTAC", "N"]


@cache
def states_by_hand(folder, sequence: str) -> list[np.ndarray]:
    """Every layer's hidden states of one sequence alone, (tokens, hidden), through the plain Auto classes."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    with torch.no_grad():
        out = model(**tokenizer(sequence, return_tensors="pt"), output_hidden_states=True)
    return [states[0].double().numpy() for states in out.hidden_states]


# Of the states of one sequence, (tokens, hidden), without padding.
SLOW_POOL = {
    "mean": lambda states: sum(states) / len(states),
    "mean_without_cls": lambda states: sum(states[1:]) / len(states[1:]),
    "cls": lambda states: states[0],
    "max": lambda states: np.array([max(column) for column in states.T]),
    "none": lambda states: states,
}
POOLINGS = tuple(SLOW_POOL)


def assert_same(got, expected, tolerance: float = 1e-5) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


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
        expected = [SLOW_POOL[pooling](states_by_hand(folder, sequence)[layer]) for sequence in sequences]
        assert_same(pipe(sequences, pooling=pooling, batch_size=3), expected)
        units = [vector / np.linalg.norm(vector, axis=-1, keepdims=True) for vector in expected]
        assert_same(pipe(sequences, pooling=pooling, normalize=True), units)


def test_arguments_of_the_call_override_those_of_the_construction(v2_folder):
    pipe = load(v2_folder, pooling="cls", layer=1, max_length=3, normalize=True)
    sequence = "ATGGTAGCTACATCATCT"
    states = states_by_hand(v2_folder, sequence[:12])[1]
    assert_same([pipe(sequence)], [states[0] / np.linalg.norm(states[0])])
    assert_same([pipe(sequence, pooling="mean", normalize=False)], [states.mean(0)])
    expected = states_by_hand(v2_folder, sequence)[-1][0]
    assert_same([pipe(sequence, layer=-1, max_length=None, normalize=False)], [expected])
    assert_same([pipe(sequence)], [states[0] / np.linalg.norm(states[0])])  # the call changed nothing for good


def test_every_kind_of_input_gives_the_same_vectors_in_the_same_order(pipe):
    sequences = sequences_of_mixed_length(8)
    expected = [pipe(sequence) for sequence in sequences]
    dataset = Dataset.from_dict({"sequence": sequences})
    assert_same(pipe(sequences, batch_size=3), expected)
    assert_same(pipe(tuple(sequences), batch_size=3), expected)
    streamed = dataset.to_iterable_dataset()["sequence"]
    iterables = [iter(sequences), np.array(sequences), dataset["sequence"], streamed, KeyDataset(dataset, "sequence")]
    for given in iterables:
        result = pipe(given, batch_size=3)
        assert not isinstance(result, list)
        assert_same(list(result), expected)


def test_no_sequences_give_no_vectors(pipe):
    assert pipe([]) == list(pipe(iter([]))) == list(pipe(np.array([], dtype=str))) == []


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


@pytest.mark.parametrize("text", ["auggUAgct", " ATG GTA\tGCT\r\n", "A T G\nG T A\nG C T", "AAA AAA AAA AAA"])
def test_case_u_and_white_space_do_not_matter(pipe, text):
    np.testing.assert_array_equal(pipe(text), pipe("".join(text.split()).upper().replace("U", "T")))
    assert pipe.num_replaced == 0


def test_unknown_letters_are_read_as_n_counted_and_warned_of_once(pipe, caplog):
    np.testing.assert_array_equal(pipe("ATGNGTANN"), pipe("ATGNGTANN".lower()))
    assert (pipe.num_replaced, caplog.messages) == (0, [])
    np.testing.assert_array_equal(pipe("ATGRGTA-*"), pipe("ATGNGTANN"))
    assert pipe.num_replaced == 3
    assert len(caplog.messages) == 1 and "3 " in caplog.text
    list(pipe(["ACGT", "ryk", "W"], batch_size=2))
    assert pipe.num_replaced == 7
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("text", "plain"),
    [("AC<unk>TT", "ACNTNNNTT"), ("ATG<cls>", "ATGNCNNN"), ("ACGT<mask>", "ACGTNNANNN"), ("AC<pad>T", "ACNNANNT")],
)
def test_the_names_of_special_tokens_are_letters_like_any_other(pipe, text, plain):
    np.testing.assert_array_equal(pipe(text), pipe(plain))


class Seq:
    """As Biopython's: neither a string nor a list, but iterated letter by letter."""

    def __iter__(self):
        return iter("ACGT")


NOT_SEQUENCES = [None, 3, b"ACGT", {"sequence": "ACGT"}, pd.DataFrame({"sequence": ["ACGT"]}), Seq(), io.StringIO()]


@pytest.mark.parametrize("given", NOT_SEQUENCES, ids=lambda given: type(given).__name__)
def test_another_type_is_an_error_that_names_it(pipe, given):
    for call in (pipe, pipe.encode, lambda each: pipe(["ACGT", each])):
        with pytest.raises(ValueError, match=type(given).__name__):
            call(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("genes.fa", "'genes.fa'.*file"),
        ("data/genes.FASTQ.gz", "file"),
        ("x.h5ad\n", "file"),
        ("", "empty sequence"),
        (" \n\t", "empty sequence"),
        (">gene1 human\nACGT", ">gene1.*FASTA"),
        ("ACGT\n>gene2\nACGT", "FASTA"),
        (f"@read1\n{'ACGT' * 9}\n+\n{'I' * 36}\n", "record"),
        ("peaks.vcf.bgz", "'peaks.vcf.bgz'.*file"),
        ("s.2bit\n", "'s.2bit.*nucleotides"),
        ('{"sequence": "ACGT"}', "nucleotides"),
        ("MKVLAAGIVGLCAKEKLPQRSTVWYEDNHF", "MKVLA.*nucleotides"),
        ("ACGTAC CGTACG GTACGT TACGTT ACGTTA", "overlapping k-mers.*ACGTAC CGTACG"),
        ("ACGTTG GTTGCA TGCAAG CAAGGC AGGCTT GCTTAA TTAACT AACTCC CTCCAG", "overlapping k-mers.*ACGTTG GTTGCA"),
        ("ACGTTG CGTTGC GTTGCA TTGCA TGCA GCA CA A", "overlapping k-mers.*ACGTTG CGTTGC"),
    ],
)
def test_text_without_a_plain_sequence_is_an_error(pipe, text, message):
    for call in (pipe, pipe.encode, lambda each: pipe([each]), lambda each: list(pipe(iter([each])))):
        with pytest.raises(SequenceError, match=message):
            call(text)


def test_v2_takes_12282_nt_and_not_a_token_more(pipe, v2_folder):
    longest = random_dna(12_282)
    assert_same([pipe(longest)], [states_by_hand(v2_folder, longest)[-1].mean(0)])
    with pytest.raises(ValueError, match=r"12283 .*2049 tokens.* 2048.*max_length"):
        pipe(longest + "A")
    assert_same([pipe(longest + "A", max_length=2048)], [pipe(longest)], tolerance=0)


OUT_OF_RANGE = [
    *({"pooling": "average"}, {"layer": 4}, {"layer": "last"}, {"normalize": "no"}, {"poolin": "mean"}),
    *({"long": "mode"}, {"max_length": 1}, {"max_length": 2049}, {"max_length": 100.5}, {"window_nt": 0}),
    *({"stride_nt": True}, {"window_nt": 115, "max_length": 20}, {"stride_nt": 61, "window_nt": 60}),
    *({"pooling": "none", "long": "mean"}, {"pooling": "none", "reverse_complement": True}),
    *({"batch_size": 0}, {"batch_size": "4"}),
]


@pytest.mark.parametrize("arguments", OUT_OF_RANGE, ids=str)
def test_an_argument_out_of_range_is_an_error_at_construction_and_at_the_call(v2_folder, pipe, arguments):
    name, value = next(iter(arguments.items()))
    facts = naming(name) if name == "poolin" else naming(name, value)
    for call in (pipe, pipe.encode, lambda sequence, **arguments: load(v2_folder, **arguments)(sequence)):
        with pytest.raises(ValueError, match=facts):
            call("ACGTACGTACGT", **arguments)


def test_a_token_budget_or_pooling_that_does_not_exist_is_an_error(v2_folder):
    with pytest.raises(ValueError, match="batch_tokens 0"):
        load(v2_folder, batch_tokens=0)
    with pytest.raises(ValueError, match="mean, mean_without_cls, cls, max, none"):
        pool(torch.zeros(1, 2, 3), torch.ones(1, 2), "average")


@pytest.mark.parametrize("arguments", [{"window_nt": 60}, {"stride_nt": 60, "max_length": 20}], ids=str)
def test_windows_need_a_way_to_become_a_vector_which_the_call_may_give(v2_folder, pipe, arguments):
    for each, given in ((pipe, arguments), (load(v2_folder, **arguments), {})):
        with pytest.raises(ValueError, match="window_nt.*'mean' or 'windows'"):
            each("ACGT", **given)
        assert each("ACGT", long="mean", **given).shape == each.encode("ACGT", **given).shape == (32,)


@pytest.mark.parametrize("kind", [list, iter, np.array])
def test_the_error_of_a_sequence_says_which_of_all_that_were_given(pipe, monkeypatch, kind):
    monkeypatch.setattr(pipeline_dna_embedding, "BUFFER_NT", 10)
    for call in (pipe, pipe.encode):
        with pytest.raises(SequenceError, match="Sequence 7 .*empty sequence") as error:
            list(call(kind(["ACGT"] * 7 + [""] + ["ACGT"])))
        assert pickle.loads(pickle.dumps(error.value)).index == 7


def test_encode_gives_one_array_in_the_order_of_the_sequences(v2_folder, pipe):
    sequences = sequences_of_mixed_length()
    vectors = pipe.encode(sequences)
    assert type(vectors) is np.ndarray
    assert (vectors.shape, vectors.dtype) == ((len(sequences), 32), np.float32)
    assert_same(vectors, [states_by_hand(v2_folder, sequence)[-1].mean(0) for sequence in sequences])
    for given in (iter(sequences), np.array(sequences), Dataset.from_dict({"sequence": sequences})["sequence"]):
        assert_same(pipe.encode(given, batch_size=2), vectors)


def test_encode_of_one_string_is_one_vector_and_of_an_empty_list_an_array_without_rows(pipe):
    assert_same([pipe.encode("ATGGTA")], [pipe("ATGGTA")], tolerance=0)
    empty = pipe.encode([])
    assert (empty.shape, empty.dtype) == ((0, 32), np.float32)
    assert pipe.encode([], pooling="none") == pipe.encode([], long="windows") == []


def test_encode_embeds_a_long_sequence_whole_where_the_call_says_no(pipe):
    sequence = random_dna(12_288)
    with pytest.raises(ValueError, match="12288 "):
        pipe(sequence)
    assert_same([pipe.encode(sequence)], [pipe(sequence, long="mean")], tolerance=0)
    for arguments in ({"long": "error"}, {"pooling": "none"}):
        with pytest.raises(SequenceError, match="12288 "):
            pipe.encode(["A", sequence], **arguments)
    assert_same([pipe.encode(sequence, max_length=9)], [pipe(sequence, max_length=9, long="mean")], tolerance=0)


def test_encode_shows_a_bar_if_asked(pipe, capfd):
    logging_of_transformers.enable_progress_bar()
    pipe.encode(["ACGT"] * 30)
    assert capfd.readouterr().err == ""
    pipe.encode(["ACGT"] * 30, show_progress=True)
    assert "30/30" in (shown := capfd.readouterr().err) and "sequences" in shown


def windows_by_hand(sequence: str, window_nt: int, stride_nt: int) -> list[str]:
    windows, start = [], 0
    while True:
        windows.append(sequence[start : start + window_nt])
        if start + window_nt >= len(sequence):
            return windows
        start += stride_nt


LONG_SEQUENCES = [random_dna(num_nt, seed=i) for i, num_nt in enumerate((200, 61, 131, 60, 5))]


@pytest.mark.parametrize("pooling", ["mean", "mean_without_cls", "cls", "max"])
@pytest.mark.parametrize(("window_nt", "stride_nt"), [(60, 24), (60, 60), (37, 11), (4, 4)])
def test_long_sequences_are_the_mean_of_their_windows_weighted_by_their_tokens(
    v2_folder, pipe, pooling, window_nt, stride_nt
):
    expected, every = [], []
    for sequence in LONG_SEQUENCES:
        states = [states_by_hand(v2_folder, text)[-1] for text in windows_by_hand(sequence, window_nt, stride_nt)]
        every.append(np.array([SLOW_POOL[pooling](tokens) for tokens in states]))
        weights = [len(tokens) for tokens in states]
        expected.append(sum(w * vector for w, vector in zip(weights, every[-1], strict=True)) / sum(weights))
    arguments = {"pooling": pooling, "window_nt": window_nt, "stride_nt": stride_nt}
    assert_same(pipe(LONG_SEQUENCES, long="mean", **arguments), expected)
    assert_same(pipe.encode(LONG_SEQUENCES, **arguments), expected)
    assert_same(pipe(LONG_SEQUENCES, long="windows", **arguments), every)
    assert_same([pipe(LONG_SEQUENCES[0], long="windows", **arguments)], every[:1])
    # The mean over windows is normalised, or each window where these are kept.
    units = [vector / np.linalg.norm(vector) for vector in expected]
    assert_same(pipe(LONG_SEQUENCES, long="mean", normalize=True, **arguments), units)
    units = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in every]
    assert_same(pipe.encode(LONG_SEQUENCES, long="windows", normalize=True, **arguments), units)


def test_without_a_window_one_is_what_max_length_reaches_and_they_overlap_by_a_quarter(v2_folder, pipe):
    sequence = LONG_SEQUENCES[0]
    expected = [states_by_hand(v2_folder, text)[-1].mean(0) for text in windows_by_hand(sequence, 78, 54)]
    assert_same([pipe(sequence, max_length=14, long="windows")], [np.array(expected)])
    long = random_dna(13_000)
    pieces = pipe.preprocess(long, long="mean")
    texts = pipe.tokenizer.batch_decode([piece["input_ids"] for piece in pieces], skip_special_tokens=True)
    assert texts == [long[:12_282], long[9210:]]


def test_truncating_is_embedding_the_beginning(v2_folder, pipe):
    sequences = [*LONG_SEQUENCES, "ACGT" + "N" * 70]
    prefixes = [sequence[:42] for sequence in LONG_SEQUENCES] + ["ACGT" + "N" * 3]
    expected = pipe(prefixes)
    assert_same(pipe(sequences, max_length=8), expected)
    assert_same(
        pipe(sequences, max_length=8, long="truncate", reverse_complement=True),
        pipe(prefixes, reverse_complement=True),
    )


def test_a_stretch_of_n_beyond_the_positions_is_embedded_in_pieces(v2_folder, pipe):
    sequence = "ACGTAC" * 2 + "N" * 40
    expected = [states_by_hand(v2_folder, text)[-1] for text in ("ACGTAC" * 2 + "N" * 17, "N" * 19, "N" * 14)]
    assert_same(
        [pipe(sequence, max_length=20, long="mean")],
        [sum(len(states) * states.mean(0) for states in expected) / sum(map(len, expected))],
    )
    with pytest.raises(SequenceError, match="52 .*43 tokens.* 20 tokens"):
        pipe(sequence, max_length=20, long="error")


def other_strand(sequence: str) -> str:
    partner = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}
    return "".join(partner[letter] for letter in reversed(sequence))


@pytest.mark.parametrize("pooling", ["mean", "mean_without_cls", "cls", "max"])
def test_both_strands_are_their_mean(folder, pooling):
    pipe = load(folder)
    sequences = [*sequences_of_mixed_length(5), "GAATTC"]
    others = [other_strand(sequence) for sequence in sequences]
    expected = []
    for strands in zip(sequences, others, strict=True):
        forward, backward = (SLOW_POOL[pooling](states_by_hand(folder, strand)[2]) for strand in strands)
        expected.append((forward + backward) / 2)
    for given in (sequences, others):
        assert_same(pipe(given, pooling=pooling, layer=2, reverse_complement=True), expected)


def test_windows_of_both_strands_are_the_same_windows(v2_folder, pipe):
    sequence = LONG_SEQUENCES[0]
    expected = []
    for text in windows_by_hand(sequence, 60, 24):
        strands = text, other_strand(text)
        expected.append(sum(states_by_hand(v2_folder, strand)[-1].mean(0) for strand in strands) / 2)
    arguments = {"window_nt": 60, "stride_nt": 24, "reverse_complement": True}
    assert_same([pipe(sequence, long="windows", **arguments)], [np.array(expected)])


@pytest.mark.parametrize("pooling", ["mean", "none"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(v2_folder, number, pooling):
    pipe = load(v2_folder)
    with torch.no_grad():
        next(layer for name, layer in pipe.model.named_parameters() if name.endswith("dense.weight"))[0, 0] = number
    with pytest.raises(ValueError, match="NaN.*embedding"):
        pipe(["ACGTAC", "A"], pooling=pooling)
    narrow = DNAEmbeddingPipeline(pipe.model.half(), pipe.tokenizer, device="cpu")
    with pytest.raises(ValueError, match="float16.*float32"):
        narrow(["ACGTAC", "A"], pooling=pooling)


def test_the_registered_task_takes_any_head_and_a_device_map(v2_folder, pipe):
    model = NucleotideTransformerForMaskedLM.from_pretrained(v2_folder, device_map="cpu")
    by_task = pipeline("dna-embedding", model=model, tokenizer=pipe.tokenizer, layer=2)
    assert type(by_task) is DNAEmbeddingPipeline
    assert_same(by_task(LONG_SEQUENCES), pipe(LONG_SEQUENCES, layer=2), tolerance=1e-6)


@pytest.mark.parametrize("device", ["cuda:1", "mps", torch.device("cuda"), "gpu"], ids=repr)
def test_a_device_that_this_machine_lacks_is_one_sentence(pipe, device):
    with pytest.raises(ValueError, match=naming(f"device {device!r}", "'cpu'")):
        DNAEmbeddingPipeline(pipe.model, pipe.tokenizer, device=device)


def embedded(batch: dict, pipe: DNAEmbeddingPipeline) -> dict:
    return {"embedding": pipe(batch["sequence"])}


def test_the_pipeline_works_in_the_processes_of_map(pipe):
    sequences = sequences_of_mixed_length(8)
    dataset = Dataset.from_dict({"sequence": sequences})
    mapped = dataset.map(embedded, batched=True, batch_size=4, fn_kwargs={"pipe": pipe}, num_proc=2)
    assert mapped["sequence"][:] == sequences
    assert_same(mapped.with_format("numpy")["embedding"][:], pipe(sequences))


@pytest.mark.parametrize("arguments", [{}, {"pooling": "none"}, {"long": "windows", "window_nt": 60}, BOTH], ids=str)
def test_the_three_steps_of_one_sequence_are_the_call(pipe, arguments):
    preprocess, forward, postprocess = pipe._sanitize_parameters(**arguments)
    for sequence in ["ATGGTAGCTACATCATCTNNA", random_dna(300)]:
        pieces = pipe.forward(pipe.preprocess(sequence, **preprocess), **forward)
        assert_same([pipe.postprocess(pieces, **postprocess)], [pipe(sequence, **arguments)], tolerance=1e-6)
        assert_same([pipe.run_single(sequence, preprocess, forward, postprocess)], [pipe(sequence, **arguments)], 1e-6)


def test_an_adapter_by_peft_is_unwrapped_and_learned_prompts_are_refused(v2_folder, pipe):
    model = get_peft_model(pipe.model, LoraConfig(target_modules=["query"], init_lora_weights=False)).eval()
    with torch.no_grad():
        expected = model(**pipe.tokenizer("ATGGTA", return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
    assert_same([DNAEmbeddingPipeline(model, pipe.tokenizer, device="cpu")("ATGGTA")], [expected])
    mixed = get_peft_model(load(v2_folder).model, LoraConfig(target_modules=["query"]), mixed=True)
    assert_same([DNAEmbeddingPipeline(mixed, pipe.tokenizer, device="cpu")("ATGGTA")], [load(v2_folder)("ATGGTA")])
    config = PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=2)
    with pytest.raises(ValueError, match="learned prompts"):
        DNAEmbeddingPipeline(get_peft_model(load(v2_folder).model, config), pipe.tokenizer, device="cpu")


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.lists(st.integers(2, 300), max_size=60), st.integers(1, 2000), st.none() | st.integers(1, 20))
def test_every_piece_is_in_one_batch_and_no_batch_is_too_large_or_padded(lengths, batch_tokens, batch_size):
    batches = batches_of(lengths, batch_tokens, batch_size)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        own = [lengths[i] for i in batch]
        assert own == sorted(own, reverse=True)
        assert len(own) == 1 or own[0] * len(own) <= batch_tokens and len(own) <= (batch_size or len(own))
        assert own[-1] >= LEAST_FILLED * own[0]


@pytest.fixture
def shapes(pipe):
    """The shapes of the batches that the model sees."""
    seen = []
    pipe.model.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    return seen


def test_a_list_is_batched_by_length_within_the_token_budget(pipe, shapes):
    pipe(["ACGTAC" * 10] * 100 + ["ACGTAC"] * 50)
    assert shapes == [(69, 11), (31, 11), (50, 2)]
    shapes.clear()
    list(pipe(iter(["ACGTAC"] * 3)))
    pipe(["ACGTAC"] * 3, batch_size=2)
    pipe.encode("ACGTAC" * 30, window_nt=6, batch_size=20)
    assert shapes == [(1, 2)] * 3 + [(2, 2), (1, 2)] + [(20, 2), (10, 2)]


@pytest.mark.parametrize("arguments", [{}, {"pooling": "none"}, BOTH], ids=str)
def test_a_batch_that_does_not_fit_is_divided_until_it_does(v2_folder, pipe, shapes, arguments):
    def run_out(module, inputs):
        if inputs[0].numel() > 120:
            raise torch.OutOfMemoryError(f"{inputs[0].numel()} tokens")

    sequences = sequences_of_mixed_length(30)
    pipe.model.register_forward_pre_hook(run_out)
    assert_same(pipe(sequences, **arguments), load(v2_folder)(sequences, **arguments))
    assert any(rows * width > 120 for rows, width in shapes)
    with pytest.raises(torch.OutOfMemoryError, match="201 tokens"):
        pipe("ACGTAC" * 200)


def test_a_forked_child_embeds_though_its_parent_has_used_all_cores(pipe):
    sequence = random_dna(12_282)  # 65,536 numbers a layer: torch shares them out
    torch.set_num_threads(2)
    try:
        pipe(sequence)
        child = multiprocessing.get_context("fork").Process(target=pipe, args=(sequence,))
        child.start()
        child.join(60)
        waits = child.is_alive()
        child.kill()
        child.join()
        assert not waits and child.exitcode == 0
    finally:
        torch.set_num_threads(1)


def _ablate(pipe) -> None:
    pipe.model.encoder.layer[0].attention.self.value.weight.data[:8] = 0


def _wrap(pipe) -> None:
    class Doubled(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, *args):
            return 2 * self.module(*args)

    pipe.model.encoder.layer[0].intermediate = Doubled(pipe.model.encoder.layer[0].intermediate)


def _replace(pipe) -> None:
    torch.manual_seed(1)
    pipe.model = NucleotideTransformerModel(pipe.model.config).eval()


def _hook(pipe) -> None:
    pipe.model.encoder.layer[1].register_forward_hook(lambda module, args, output: 2 * output)


def _quantise(pipe) -> None:
    pipe.model = torch.ao.quantization.quantize_dynamic(pipe.model, {torch.nn.Linear}, torch.qint8)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:UserWarning")
@pytest.mark.parametrize("edit", [_ablate, _wrap, _replace, _hook, _quantise])
def test_whatever_is_edited_in_the_loaded_model_takes_effect(pipe, edit):
    sequence = random_dna(200)
    before = pipe(sequence)
    edit(pipe)
    with torch.no_grad():
        hidden = pipe.model(**pipe.tokenizer(sequence, return_tensors="pt")).last_hidden_state[0]
    assert_same(pipe(sequence), hidden.mean(dim=0).numpy())
    assert np.abs(pipe(sequence) - before).max() > 1e-4
