"""Scores of variants -> compared with a plain loop over one variant after another, by transformers' own forward."""

import random

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from dnahub.hub_code import (
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerModel,
)
from dnahub.inference.encoder import Encoder
from dnahub.inference.variants import (
    CHANGE,
    DISTANCE,
    LLR,
    MISMATCH,
    SCORED,
    SEVERAL_TOKENS,
    SYMBOLIC,
    TOO_LONG,
    Allele,
    Settings,
    VariantScorer,
)
from dnahub.sequences.opening import InputFile
from dnahub.sequences.regions import Genome
from tests.tiny_models import V1, random_model, tokenizer_of

PAIRS = str.maketrans("ACGTN", "TGCAN")
WINDOW = 60
MASK, CLS = 2, 3


@pytest.fixture(scope="module")
def contigs() -> dict[str, str]:
    rng = random.Random(0)
    made = {name: "".join(rng.choices("ACGT", k=nt)) for name, nt in (("chr1", 400), ("chr2", 90), ("chrM", 41))}
    made["chr1"] = made["chr1"][:200] + "NNN" + made["chr1"][203:]
    return made


@pytest.fixture(scope="module")
def genome(contigs, tmp_path_factory) -> Genome:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(
        "".join(f">{name}\n{text.lower() if name == 'chr2' else text}\n" for name, text in contigs.items())
    )
    return Genome(InputFile(str(path)))


@pytest.fixture(scope="module")
def alleles(contigs) -> list[Allele]:
    """Substitutions everywhere, at both ends of each chromosome, next to N; several bases; insertions, deletions."""
    made, rng = [], random.Random(1)
    for chrom, sequence in contigs.items():
        last = len(sequence) - 1
        places = [0, 1, 5, 6, last, last - 7, *rng.sample(range(len(sequence)), 12), *(range(170, 235, 5))]
        for start in (place for place in places if place <= last and sequence[place] != "N"):
            made += [Allele(chrom, start, sequence[start], alt) for alt in "ACGT" if alt != sequence[start]]
    sequence = contigs["chr1"]
    for start in (40, 121, 300):
        ref = sequence[start : start + 3]
        made.append(Allele("chr1", start, ref, ref.translate(PAIRS)))  # three bases, in one token or in two
        made.append(Allele("chr1", start, ref, ref[0]))  # a deletion of two
        made.append(Allele("chr1", start, ref[0], ref[0] + "ACGTACG"))  # an insertion of seven
        made.append(Allele("chr1", start, sequence[start : start + 7], sequence[start]))  # a deletion of six
    made.append(Allele("chr2", 84, contigs["chr2"][84:90], contigs["chr2"][84]))  # to the end of the chromosome
    return made


def other_strand(sequence: str) -> str:
    return sequence.translate(PAIRS)[::-1]


def views(contigs, allele: Allele, strands: int, offsets: int):
    """Reference and alternative in their windows, and where they begin: of each frame and strand."""
    sequence, at = contigs[allele.chrom], allele.start
    for shift in range(offsets):
        before = 5 * 6 + (3 + shift) % 6  # five of ten 6-mers, and half of the sixth
        start, end = at - before, min(len(sequence), at - before + WINDOW)
        while start < 0:
            start += 6
        start = 0 if start > at else start
        lost, stop = max(0, len(allele.ref) - len(allele.alt)), at + len(allele.ref)
        left, right, after = sequence[start:at], sequence[stop:end], sequence[stop : end + lost]
        ref = left + allele.ref + right
        yield ref, (left + allele.alt + after)[:WINDOW], len(left)
        if strands == 2:
            yield (
                other_strand(ref),
                other_strand((sequence[max(0, start - lost) : at] + allele.alt + right)[-WINDOW:]),
                len(right),
            )


def tokens_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text).input_ids


def plain_llr(model, tokenizer, ref: str, alt: str) -> tuple[float, int]:
    ids = [tokens_of(tokenizer, text) for text in (ref, alt)]
    if len(ids[0]) == len(ids[1]):
        changed = [[i for i, (a, b) in enumerate(zip(*ids, strict=True)) if a != b]] * 2
    else:
        first = next(i for i in range(99) if i >= min(map(len, ids)) or ids[0][i] != ids[1][i])
        last = 0
        while last < min(map(len, ids)) - first and ids[0][-1 - last] == ids[1][-1 - last]:
            last += 1
        changed = [range(first, len(each) - last) for each in ids]
    total = 0.0
    for sign, each, places in ((-1, ids[0], changed[0]), (1, ids[1], changed[1])):
        masked = torch.tensor([[MASK if i in places else id for i, id in enumerate(each)]])
        with torch.no_grad():
            found = model(masked).logits[0].log_softmax(-1)
        total += sign * sum(float(found[i, each[i]]) for i in places)
    return total, max(map(len, changed))


