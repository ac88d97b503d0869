"""Naive Bayes of codon pairs, against a plain loop over the codons of each sequence."""

import math

import numpy as np
import pytest

from dnahub.reports.fitting import Rows
from dnahub.reports.naive_bayes import SHRINKAGE, SMOOTHING, count_codon_pairs, fit_codon_pairs
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels

TASK, LABELS = TASKS["classification"], Labels(["a", "b", "c"], 3)
CODONS = ("ATG", "GCC", "GCT", "AAA", "CTG", "TTN")  # the last is none


def drawn(seed: int, num_rows: int) -> tuple[list[str], np.ndarray]:
    """Classes 0 and 2, whose codons are equally frequent and follow each other differently."""
    rng = np.random.default_rng(seed)
    labels = 2 * (rng.random(num_rows) < 0.3).astype(int)
    sequences = []
    for label in labels:
        codons = [rng.integers(6)]
        for _ in range(11):
            codons.append((codons[-1] + 1 + label) % 6 if rng.random() < 0.4 else rng.integers(6))
        sequences.append("".join(CODONS[codon] for codon in codons) + "A")
    return sequences, labels


def codons_of(sequence: str) -> list[str]:
    return [sequence[i : i + 3] for i in range(0, len(sequence) - 2, 3)]


def log_posterior(sequence, label, sequences, labels, smoothing, shrinkage) -> float:
    """By counting again for every factor."""
    known = [sequence for sequence, of in zip(sequences, labels, strict=True) if of == label]
    codons = [codon for each in known for codon in codons_of(each) if "N" not in codon]
    pairs = [pair for each in known for pair in zip(codons_of(each), codons_of(each)[1:], strict=False)]
    pairs = [pair for pair in pairs if "N" not in "".join(pair)]

    def usage(codon: str) -> float:
        return (codons.count(codon) + 1) / (len(codons) + 64)

    total, before = 0.0, None
    for codon in codons_of(sequence):
        if "N" in codon:
            before = None
            continue
        if before is None:
            total += math.log(usage(codon))
        else:
            first = sum(pair[0] == before for pair in pairs)
            total += math.log((pairs.count((before, codon)) + smoothing * usage(codon)) / (first + smoothing))
        before = codon
    return shrinkage * total + math.log(len(known) / len(sequences))


def test_it_is_the_markov_chain_of_each_class_and_knows_what_codons_alone_do_not():
    of_split = {split: drawn(seed, rows) for seed, (split, rows) in enumerate((("train", 60), ("validation", 300)))}
    train, held = (Rows(count_codon_pairs(sequences), labels) for sequences, labels in of_split.values())
    fit = fit_codon_pairs(train, [(train, held)], TASK, LABELS)
    chosen = fit.facts["smoothing"], fit.facts["shrinkage"]
    assert chosen[0] in SMOOTHING and chosen[1] in SHRINKAGE
    assert len(fit.facts["candidates"]) == len(SMOOTHING) * len(SHRINKAGE)
    sequences, labels = of_split["validation"]
    outputs = fit.predict(count_codon_pairs(sequences[:10]))
    expected = [
        [log_posterior(each, label, *of_split["train"], *chosen) for label in (0, 2)] for each in sequences[:10]
    ]
    np.testing.assert_allclose(outputs[:, [0, 2]], expected, rtol=1e-5)
    np.testing.assert_array_equal(outputs, fit.held_out[:10])
    assert outputs[:, 1].max() < -1e30  # no row of train has it
    losses = [each["validation_log_loss"] for each in fit.facts["candidates"]]
    assert TASK.mean_loss(fit.held_out, labels) == pytest.approx(min(losses))
    assert (fit.held_out.argmax(axis=1) == labels).mean() > 0.8
