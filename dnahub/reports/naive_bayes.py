"""Counts of codons and of pairs of neighbours -> naive Bayes: a Markov chain of codons for each class."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array, hstack

from dnahub.reports.fitting import Features, Fit, Folds, Rows, held_out_loss
from dnahub.reports.kmers import count_kmers
from dnahub.tasks.task import Labels, Task

NUM_CODONS = 64
# How many codons of the class's own usage are added to those that were seen after each codon.
SMOOTHING = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)


def count_codon_pairs(sequences: Sequence[str]) -> csr_array:
    """In-frame codons and pairs of neighbouring ones, (sequences, 64 + 4096)."""
    return hstack([count_kmers(sequences, 3, frames=1), count_kmers(sequences, 6, frames=1)], format="csr")


def fit_codon_pairs(train: Rows, folds: Folds, task: Task, meaning: Labels) -> Fit:
    """
    Fit a first-order Markov chain of codons to each class; arguments as of `fit_linear`, features of
    `count_codon_pairs`. The smoothing with the lowest log loss on held-out rows is used.

    log P(sequence | class) is the sum over its codons of log P(codon), and over its pairs of log P(second | first) -
    log P(second): linear in the counts. An unknown letter ends a chain and begins another.
    """

    def predict(chains: _Chains, features: Features, smoothing: float) -> np.ndarray:
        return task.baseline_outputs(chains.predict(features, smoothing), chains.classes, meaning)

    of_folds = [_Chains(rows) for rows, _ in folds]
    candidates, outputs = [], []
    for smoothing in SMOOTHING:
        outputs.append(
            [predict(each, held.features, smoothing) for each, (_, held) in zip(of_folds, folds, strict=True)]
        )
        loss = np.mean([held_out_loss(task, each, *fold) for each, fold in zip(outputs[-1], folds, strict=True)])
        candidates.append({"smoothing": smoothing, "validation_log_loss": float(loss)})
    best = int(np.argmin([each["validation_log_loss"] for each in candidates]))
    chains = of_folds[0] if len(folds) == 1 else _Chains(train)
    return Fit(
        lambda features: predict(chains, features, SMOOTHING[best]),
        np.concatenate(outputs[best]),
        {"rows": len(train.labels), "smoothing": SMOOTHING[best], "candidates": candidates},
    )


class _Chains:
    def __init__(self, rows: Rows):
        self.classes, of_row = np.unique(rows.labels, return_inverse=True)
        members = csr_array((np.ones(len(of_row)), (of_row, np.arange(len(of_row)))))  # (classes, rows)
        counts = (members @ rows.features).toarray()
        self._pairs = counts[:, NUM_CODONS:].reshape(-1, NUM_CODONS, NUM_CODONS)  # (classes, first, second)
        usage = counts[:, :NUM_CODONS] + 1
        self._usage = usage / usage.sum(axis=1, keepdims=True)  # (classes, codons)
        self._log_prior = np.log(np.bincount(of_row) / len(of_row))

    def predict(self, features: Features, smoothing: float) -> np.ndarray:
        """log P(class, sequence), (rows, classes)"""
        usage = self._usage[:, None]  # of the second codon
        following = (self._pairs + smoothing * usage) / (self._pairs.sum(axis=2, keepdims=True) + smoothing)
        gain = np.log(following) - np.log(usage)
        weights = np.concatenate([np.log(self._usage), gain.reshape(len(gain), -1)], axis=1)
        return features @ weights.T + self._log_prior