def plain_vectors(model, tokenizer, text: str, place: int, num: int):
    """Mean vector of all tokens, and of those within two of the ones that hold the allele; and what a head gives."""
    ids = tokens_of(tokenizer, text)
    letters = [0] + [
        6 if tokenizer.convert_ids_to_tokens(id)[0] in "ACGT" and len(tokenizer.convert_ids_to_tokens(id)) == 6 else 1
        for id in ids[1:]
    ]
    starts = np.cumsum(letters) - letters
    holding = [i for i in range(1, len(ids)) if starts[i] < place + num and starts[i] + letters[i] > place]
    with torch.no_grad():
        outputs = model(torch.tensor([ids]), output_hidden_states=True)
    hidden = outputs.hidden_states[-1][0].numpy()
    near = hidden[max(1, holding[0] - 2) : min(len(ids), holding[-1] + 3)]
    return hidden.mean(axis=0), near.mean(axis=0), getattr(outputs, "logits", torch.zeros(1, 0))[0].numpy()


def scorer(model, genome, scores, strands=2, offsets=1, middle=False, **head) -> VariantScorer:
    settings = Settings(scores, WINDOW, strands == 2, offsets, middle)
    return VariantScorer(Encoder(model, tokenizer_of(model)), genome, settings, **head)


@pytest.mark.parametrize("version", [{}, V1], ids=["v2", "v1"])
@pytest.mark.parametrize(("strands", "offsets"), [(1, 1), (2, 1), (2, 6)])
def test_llr_is_that_of_a_plain_loop(genome, contigs, alleles, version, strands, offsets):
    model = random_model(NucleotideTransformerForMaskedLM, **version)
    found = scorer(model, genome, (LLR,), strands, offsets)
    alleles = alleles[::7] if offsets > 1 else alleles
    results = found.compute(found.plan(alleles))
    tokenizer = tokenizer_of(model)
    expected = []
    for allele in alleles:
        of_views = [
            plain_llr(model, tokenizer, ref, alt)[0] for ref, alt, _ in views(contigs, allele, strands, offsets)
        ]
        expected.append(np.mean(of_views))
    assert set(results.status) == {SCORED} and found.columns == ["llr"]
    np.testing.assert_allclose(results.scores["llr"], expected, rtol=1e-5, atol=2e-5)
    assert np.std(expected) > 0.1


def test_the_middle_alone_takes_variants_in_one_token(genome, contigs, alleles):
    model = random_model(NucleotideTransformerForMaskedLM)
    both = [scorer(model, genome, (LLR,), middle=middle) for middle in (False, True)]
    changed, middle = (each.compute(each.plan(alleles)) for each in both)
    tokenizer = tokenizer_of(model)
    for i, allele in enumerate(alleles):
        is_one = all(plain_llr(model, tokenizer, ref, alt)[1] == 1 for ref, alt, _ in views(contigs, allele, 2, 1))
        assert middle.status[i] == (SCORED if is_one else SEVERAL_TOKENS)
        assert middle.scores["llr"][i] == changed.scores["llr"][i] if is_one else np.isnan(middle.scores["llr"][i])
    assert middle.status.count(SEVERAL_TOKENS) > 8


@pytest.mark.parametrize("strands", [1, 2])
def test_distances_are_those_of_a_plain_loop(genome, contigs, alleles, strands):
    model = random_model(NucleotideTransformerModel)
    found = scorer(model, genome, (DISTANCE,), strands)
    results = found.compute(found.plan(alleles))
    tokenizer = tokenizer_of(model)
    for i, allele in enumerate(alleles):
        rows = []
        for ref, alt, place in views(contigs, allele, strands, 1):
            a = plain_vectors(model, tokenizer, ref, place, len(allele.ref))[:2]
            b = plain_vectors(model, tokenizer, alt, place, len(allele.alt))[:2]
            row = []
            for x, y in zip(a, b, strict=True):
                row += [np.linalg.norm(x - y), x @ y / np.linalg.norm(x) / np.linalg.norm(y), x @ y]
            rows.append(row)
        values = [results.scores[name][i] for name in found.columns]
        np.testing.assert_allclose(values, np.mean(rows, axis=0), rtol=2e-5, atol=2e-5, err_msg=str(allele))
    assert found.columns == ["l2", "cosine", "inner", "l2_near", "cosine_near", "inner_near"]


HEADS = {
    "single_label_classification": lambda logits: softmax(logits),
    "multi_label_classification": expit,
    "regression": None,
}


@pytest.mark.parametrize("problem", HEADS)
def test_changes_are_those_of_a_plain_loop(genome, contigs, alleles, problem):
    names, alleles = ["a", "b", "c"], alleles[::5]
    model = random_model(NucleotideTransformerForSequenceClassification, num_labels=3, problem_type=problem)
    found = scorer(model, genome, (CHANGE,), problem=problem, names=names)
    results = found.compute(found.plan(alleles))
    tokenizer, expected = tokenizer_of(model), []
    for allele in alleles:
        rows = []
        for ref, alt, place in views(contigs, allele, 2, 1):
            a, b = (plain_vectors(model, tokenizer, text, place, 1)[2] for text in (ref, alt))
            rows.append([*(b - a), *(HEADS[problem](b) - HEADS[problem](a) if HEADS[problem] else ())])
        expected.append(np.mean(rows, axis=0))
    prefixes = ["d_"] if problem == "regression" else ["d_logit_", "d_p_"]
    assert found.columns == [f"{prefix}{name}" for prefix in prefixes for name in names]
    values = np.stack([results.scores[name] for name in found.columns], axis=1)
    np.testing.assert_allclose(values, expected, rtol=0, atol=2e-5)


