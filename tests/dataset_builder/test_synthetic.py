"""Codon usage -> genes; the Bayes-optimal classifier against a slow reference and by hand."""

import hashlib
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.cds import CDS, read_genes, skip_reason
from dataset_builder.composition import CODONS, codon_counts, gc_content
from dataset_builder.species import EUKARYOTIC_STARTS, SPECIES, SPECIES_NAMES, STOPS
from dataset_builder.synthetic import (
    MAX_WINDOWS,
    MIN_WINDOWS,
    bayes_log_likelihoods,
    bayes_optimal_predictions,
    codon_usage,
    codon_usage_notes,
    num_genes_for,
    synthetic_genes,
)
from dataset_builder.windows import SPLITS, assign_genes


def test_the_table_counts_64_codons_of_six_species():
    assert tuple(codon_usage()) == SPECIES_NAMES
    for usage in codon_usage().values():
        assert tuple(usage) == CODONS and min(usage.values()) > 0
    notes = "\n".join(codon_usage_notes())
    assert all(species.prefix in notes for species in SPECIES) and "2026-11-22" in notes


# Share of a codon among the two of its amino acid: the Kazusa codon usage database, as packed in PyPI's
# python-codon-tables 0.1.18 (CC0): h_sapiens_9606, m_musculus_10090, d_melanogaster_7227, e_coli_316407,
# s_cerevisiae_4932.
PAIRS = ["AAA AAG", "GAA GAG", "CAA CAG", "TTC TTT", "TAC TAT", "CAC CAT", "AAC AAT", "GAC GAT", "TGC TGT"]
PUBLISHED = {
    "Homo sapiens": [0.43, 0.42, 0.27, 0.54, 0.56, 0.58, 0.53, 0.54, 0.54],
    "Mus musculus": [0.39, 0.41, 0.26, 0.56, 0.57, 0.59, 0.57, 0.55, 0.52],
    "Drosophila melanogaster": [0.30, 0.33, 0.30, 0.62, 0.63, 0.60, 0.56, 0.47, 0.71],
    "Escherichia coli": [0.76, 0.69, 0.35, 0.43, 0.43, 0.43, 0.55, 0.37, 0.56],
    "Saccharomyces cerevisiae": [0.58, 0.70, 0.69, 0.41, 0.44, 0.36, 0.41, 0.35, 0.37],
}


@pytest.mark.parametrize("species", PUBLISHED)
def test_the_table_agrees_with_published_codon_usage(species):
    usage = codon_usage()[species]
    shares = [usage[pair[:3]] / (usage[pair[:3]] + usage[pair[4:]]) for pair in PAIRS]
    assert shares == pytest.approx(PUBLISHED[species], abs=0.05)


@pytest.mark.real_data
def test_the_codon_table_is_that_of_the_real_genes():
    folder = os.environ.get("NT_CDS_DIR")
    if not folder:
        pytest.skip("NT_CDS_DIR is not set")
    for species in SPECIES:
        (path,) = Path(folder).glob(f"{species.prefix}*.fa.gz")
        (note,) = [line for line in codon_usage_notes() if line.startswith(f"{species.prefix}:")]
        if hashlib.sha256(path.read_bytes()).hexdigest() not in note:
            pytest.skip(f"NT_CDS_DIR holds another {path.name} than the one that the table was counted from")
        genes, _ = read_genes(path, species.starts, 3)
        counts = codon_counts(genes)
        assert counts == codon_usage()[species.scientific_name]
        assert f" {len(genes)} genes, {sum(counts.values())} codons" in note


def test_codons_are_counted_after_the_start_and_with_the_stop():
    counts = codon_counts([CDS("a", "a", "ATGGCTGCTATGTAA"), CDS("b", "b", "GTGNCTTGA")])
    assert {codon: count for codon, count in counts.items() if count} == {"GCT": 2, "ATG": 1, "TAA": 1, "TGA": 1}


def test_gc_and_gc3_count_a_c_g_and_t_alone():
    assert gc_content([CDS("a", "a", "ATGGCNTAA")]) == {"gc": 3 / 8, "gc3": 1 / 2}


