"""Codon pairs of six species -> random genes, and the Bayes-optimal classifier of their windows."""

import csv
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset_builder.cds import CDS
from dataset_builder.composition import CODONS
from dataset_builder.species import SPECIES, STOPS

CODON_PAIRS_FILE = Path(__file__).with_name("codon_pairs.csv")
START = "ATG"
# Genes are as long as 5 to 25 windows (100 to 500 codons at 60 nt), uniformly and in every species: the length of a
# gene carries no information on its species.
MIN_WINDOWS, MAX_WINDOWS = 5, 25
ALL_WINDOWS_GENES = 1000  # genes per species without a budget of windows
# Added to the counts of what follows a codon, in proportion to codon usage: with less, more of the noise of rare pairs
# distinguishes the species; with more, less of what is true of them. Near the best by the likelihood of genes that
# were not counted, in all species: test_the_pseudo_count_suits_genes_that_were_not_counted measures it.
PSEUDO_COUNT = 500

CODON_BYTES = np.array(CODONS, dtype="S3")  # bytes, because joining an array of str is slow
IS_STOP = np.array([codon in STOPS for codon in CODONS])


class CodonChain(NamedTuple):
    """A species' genes as a first-order Markov chain: probabilities of codons, in the order of CODONS."""

    codon: np.ndarray  # (64,): of a sense codon at any place after the start codon
    following: np.ndarray  # (64, 64): of the sense codon that follows a codon
    stop: np.ndarray  # (64, 64): of the stop codon, where the gene ends after a codon


@cache
def codon_pairs() -> dict[str, np.ndarray]:
    """{species: counts of each codon (row) followed by each other, int64 (64, 64), from codon_pairs.csv}."""
    with CODON_PAIRS_FILE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    pairs = [CODONS.index(row["first"]) * len(CODONS) + CODONS.index(row["second"]) for row in rows]
    tables = {}
    for species in SPECIES:
        counts = np.zeros(len(CODONS) ** 2, dtype=np.int64)
        counts[pairs] = [int(row[species.prefix]) for row in rows]
        tables[species.scientific_name] = counts.reshape(len(CODONS), len(CODONS))
    return tables


def codon_pairs_notes() -> list[str]:
    """The comment lines of codon_pairs.csv: what was counted, when, and its source."""
    with CODON_PAIRS_FILE.open(encoding="utf-8") as file:
        return [line.removeprefix("#").strip() for line in file if line.startswith("#")]


@cache
def codon_chains() -> dict[str, CodonChain]:
    """The chain of each species' pairs, {species: chain}."""
    return {species: codon_chain(pairs) for species, pairs in codon_pairs().items()}


def codon_chain(pairs: np.ndarray) -> CodonChain:
    """
    The smoothed chain of counts of codon pairs, (64, 64).

    P(second | first) = (n(first, second) + PSEUDO_COUNT P(second)) / (n(first) + PSEUDO_COUNT), among the sense
    codons, and among the stop codons. `codon` is the stationary distribution: drawn from it, the second codon of a
    gene is followed by codons of the same distribution at every place.
    """
    following, stop = (_smoothed(np.where(allowed, pairs, 0)) for allowed in (~IS_STOP, IS_STOP))
    # Every row of a high power is the stationary distribution; the second largest eigenvalues of ours are below 0.2.
    return CodonChain(np.linalg.matrix_power(following, 1 << 10)[0], following, stop)


def _smoothed(pairs: np.ndarray) -> np.ndarray:
    usage = pairs.sum(axis=0) / pairs.sum()
    return (pairs + PSEUDO_COUNT * usage) / (pairs.sum(axis=1, keepdims=True) + PSEUDO_COUNT)


def independent(chain: CodonChain) -> CodonChain:
    """The chain with the same codon usage in which a codon says nothing about the next one."""
    stop = chain.codon @ chain.stop
    return CodonChain(chain.codon, *(np.tile(each, (len(CODONS), 1)) for each in (chain.codon, stop)))


def num_genes_for(budgets: dict[str, int] | None) -> int:
    """Genes per species that give every split more than enough windows, even if all were short."""
    if budgets is None:
        return ALL_WINDOWS_GENES
    return math.ceil(2 * sum(budgets.values()) / MIN_WINDOWS) + 6


