from functools import partial
from itertools import product

import pytest
import torch

from dnahub.checkpoints.initialisation import OUTPUT_SCALE, compose
from dnahub.checkpoints.loading import build_from_scratch


def expected_cosine(a: str, b: str) -> float:
    """Of two k-mers, by what they share at each place: 1, but 0.5² for triplets that are not codons."""
    shared = total = 0.0
    for size in (1, 2, 3):
        for place in range(len(a) - size + 1):
            weight = 0.25 if size == 3 and place % 3 else 1.0
            total += weight
            shared += weight * (a[place : place + size] == b[place : place + size])
    return shared / total


@pytest.mark.parametrize("k", [6, 3])
def test_kmers_are_as_similar_as_the_parts_that_they_share(k):
    torch.manual_seed(0)
    kmers = ["".join(letters) for letters in product("ATCG", repeat=k)]
    vectors = compose(kmers, 4096)
    assert vectors.std() == pytest.approx(1, abs=0.02) and vectors.mean() == pytest.approx(0, abs=0.02)
    first = kmers.index("ATGGCA"[:k])
    for other in range(0, 4**k, 4**k // 64):
        cosine = torch.cosine_similarity(vectors[first], vectors[other], dim=0)
        assert cosine == pytest.approx(expected_cosine(kmers[first], kmers[other]), abs=0.06)


def test_a_model_from_scratch_begins_with_composed_kmers_and_letters():
    torch.manual_seed(0)
    model, tokenizer = build_from_scratch("tiny", "masked_lm", {})
    vectors = model.get_input_embeddings().weight.detach()
    ids = tokenizer.get_vocab()
    of = {token: vectors[id] for token, id in ids.items()}
    cosine = partial(torch.cosine_similarity, dim=0)
    assert cosine(of["AAAAAA"], of["AAAAAT"]) > 0.6
    assert cosine(of["A"], of["AAAAAA"]) > 0.4 > cosine(of["A"], of["T"])
    assert of["<cls>"].std() < 0.03 and of["N"].std() < 0.03  # transformers' own
    kmers = [id for token, id in ids.items() if set(token) <= set("ACGT")]
    assert len(kmers) == 4100
    assert torch.allclose(model.get_output_embeddings().weight[kmers], OUTPUT_SCALE * vectors[kmers])


def test_plain_weights_are_those_of_transformers():
    torch.manual_seed(0)
    plain, _ = build_from_scratch("tiny", "sequence", {}, "plain")
    torch.manual_seed(0)
    composed, tokenizer = build_from_scratch("tiny", "sequence", {})
    vectors, kmers = plain.get_input_embeddings().weight.detach(), slice(tokenizer.get_vocab()["AAAAAA"], 4102)
    assert vectors[kmers].std() == pytest.approx(0.02, abs=0.001)
    assert abs(torch.cosine_similarity(vectors[6], vectors[7], dim=0)) < 0.4
    others = {name: weight for name, weight in composed.state_dict().items() if "word_embeddings" not in name}
    assert others and all(torch.equal(weight, plain.state_dict()[name]) for name, weight in others.items())