def test_every_synthetic_gene_is_a_valid_cds_of_the_stated_length():
    genes = synthetic_genes(codon_usage()["Escherichia coli"], 300, 60, np.random.default_rng(0))
    lengths = [len(cds.sequence) // 3 for cds in genes]
    assert all(skip_reason(cds.sequence, EUKARYOTIC_STARTS, 60) is None for cds in genes)
    assert len({cds.gene for cds in genes}) == 300
    assert MIN_WINDOWS * 20 <= min(lengths) < 120 and 480 < max(lengths) <= MAX_WINDOWS * 20


def test_synthetic_codons_follow_the_table():
    usage = codon_usage()["Drosophila melanogaster"]
    genes = synthetic_genes(usage, 1000, 60, np.random.default_rng(1))
    counts = codon_counts(genes)
    for codons in (STOPS, set(CODONS) - STOPS):
        drawn, expected = (
            np.array([table[c] for c in sorted(codons)]) / sum(table[c] for c in codons) for table in (counts, usage)
        )
        number = sum(counts[codon] for codon in codons)
        assert (np.abs(drawn - expected) < 5 * np.sqrt(expected / number)).all()


@pytest.mark.parametrize("budgets", [(900, 100, 1000), (1, 1, 1), (1, 2000, 1), (2000, 1, 6), (3, 4, 7), (13, 1, 77)])
def test_there_are_genes_enough_for_every_split_even_if_all_are_short(budgets):
    num_genes = num_genes_for(dict(zip(SPLITS, budgets, strict=True)))
    sizes = np.bincount(assign_genes(num_genes, budgets, np.random.default_rng(0)), minlength=3)
    assert (sizes * MIN_WINDOWS >= np.array(budgets)).all()


def slow_posterior(window, usages):
    """Straight from the model, in exact fractions: the window may be each of the windows that a gene can have."""
    codons = [window[i : i + 3] for i in range(0, len(window), 3)]
    width = len(codons)
    likelihoods = []
    for usage in usages:
        sense_total = sum(count for codon, count in usage.items() if codon not in STOPS)
        stop_total = sum(count for codon, count in usage.items() if codon in STOPS)
        likelihood = Fraction(0)
        for length in range(MIN_WINDOWS * width, MAX_WINDOWS * width + 1):
            for first in range(0, length - width + 1, width):
                term = Fraction(1)
                for place, codon in enumerate(codons, start=first):
                    if place == 0:
                        term *= codon == "ATG"
                    elif place == length - 1:
                        term *= Fraction(usage[codon] if codon in STOPS else 0, stop_total)
                    else:
                        term *= Fraction(0 if codon in STOPS else usage[codon], sense_total)
                likelihood += term
        likelihoods.append(likelihood)
    return [float(likelihood / sum(likelihoods)) for likelihood in likelihoods]


def test_the_posterior_is_that_of_the_slow_reference_for_first_inner_and_last_windows():
    usages = [codon_usage()[name] for name in ("Homo sapiens", "Escherichia coli", "Saccharomyces cerevisiae")]
    windows = []
    for index, usage in enumerate(usages):
        genes = synthetic_genes(usage, 50, 12, np.random.default_rng(index))
        whole = [cds for cds in genes if len(cds.sequence) % 12 == 0][:1]
        windows += [cds.sequence[start : start + 12] for cds in whole for start in (0, 12, len(cds.sequence) - 12)]
    assert len(windows) == 9
    assert any(window[-3:] in STOPS for window in windows)
    expected = [slow_posterior(window, usages) for window in windows]
    likelihoods = bayes_log_likelihoods(windows, usages)
    posteriors = np.exp(likelihoods - np.logaddexp.reduce(likelihoods, axis=1, keepdims=True))
    assert posteriors == pytest.approx(np.array(expected), abs=1e-12)
    assert bayes_optimal_predictions(windows, usages).tolist() == [int(np.argmax(row)) for row in expected]