def test_the_window_of_the_reference_and_a_masked_window_are_computed_once(genome, contigs):
    at = next(i for i in range(60, 90) if contigs["chr1"][i] == "A")
    alleles = [Allele("chr1", at, "A", alt) for alt in "CGT"]
    plan = scorer(random_model(NucleotideTransformerForMaskedLM), genome, (LLR, DISTANCE), strands=1).plan(alleles * 2)
    assert len(plan.masked.ids) == 1 and len(plan.plain.ids) == 4


@pytest.mark.parametrize("offsets", [1, 6])
def test_alleles_of_up_to_the_rest_of_the_window_are_scored_and_longer_ones_are_not(genome, contigs, offsets):
    model, most = random_model(NucleotideTransformerForMaskedLM), 60 - (33 if offsets == 1 else 35)
    found, sequence = scorer(model, genome, (LLR,), offsets=offsets), contigs["chr1"]
    alleles = [Allele("chr1", 100, sequence[100 : 100 + nt], sequence[100]) for nt in (most, most + 1)]
    alleles += [Allele("chr1", 100, sequence[100], (sequence[100] + "ACG" * 20)[:nt]) for nt in (most, most + 1)]
    results = found.compute(found.plan(alleles))
    assert results.status == [SCORED, TOO_LONG] * 2
    for i in (0, 2):
        of_views = [
            plain_llr(model, tokenizer_of(model), *view[:2])[0] for view in views(contigs, alleles[i], 2, offsets)
        ]
        assert results.scores["llr"][i] == pytest.approx(np.mean(of_views), abs=2e-5)


@pytest.mark.parametrize("window", ["full", "shorter"])
def test_a_window_of_more_tokens_than_the_model_takes_loses_those_far_from_the_variant(genome, contigs, window):
    """Around N and at the end of a chromosome, letters are tokens of their own."""
    tokens = 11 if window == "full" else 30
    model = random_model(NucleotideTransformerForMaskedLM, max_position_embeddings=tokens + 2)
    found, sequence, tokenizer = scorer(model, genome, (LLR,)), contigs["chr1"], tokenizer_of(model)
    places = [*range(165, 200), *range(203, 240), *range(360, 400)]
    alleles = [Allele("chr1", at, sequence[at], "A" if sequence[at] != "A" else "C") for at in places]
    results = found.compute(found.plan(alleles))
    assert set(results.status) == {SCORED}
    num_cut = 0
    for allele, score in zip(alleles, results.scores["llr"], strict=True):
        total = 0.0
        for ref, alt, _ in views(contigs, allele, 2, 1):
            ids = [np.array(tokens_of(tokenizer, text)[1:]) for text in (ref, alt)]
            changed = np.flatnonzero(ids[0] != ids[1])
            assert len(ids[0]) == len(ids[1])
            start = min(max(0, changed[0] - (tokens - 1 - len(changed)) // 2), max(0, len(ids[0]) - tokens + 1))
            num_cut += len(ids[0]) > tokens - 1
            for sign, each in ((-1, ids[0]), (1, ids[1])):
                kept = [CLS, *np.where(ids[0] != ids[1], MASK, each)[start : start + tokens - 1]]
                with torch.no_grad():
                    logits = model(torch.tensor([kept])).logits[0].log_softmax(-1)
                total += sign * sum(float(logits[1 + i - start, each[i]]) for i in changed)
        assert score == pytest.approx(total / 2, abs=2e-5)
    assert (num_cut > 40) == (window == "full")


def test_what_cannot_be_scored_says_why_and_the_others_are(genome, contigs):
    ref = contigs["chr1"][50]
    other = "A" if ref != "A" else "C"
    alleles = [
        Allele("chr1", 50, ref, other),
        Allele("chr1", 50, other, ref),
        Allele("chr1", 50, ref, "<DEL>"),
        Allele("chr1", 50, ref, "*"),
        Allele("chr1", 201, "N", "A"),
        Allele("chr1", 399, contigs["chr1"][399] + "A", "A"),  # beyond the end
        Allele("chr1", 50, ref, ref + "ACGT" * 20),
    ]
    found = scorer(random_model(NucleotideTransformerForMaskedLM), genome, (LLR,))
    results = found.compute(found.plan(alleles))
    assert results.status == [SCORED, MISMATCH, SYMBOLIC, SYMBOLIC, SYMBOLIC, MISMATCH, TOO_LONG]
    assert np.isfinite(results.scores["llr"][0]) and np.isnan(results.scores["llr"][1:]).all()
    none = found.compute(found.plan(alleles[1:]))
    assert np.isnan(none.scores["llr"]).all() and none.counts[SCORED] == 0
