"""Codon usage of six species -> random genes, and the Bayes-optimal classifier of their windows."""

import csv
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from dataset_builder.cds import CDS
from dataset_builder.species import SPECIES, STOPS

CODON_USAGE_FILE = Path(__file__).with_name("codon_usage.csv")
START = "ATG"
# Genes are as long as 5 to 25 windows (100 to 500 codons at 60 nt), uniformly and in every species: the length of a
# gene carries no information on its species.
MIN_WINDOWS, MAX_WINDOWS = 5, 25
ALL_WINDOWS_GENES = 1000  # genes per species without a budget of windows


@cache
def codon_usage() -> dict[str, dict[str, int]]:
    """Count of each of the 64 codons in the genes of each species, {species: {codon: count}}, from codon_usage.csv."""
    with CODON_USAGE_FILE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {species.scientific_name: {row["codon"]: int(row[species.prefix]) for row in rows} for species in SPECIES}


def codon_usage_notes() -> list[str]:
    """The comment lines of codon_usage.csv: what was counted, when, and its source."""
    with CODON_USAGE_FILE.open(encoding="utf-8") as file:
        return [line.removeprefix("#").strip() for line in file if line.startswith("#")]


def num_genes_for(budgets: dict[str, int] | None) -> int:
    """Genes per species that give every split more than enough windows, even if all were short."""
    if budgets is None:
        return ALL_WINDOWS_GENES
    return math.ceil(2 * sum(budgets.values()) / MIN_WINDOWS) + 6


def synthetic_genes(usage: dict[str, int], num_genes: int, window_nt: int, rng: np.random.Generator) -> list[CDS]:
    """Draw genes codon by codon: ATG, independent sense codons, a stop codon.

    Args:
        usage: Count of each codon; sense and stop codons are drawn in proportion.
        num_genes: Number of genes.
        window_nt: Window of the data set, in nt; it scales the length of the genes.
        rng: Source of randomness.
    """
    sense, sense_bounds = _distribution({codon: count for codon, count in usage.items() if codon not in STOPS})
    stop, stop_bounds = _distribution({codon: count for codon, count in usage.items() if codon in STOPS})
    window_codons = window_nt // 3
    lengths = rng.integers(MIN_WINDOWS * window_codons, MAX_WINDOWS * window_codons, size=num_genes, endpoint=True)
    genes = []
    for number, length in enumerate(lengths, start=1):
        # Bytes, because joining an array of str is slow.
        middle = sense[np.searchsorted(sense_bounds, rng.random(length - 2), side="right")].tobytes().decode("ascii")
        name = f"synthetic{number:07d}"
        end = stop[np.searchsorted(stop_bounds, rng.random(), side="right")].decode("ascii")
        genes.append(CDS(name, name, START + middle + end))
    return genes


def bayes_optimal_posteriors(sequences: Sequence[str], usages: Sequence[dict[str, int]]) -> np.ndarray:
    """Exact probability of each species given the letters of a window, under the model of `synthetic_genes`.

    Species have equal priors. A window is the first of its gene (ATG, then sense codons), an inner one (sense codons),
    or the last (sense codons, then a stop codon). The probabilities of the three follow from the gene lengths, are the
    same for every species, and weight the sum.

    Args:
        sequences: In-frame windows of one length, A, C, G and T.
        usages: Count of each of the 64 codons, per species.

    Returns:
        float64 (windows, species); each row sums to one.

    Raises:
        ValueError: A window is impossible in every species, such as one with an inner stop codon.
    """
    codons = sorted(usages[0])  # in this order, a codon's index is its letters as base-4 digits
    letters = np.array(sequences, dtype="S").view(np.uint8).reshape(len(sequences), -1, 3)
    codon = np.searchsorted(np.frombuffer(b"ACGT", dtype=np.uint8), letters) @ [16, 4, 1]  # (windows, codons)

    window_codons = codon.shape[1]
    inside, first, last = _window_kinds(window_codons)
    starts_with_atg = (codon[:, 0] == codons.index(START))[:, None]
    is_stop = np.array([name in STOPS for name in codons])
    log_sense, log_stop = np.empty((2, len(usages), len(codons)))
    with np.errstate(divide="ignore"):  # log 0 = -inf: a codon that is impossible here
        for row, usage in enumerate(usages):
            counts = np.array([usage[name] for name in codons], dtype=float)
            log_sense[row] = np.log(np.where(is_stop, 0, counts) / counts[~is_stop].sum())
            log_stop[row] = np.log(np.where(is_stop, counts, 0) / counts[is_stop].sum())
        # Each term: (windows, species)
        log_likelihood = np.logaddexp.reduce(
            [
                math.log(inside) + log_sense[:, codon].sum(axis=2).T,
                np.where(starts_with_atg, math.log(first) + log_sense[:, codon[:, 1:]].sum(axis=2).T, -np.inf),
                math.log(last) + log_sense[:, codon[:, :-1]].sum(axis=2).T + log_stop[:, codon[:, -1]].T,
            ]
        )
    highest = log_likelihood.max(axis=1, keepdims=True)
    impossible = np.flatnonzero(np.isneginf(highest[:, 0]))
    if len(impossible):
        raise ValueError(f"window {impossible[0]} ({sequences[impossible[0]]}) is impossible in every species.")
    likelihood = np.exp(log_likelihood - highest)
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def bayes_optimal_predictions(sequences: Sequence[str], usages: Sequence[dict[str, int]]) -> np.ndarray:
    """The most probable species of each window: int64 (windows,), indices into `usages`.

    No classifier has a higher expected accuracy. Arguments as of `bayes_optimal_posteriors`.
    """
    return bayes_optimal_posteriors(sequences, usages).argmax(axis=1)


def _window_kinds(window_codons: int) -> tuple[float, float, float]:
    """Shares of inner, first and last windows among all windows."""
    lengths = range(MIN_WINDOWS * window_codons, MAX_WINDOWS * window_codons + 1)
    windows = sum(length // window_codons for length in lengths)
    first = len(lengths) / windows
    last = sum(length % window_codons == 0 for length in lengths) / windows  # else its stop is in the rest
    return 1 - first - last, first, last


def _distribution(counts: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Codons, and their cumulative probabilities."""
    codons = sorted(counts)
    bounds = np.cumsum([counts[codon] for codon in codons])
    return np.array(codons, dtype="S3"), bounds / bounds[-1]
