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
    """Draw genes codon by codon: ATG, independent sense codons, a stop codon, in proportion to their counts."""
    counts = np.array(list(usage.values()), dtype=float)
    codons = np.array(list(usage), dtype="S3")  # bytes, because joining an array of str is slow
    is_stop = np.array([codon in STOPS for codon in usage])
    sense, stop = np.where(is_stop, 0, counts), np.where(is_stop, counts, 0)
    window_codons = window_nt // 3
    lengths = rng.integers(MIN_WINDOWS * window_codons, MAX_WINDOWS * window_codons, size=num_genes, endpoint=True)
    genes = []
    for number, length in enumerate(lengths, start=1):
        middle = rng.choice(codons, size=length - 2, p=sense / sense.sum()).tobytes().decode("ascii")
        end = rng.choice(codons, p=stop / stop.sum()).decode("ascii")
        name = f"synthetic{number:07d}"
        genes.append(CDS(name, name, START + middle + end))
    return genes


def bayes_optimal_predictions(sequences: Sequence[str], usages: Sequence[dict[str, int]]) -> np.ndarray:
    """
    The most probable species of each window: int64 (windows,), indices into `usages`.

    No classifier has a higher expected accuracy. Species have equal priors. A window is the first of its gene (ATG,
    then sense codons), an inner one (sense codons), or the last (sense codons, then a stop codon). The probabilities
    of the three follow from the gene lengths, are the same for every species, and weight the sum.
    """
    return bayes_log_likelihoods(sequences, usages).argmax(axis=1)


def bayes_log_likelihoods(sequences: Sequence[str], usages: Sequence[dict[str, int]]) -> np.ndarray:
    """Log-probability of each window in each species: float64 (windows, species); see `bayes_optimal_predictions`."""
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
        return np.logaddexp.reduce(  # each term: (windows, species)
            [
                math.log(inside) + log_sense[:, codon].sum(axis=2).T,
                np.where(starts_with_atg, math.log(first) + log_sense[:, codon[:, 1:]].sum(axis=2).T, -np.inf),
                math.log(last) + log_sense[:, codon[:, :-1]].sum(axis=2).T + log_stop[:, codon[:, -1]].T,
            ]
        )


def _window_kinds(window_codons: int) -> tuple[float, float, float]:
    """Shares of inner, first and last windows among all windows."""
    lengths = range(MIN_WINDOWS * window_codons, MAX_WINDOWS * window_codons + 1)
    windows = sum(length // window_codons for length in lengths)
    first = len(lengths) / windows
    last = sum(length % window_codons == 0 for length in lengths) / windows  # else its stop is in the rest
    return 1 - first - last, first, last
