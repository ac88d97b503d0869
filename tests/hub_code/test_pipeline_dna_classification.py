"""pipeline("dna-classification") -> compared with the model's logits and with dna-embedding's vectors."""

import json
import math
from functools import cache

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from dnahub.hub_code import (
    DNAClassificationPipeline,
    DNAEmbeddingPipeline,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from tests.tiny_models import V1, random_model, tokenizer_of, write_checkpoint

LABELS = {0: "Homo sapiens", 1: "Mus musculus", 2: "Escherichia coli"}
SEQUENCES = ["ATGGTAGCTACATCATCTNNA", "G", "acguac" * 30, "TTTTTTA" * 9, "ATG RYK"]


@pytest.fixture(scope="module", params=[{}, V1], ids=["v2", "v1"])
def folder(request, tmp_path_factory):
    labels = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
    folder = tmp_path_factory.mktemp("classifier")
    return write_checkpoint(folder, NucleotideTransformerForSequenceClassification, **labels, **request.param)


def load(folder, **kwargs) -> DNAClassificationPipeline:
    return DNAClassificationPipeline(
        model=NucleotideTransformerForSequenceClassification.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        task="dna-classification",
        device="cpu",
        **kwargs,
    )


@pytest.fixture
def pipe(folder):
    return load(folder)


WHOLE = {"return_logits": True, "return_embedding": True}


@cache
def plain_classes(folder):
    return AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)


def logits_by_hand(folder, sequence: str) -> list[float]:
    tokenizer, model = plain_classes(folder)
    with torch.no_grad():
        return model(**tokenizer(sequence, return_tensors="pt")).logits[0].tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_logits_scores_and_label_are_those_of_the_model(folder, pipe, batch_size):
    results = pipe(SEQUENCES, batch_size=batch_size, **WHOLE)
    seen = set()
    for sequence, result in zip(SEQUENCES, results, strict=True):
        assert list(result) == ["label", "score", "scores", "logits", "embedding"]
        logits = logits_by_hand(folder, sequence)
        assert result["logits"].dtype == np.float32
        np.testing.assert_allclose(result["logits"], logits, rtol=0, atol=1e-5)
        exponentials = [math.exp(logit) for logit in logits]
        for i, name in LABELS.items():
            assert result["scores"][name] == pytest.approx(exponentials[i] / sum(exponentials), abs=1e-5)
        assert list(result["scores"]) == list(LABELS.values())
        assert sum(result["scores"].values()) == pytest.approx(1, abs=1e-6)
        assert result["label"] == LABELS[logits.index(max(logits))]
        assert result["score"] == max(result["scores"].values())
        assert type(result["score"]) is float
        seen.add(result["label"])
    assert len(seen) > 1  # one label for all would prove little


@pytest.mark.parametrize("pooling", ["mean", "mean_without_cls", "cls", "max", "none"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_embedding_is_that_of_dna_embedding(folder, pipe, pooling, normalize):
    embed = DNAEmbeddingPipeline(
        model=NucleotideTransformerModel.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        device="cpu",
    )
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


def test_the_answer_is_plain_python_that_json_can_write(pipe, pipe_of):
    several = pipe_of(id2label=LABELS, problem_type="multi_label_classification")
    for each in (pipe, several, pipe_of(num_labels=1), pipe_of(num_labels=3, problem_type="regression")):
        [result] = json.loads(json.dumps(each(["ATGGTA"])))
        assert not result.keys() & {"logits", "embedding"}


def test_max_length_and_a_generator_are_taken_and_a_layer_is_not(folder, pipe):
    [result] = pipe((sequence for sequence in ["ATGGTAGCTACATCATCT" * 2000]), max_length=3, **WHOLE)
    np.testing.assert_allclose(result["logits"], logits_by_hand(folder, "ATGGTAGCTACA"), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(result["embedding"], pipe("ATGGTAGCTACA", **WHOLE)["embedding"])
    for given in ({}, {"layer": 1}, {"long": "mean"}, {"pooling": "average"}):
        with pytest.raises(ValueError, match=next(iter(given), "max_length")):
            pipe("ATGGTAGCTACATCATCT" * 2000, **given)


def test_an_adapter_by_peft_is_unwrapped(pipe):
    config = LoraConfig(task_type="SEQ_CLS", target_modules=["query"], init_lora_weights=False)
    model = get_peft_model(pipe.model, config).eval()
    by_task = pipeline("dna-classification", model=model, tokenizer=pipe.tokenizer, device="cpu")
    with torch.no_grad():
        expected = model(**pipe.tokenizer("ATGGTA", return_tensors="pt")).logits[0]
    np.testing.assert_allclose(by_task("ATGGTA", **WHOLE)["logits"], expected, rtol=0, atol=1e-5)


def test_text_classification_gives_the_same_label_and_score(folder, pipe):
    plain = pipeline("text-classification", model=pipe.model, tokenizer=pipe.tokenizer, device="cpu")
    for sequence in SEQUENCES:
        expected, result = plain([sequence]), pipe(sequence)
        assert result["label"] == expected[0]["label"]
        assert result["score"] == pytest.approx(expected[0]["score"], abs=1e-6)


@pytest.fixture
def pipe_of():
    """A function that makes the pipeline of another head."""

    def make(**head) -> DNAClassificationPipeline:
        model = random_model(NucleotideTransformerForSequenceClassification, num_hidden_layers=1, **head)
        return DNAClassificationPipeline(model=model, tokenizer=tokenizer_of(model), device="cpu")

    return make


def logits_of(pipe, sequence: str) -> list[float]:
    with torch.no_grad():
        return pipe.model(**pipe.tokenizer(sequence, return_tensors="pt")).logits[0].tolist()


@pytest.mark.parametrize("names", [LABELS, {0: "promoter"}], ids=["three labels", "one label"])
def test_of_several_labels_each_has_a_probability_of_its_own(pipe_of, names):
    pipe = pipe_of(
        id2label=names, label2id={n: i for i, n in names.items()}, problem_type="multi_label_classification"
    )
    numbers = set()
    for sequence, result in zip(SEQUENCES, pipe(SEQUENCES, batch_size=2, return_logits=True), strict=True):
        assert list(result) == ["label", "score", "labels", "scores", "logits"]
        logits = logits_of(pipe, sequence)
        np.testing.assert_allclose(result["logits"], logits, rtol=0, atol=1e-5)
        expected = {name: 1 / (1 + math.exp(-logits[i])) for i, name in names.items()}
        assert result["scores"] == pytest.approx(expected, abs=1e-5)
        assert result["labels"] == [names[i] for i, logit in enumerate(logits) if logit >= 0]
        assert result["label"] == max(expected, key=expected.get)
        assert result["score"] == max(result["scores"].values()) and type(result["score"]) is float
        numbers.add(len(result["labels"]))
    assert len(numbers) > 1 and 0 in numbers  # as many for each, or some for all, would prove little


@pytest.mark.parametrize("problem_type", [None, "regression"])
def test_regression_gives_a_float_and_of_several_numbers_a_list(pipe_of, problem_type):
    for num_labels in (1, 3) if problem_type else (1,):
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


def test_a_head_that_gives_nan_is_an_error(folder):
    pipe = load(folder)
    with torch.no_grad():
        next(pipe.model.classifier.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN.*logits"):
        pipe("ATGGTAGCTACA")