def synthetic_genes(
    chain: CodonChain, num_genes: int, window_nt: int, rng: np.random.Generator, prefix: str = "synthetic"
) -> list[CDS]:
    """
    Genes, the longest first: ATG, a sense codon, sense codons drawn each by the one before it, a stop codon.

    Their names are the prefix and a number.
    """
    window_codons = window_nt // 3
    lengths = rng.integers(MIN_WINDOWS * window_codons, MAX_WINDOWS * window_codons, size=num_genes, endpoint=True)
    lengths = np.sort(lengths)[::-1]
    codons = np.empty((lengths[0], num_genes), dtype=np.uint8)
    codons[0] = CODONS.index(START)
    codons[1] = _draw(independent(chain).following, codons[0], rng)
    for place in range(2, lengths[0] - 1):
        longer = np.count_nonzero(lengths > place + 1)  # genes with a sense codon here
        codons[place, :longer] = _draw(chain.following, codons[place - 1, :longer], rng)
    gene = np.arange(num_genes)
    codons[lengths - 1, gene] = _draw(chain.stop, codons[lengths - 2, gene], rng)
    texts = (
        CODON_BYTES[row[:length]].tobytes().decode("ascii") for row, length in zip(codons.T, lengths, strict=True)
    )
    names = (f"{prefix}{number:07d}" for number in range(1, num_genes + 1))
    return [CDS(name, name, text) for name, text in zip(names, texts, strict=True)]


def _draw(table: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A codon after each of `before`, by that row of `table`: int64 (codons,)."""
    row = before.astype(np.int64)
    cumulative = table.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]  # ends in 1, not nearly so
    # Row r plus r lies between r and r + 1, so that one search serves all rows; a number of 32 bits plus r is exact.
    rows = (cumulative + np.arange(len(table))[:, None]).ravel()
    uniform = rng.integers(1 << 32, size=len(row)) / (1 << 32)
    return np.searchsorted(rows, row + uniform, side="right") - len(table) * row


def bayes_optimal_predictions(sequences: Sequence[str], chains: Sequence[CodonChain]) -> np.ndarray:
    """
    The most probable species of each window: int64 (windows,), indices into `chains`.

    No classifier has a higher expected accuracy. Species have equal priors. A window is the first of its gene (ATG,
    then sense codons), an inner one (sense codons), or the last (sense codons, then a stop codon). The probabilities
    of the three follow from the gene lengths, are the same for every species, and weight the sum. The first sense
    codon of a window has the same distribution at every place, because the chain is stationary.
    """
    return bayes_log_likelihoods(sequences, chains).argmax(axis=1)


def bayes_log_likelihoods(sequences: Sequence[str], chains: Sequence[CodonChain]) -> np.ndarray:
    """Log-probability of each window in each species: float64 (windows, species); see `bayes_optimal_predictions`."""
    codons = np.searchsorted(CODON_BYTES, np.array(sequences, dtype="S").view("S3").reshape(len(sequences), -1))
    inside, first, last = _window_kinds(codons.shape[1])
    starts_with_atg = codons[:, 0] == CODONS.index(START)
    likelihoods = np.empty((len(sequences), len(chains)))
    with np.errstate(divide="ignore"):  # log 0 = -inf: a codon that is impossible here
        for species, chain in enumerate(chains):
            codon, following, stop = (np.log(each) for each in chain)
            steps = following[codons[:, :-1], codons[:, 1:]]  # (windows, codons - 1)
            begin = codon[codons[:, 0]] + steps[:, :-1].sum(axis=1)  # without the last codon
            rest = codon[codons[:, 1]] + steps[:, 1:].sum(axis=1)  # without the first codon
            likelihoods[:, species] = np.logaddexp.reduce(
                [
                    math.log(inside) + begin + steps[:, -1],
                    np.where(starts_with_atg, math.log(first) + rest, -np.inf),
                    math.log(last) + begin + stop[codons[:, -2], codons[:, -1]],
                ]
            )
    return likelihoods


def _window_kinds(window_codons: int) -> tuple[float, float, float]:
    """Shares of inner, first and last windows among all windows."""
    lengths = range(MIN_WINDOWS * window_codons, MAX_WINDOWS * window_codons + 1)
    windows = sum(length // window_codons for length in lengths)
    first = len(lengths) / windows
    last = sum(length % window_codons == 0 for length in lengths) / windows  # else its stop is in the rest
    return 1 - first - last, first, last
