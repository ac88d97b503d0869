"""pipeline("dna-classification") -> compared with the model's logits and with dna-embedding's vectors."""

import json
import math
from itertools import groupby, pairwise

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import pipeline

from dnahub.hub_code import (
    DNAClassificationPipeline,
    DNAEmbeddingPipeline,
    DNATokenClassificationPipeline,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from tests.messages import naming
from tests.tiny_models import V1, random_model, tokenizer_of

LABELS = {0: "Homo sapiens", 1: "Mus musculus", 2: "Escherichia coli"}
SEQUENCES = ["ATGGTAGCTACATCATCTNNA", "G", "acguac" * 30, "TTTTTTA" * 9, "ATG RYK"]
WHOLE = {"return_logits": True, "return_embedding": True}


@pytest.fixture
def pipe_of():
    """A function that makes the pipeline of a model with this head."""

    def make(**fields) -> DNAClassificationPipeline:
        model = random_model(NucleotideTransformerForSequenceClassification, **fields)
        return DNAClassificationPipeline(model, tokenizer_of(model), task="dna-classification", device="cpu")

    return make


@pytest.fixture(params=[{}, V1], ids=["v2", "v1"])
def pipe(request, pipe_of):
    return pipe_of(id2label=LABELS, **request.param)


def logits_of(pipe, sequence: str) -> list[float]:
    with torch.no_grad():
        return pipe.model(**pipe.tokenizer(sequence, return_tensors="pt")).logits[0].tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_logits_scores_and_label_are_those_of_the_model(pipe, batch_size):
    results = pipe(SEQUENCES, batch_size=batch_size, **WHOLE)
    for sequence, result in zip(SEQUENCES, results, strict=True):
        assert list(result) == ["label", "score", "scores", "logits", "embedding"]
        logits = logits_of(pipe, sequence)
        assert result["logits"].dtype == np.float32
        np.testing.assert_allclose(result["logits"], logits, rtol=0, atol=1e-5)
        exponentials = [math.exp(logit) for logit in logits]
        expected = {name: exponentials[i] / sum(exponentials) for i, name in LABELS.items()}
        assert result["scores"] == pytest.approx(expected, abs=1e-5)
        assert list(result["scores"]) == list(LABELS.values())
        assert result["label"] == LABELS[logits.index(max(logits))]
        assert result["score"] == max(result["scores"].values())
    assert len({result["label"] for result in results}) > 1  # one label for all would prove little


@pytest.mark.parametrize("pooling", ["mean", "mean_without_cls", "cls", "max", "none"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_embedding_is_that_of_dna_embedding(pipe, pooling, normalize):
    embed = DNAEmbeddingPipeline(pipe.model, pipe.tokenizer, device="cpu")
    expected = [embed(sequence, pooling=pooling, normalize=normalize) for sequence in SEQUENCES]
    results = pipe(SEQUENCES, pooling=pooling, normalize=normalize, batch_size=3, return_embedding=True)
    for result, vector in zip(results, expected, strict=True):
        assert result["embedding"].shape == vector.shape
        assert result["embedding"].dtype == np.float32
        np.testing.assert_allclose(result["embedding"], vector, rtol=0, atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, WHOLE], ids=["labels", "all"])
def test_the_model_runs_once_a_batch_by_its_own_forward(pipe, arguments):
    runs, forward = [], pipe.model.forward
    pipe.model.forward = lambda *args, **kwargs: runs.append(len(args[0])) or forward(*args, **kwargs)
    pipe(["AAAC", "AAAG", "AAAT", "AACA", "AACC"], batch_size=3, **arguments)
    assert runs == [3, 2]


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification", "regression"])
def test_the_answer_can_be_written_as_json(pipe_of, problem_type):
    [result] = pipe_of(num_labels=3, problem_type=problem_type)(["ATGGTA"])
    assert json.loads(json.dumps(result)) == result


def test_max_length_and_a_generator_are_accepted_and_a_layer_is_not(pipe):
    [result] = pipe((sequence for sequence in ["ATGGTAGCTACATCATCT" * 2000]), max_length=3, **WHOLE)
    np.testing.assert_allclose(result["logits"], logits_of(pipe, "ATGGTAGCTACA"), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(result["embedding"], pipe("ATGGTAGCTACA", **WHOLE)["embedding"])
    for given in ({}, {"layer": 1}, {"long": "error"}, {"pooling": "average"}):
        with pytest.raises(ValueError, match=next(iter(given), "max_length")):
            pipe("ATGGTAGCTACATCATCT" * 2000, **given)


@pytest.mark.parametrize("names", [LABELS, {0: "promoter"}], ids=["three labels", "one label"])
def test_of_several_labels_each_has_a_probability_of_its_own(pipe_of, names):
    pipe = pipe_of(id2label=names, problem_type="multi_label_classification", num_hidden_layers=1)
    numbers = set()
    for sequence, result in zip(SEQUENCES, pipe(SEQUENCES, batch_size=2, return_logits=True), strict=True):
        assert list(result) == ["label", "score", "labels", "scores", "logits"]
        logits = logits_of(pipe, sequence)
        np.testing.assert_allclose(result["logits"], logits, rtol=0, atol=1e-5)
        expected = {name: 1 / (1 + math.exp(-logits[i])) for i, name in names.items()}
        assert result["scores"] == pytest.approx(expected, abs=1e-5)
        assert result["labels"] == [names[i] for i, logit in enumerate(logits) if logit >= 0]
        assert result["label"] == max(expected, key=expected.get)
        assert result["score"] == max(result["scores"].values())
        numbers.add(len(result["labels"]))
    assert len(numbers) > 1 and 0 in numbers  # as many for each, or some for all, would prove little


@pytest.mark.parametrize(("num_labels", "problem_type"), [(1, None), (1, "regression"), (3, "regression")])
def test_regression_gives_a_float_and_of_several_numbers_a_list(pipe_of, num_labels, problem_type):
    pipe = pipe_of(num_labels=num_labels, problem_type=problem_type)
    for sequence, result in zip(SEQUENCES, pipe(SEQUENCES, batch_size=3), strict=True):
        assert list(result) == ["value"] and type(result["value"]) is (float if num_labels == 1 else list)
        np.testing.assert_allclose(np.atleast_1d(result["value"]), logits_of(pipe, sequence), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "cls",
    [NucleotideTransformerModel, NucleotideTransformerForMaskedLM, NucleotideTransformerForTokenClassification],
    ids=lambda cls: cls.__name__,
)
def test_a_model_without_a_head_for_sequences_is_refused(pipe, cls):
    with pytest.raises(ValueError, match=cls.__name__):
        DNAClassificationPipeline(model=cls(pipe.model.config), tokenizer=pipe.tokenizer, device="cpu")


def test_encode_gives_the_embeddings_alone(pipe):
    vectors = pipe.encode(SEQUENCES)
    np.testing.assert_array_equal(vectors, [result["embedding"] for result in pipe(SEQUENCES, **WHOLE)])
    assert pipe.encode("ACGT").shape == (32,)


def test_a_head_that_gives_nan_is_an_error(pipe):
    with torch.no_grad():
        next(pipe.model.classifier.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN.*logits"):
        pipe("ATGGTAGCTACA")


def test_an_adapter_by_peft_is_unwrapped(pipe):
    adapted = get_peft_model(pipe.model, LoraConfig(task_type="SEQ_CLS", target_modules=["query"])).eval()
    classify = pipeline("dna-classification", model=adapted, tokenizer=pipe.tokenizer, device="cpu")
    assert classify("ATGGTAGCTACA")["scores"] == pipe("ATGGTAGCTACA")["scores"]


MOST = 20  # tokens that the model below takes, `<cls>` included


@pytest.fixture
def of_tokens() -> DNATokenClassificationPipeline:
    fields = {"id2label": LABELS, "max_position_embeddings": MOST + 2}
    model = random_model(NucleotideTransformerForTokenClassification, **fields)
    return DNATokenClassificationPipeline(model=model, tokenizer=tokenizer_of(model), device="cpu", ignore_labels=[])


def labels_by_hand(pipe, sequence: str, overlap: int) -> list[tuple[str, float]]:
    """Label and score of each token, from the window with the most neighbours on the side where it has fewer."""
    ids = pipe.tokenizer(sequence, add_special_tokens=False, verbose=False).input_ids
    size, best = MOST - 1, {}
    for start in range(0, max(1, len(ids) - overlap), size - overlap):
        window = ids[start : start + size]
        with torch.no_grad():
            probabilities = pipe.model(torch.tensor([[pipe.tokenizer.cls_token_id, *window]])).logits[0, 1:].softmax(1)
        for i, row in enumerate(probabilities.tolist()):
            before = i if start else math.inf
            after = len(window) - 1 - i if start + len(window) < len(ids) else math.inf
            best[start + i] = max(best.get(start + i, (-1,)), (min(before, after), -start, row))
    return [(LABELS[row.index(max(row))], max(row)) for *_, row in (best[i] for i in range(len(ids)))]


@pytest.mark.parametrize(
    ("stride", "overlap"),
    [({}, MOST // 4), ({"stride": 6, "aggregation_strategy": "none"}, 6), ({"stride": 0}, 0)],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_token_of_a_long_sequence_has_its_label_once(of_tokens, stride, overlap, batch_size):
    sequences = ["ACGGTTCAT" * 90 + "N" * 30 + "GAT" * 41, "acg\nTTAGACNA", "ATGGTA" * (MOST - 1)]
    for sequence, tokens in zip(sequences, of_tokens(sequences, batch_size=batch_size, **stride), strict=True):
        letters = [i for i, letter in enumerate(sequence) if not letter.isspace()]
        assert [i for each in tokens for i in range(each["start"], each["end"]) if i in letters] == letters
        expected = labels_by_hand(of_tokens, sequence, overlap)
        assert [each["entity"] for each in tokens] == [label for label, _ in expected]
        assert [each["score"] for each in tokens] == pytest.approx([score for _, score in expected], abs=1e-5)
        assert json.loads(json.dumps(tokens)) == tokens
    whole = of_tokens(sequences[0], **stride | {"aggregation_strategy": "simple"})
    groups = [
        (label, sum(1 for _ in run))
        for label, run in groupby(label for label, _ in labels_by_hand(of_tokens, sequences[0], overlap))
    ]
    assert [each["entity_group"] for each in whole] == [label for label, _ in groups]
    assert whole[0]["start"] == 0 and whole[-1]["end"] == len(sequences[0])
    assert all(before["end"] == after["start"] for before, after in pairwise(whole))


@pytest.mark.parametrize(
    ("sequence", "arguments", "named"),
    [
        ("ACGT", {"aggregation_strategy": "first"}, "aggregation_strategy first"),
        ("ACGT" * MOST, {"stride": MOST - 1}, f"stride {MOST - 1}"),
        ("ACGT" * MOST, {"stride": -1}, "stride -1"),
        ("genes.fa", {}, "genes.fa"),
        (["ACGT", ["AC", "GT"]], {}, "list"),
        ("", {}, "empty"),
    ],
)
def test_what_cannot_be_labelled_is_an_error(of_tokens, sequence, arguments, named):
    with pytest.raises(ValueError, match="device 'cuda'.*'cpu'"):
        DNATokenClassificationPipeline(model=of_tokens.model, tokenizer=of_tokens.tokenizer, device="cuda")
    with pytest.raises(ValueError, match=naming(*named.split())):
        of_tokens(sequence, **arguments)
