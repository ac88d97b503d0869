"""handler.py of a checkpoint, as the Hub's inference toolkit calls it: in a fresh process, from another folder."""

import json
import math

import pytest

from dnahub.checkpoints.saving import save_checkpoint
from dnahub.hub_code import (
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from tests import forked
from tests.tiny_models import random_model, tokenizer_of

MODELS = {
    "classes": (NucleotideTransformerForSequenceClassification, {"id2label": {0: "fly", 1: "mouse"}}),
    "tokens": (NucleotideTransformerForTokenClassification, {"id2label": {0: "intron", 1: "exon"}}),
    "masked LM": (NucleotideTransformerForMaskedLM, {}),
}
# What the toolkit does: it imports the file by its path, and answers with JSON, or 400 and the text of an exception.
CALL = """
import importlib.util, json, sys
path, requests = sys.argv[1], json.loads(sys.argv[2])
spec = importlib.util.spec_from_file_location("handler", f"{path}/handler.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
handler = module.EndpointHandler(path)
for request in requests:
    try:
        print(json.dumps({"answer": handler(request)}))
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory, environment):
    """A function that sends requests to the handler of a checkpoint of `MODELS`: their answers, or errors."""
    folders = {}

    def ask(name: str, *requests) -> list[dict]:
        if name not in folders:
            model_class, fields = MODELS[name]
            model = random_model(model_class, **fields)
            folders[name] = tmp_path_factory.mktemp("checkpoint") / "checkpoint"
            save_checkpoint(folders[name], model, tokenizer_of(model), None, "")
        done = forked.run(["-c", CALL, folders[name], json.dumps(requests)], folders[name].parent, environment)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    return ask


def test_a_classifier_gives_labels_and_scores_one_or_a_list(ask):
    parameters = {"return_logits": True}
    one, several, logits = (
        each["answer"]
        for each in ask(
            "classes",
            {"inputs": "ATGGTAGCT"},
            {"inputs": ["ATGGTAGCT", "acgu"], "parameters": {"long": "mean"}},
            {"inputs": "ATGGTAGCT", "parameters": parameters},
        )
    )
    assert set(one) == {"label", "score", "scores"} and sum(one["scores"].values()) == pytest.approx(1)
    assert len(several) == 2 and several[0] == one and math.isfinite(logits["logits"][1])


def test_any_other_model_gives_embeddings_and_tokens_their_labels(ask):
    [vector, vectors] = ask("masked LM", {"inputs": "ATGGTAGCT"}, {"inputs": ["ATGGTAGCT"] * 2})
    assert all(map(math.isfinite, vector["answer"])) and vectors["answer"][1] == vector["answer"]
    [tokens] = ask("tokens", {"inputs": "ATGGTAGCTACA"})
    assert [(each["start"], each["end"]) for each in tokens["answer"]] == [(0, 6), (6, 12)]
    assert {each["entity"] for each in tokens["answer"]} <= {"intron", "exon"}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, ["inputs"]),
        ({"inputs": None}, ["inputs"]),
        ({"inputs": {"a": 1}}, ["inputs"]),
        ({"inputs": "ACGT", "parameters": [1]}, ["parameters"]),
        ({"inputs": "ACGT", "parameters": 0}, ["parameters"]),
        ({"inputs": "ACGT", "parameters": {"inputs": "A"}}, ["parameters"]),
        ([1], ["inputs"]),
        ({"inputs": ""}, ["empty"]),
        ({"inputs": ["ACGT", "MKVLA" * 9]}, ["Sequence 1"]),
        ({"inputs": "ACGT", "parameters": {"temperature": 1}}, ["temperature"]),
        ({"inputs": ">a\nACGT"}, ["FASTA"]),
    ],
)
def test_a_bad_request_is_one_sentence(ask, request_, words):
    [answer] = ask("classes", request_)
    assert all(word in answer["error"] for word in words), answer
