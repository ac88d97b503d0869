"""Codon usage -> genes; the Bayes-optimal classifier against a slow reference and by hand."""

import hashlib
import itertools
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
    bayes_optimal_posteriors,
    bayes_optimal_predictions,
    codon_usage,
    codon_usage_notes,
    num_genes_for,
    synthetic_genes,
)
from dataset_builder.windows import SPLITS, assign_genes, tile

# Share of each codon among those of its amino acid, in the order of CODONS (AAA, AAC, AAG, AAT, ACA, …): the Kazusa
# codon usage database as packed in PyPI's python-codon-tables 0.1.18 (CC0), tables h_sapiens_9606, m_musculus_10090,
# d_melanogaster_7227, e_coli_316407 and s_cerevisiae_4932.
PUBLISHED_TEXT = {
    "Homo sapiens": """
        0.43 0.53 0.57 0.47 0.28 0.36 0.11 0.25 0.21 0.24 0.21 0.15 0.17 0.47 1.00 0.36
        0.27 0.58 0.73 0.42 0.28 0.32 0.11 0.29 0.11 0.18 0.20 0.08 0.07 0.20 0.40 0.13
        0.42 0.54 0.58 0.46 0.23 0.40 0.11 0.27 0.25 0.34 0.25 0.16 0.12 0.24 0.46 0.18
        0.30 0.56 0.24 0.44 0.15 0.22 0.05 0.19 0.47 0.54 1.00 0.46 0.08 0.54 0.13 0.46
    """,
    "Mus musculus": """
        0.39 0.57 0.61 0.43 0.29 0.35 0.10 0.25 0.22 0.24 0.22 0.15 0.16 0.50 1.00 0.34
        0.26 0.59 0.74 0.41 0.29 0.30 0.10 0.31 0.12 0.17 0.19 0.08 0.08 0.20 0.39 0.13
        0.41 0.55 0.59 0.45 0.23 0.38 0.09 0.29 0.26 0.33 0.23 0.18 0.12 0.25 0.46 0.17
        0.28 0.57 0.23 0.43 0.14 0.22 0.05 0.20 0.49 0.52 1.00 0.48 0.07 0.56 0.13 0.44
    """,
    "Drosophila melanogaster": """
        0.30 0.56 0.70 0.44 0.20 0.38 0.26 0.17 0.09 0.25 0.11 0.14 0.19 0.47 1.00 0.34
        0.30 0.60 0.70 0.40 0.25 0.33 0.29 0.13 0.15 0.33 0.15 0.16 0.09 0.15 0.43 0.10
        0.33 0.47 0.67 0.53 0.17 0.45 0.19 0.19 0.29 0.43 0.07 0.21 0.11 0.24 0.47 0.19
        0.41 0.63 0.33 0.37 0.09 0.24 0.20 0.08 0.25 0.71 1.00 0.29 0.05 0.62 0.18 0.38
    """,
    "Escherichia coli": """
        0.76 0.55 0.24 0.45 0.13 0.44 0.27 0.16 0.04 0.28 0.02 0.15 0.07 0.42 1.00 0.51
        0.35 0.43 0.65 0.57 0.19 0.12 0.53 0.16 0.06 0.40 0.10 0.38 0.04 0.10 0.50 0.10
        0.69 0.37 0.31 0.63 0.21 0.27 0.36 0.16 0.11 0.41 0.15 0.34 0.15 0.22 0.37 0.26
        0.64 0.43 0.07 0.57 0.12 0.15 0.15 0.15 0.29 0.56 1.00 0.44 0.13 0.43 0.13 0.57
    """,
    "Saccharomyces cerevisiae": """
        0.58 0.41 0.42 0.59 0.30 0.22 0.14 0.35 0.48 0.11 0.21 0.16 0.27 0.26 1.00 0.46
        0.69 0.36 0.31 0.64 0.42 0.15 0.12 0.31 0.07 0.06 0.04 0.14 0.14 0.06 0.11 0.13
        0.70 0.35 0.30 0.65 0.29 0.22 0.11 0.38 0.22 0.19 0.12 0.47 0.21 0.21 0.19 0.39
        0.47 0.44 0.23 0.56 0.21 0.16 0.10 0.26 0.30 0.37 1.00 0.63 0.28 0.41 0.29 0.59
    """,
}
PUBLISHED = {name: [float(share) for share in text.split()] for name, text in PUBLISHED_TEXT.items()}
GENETIC_CODE = dict(
    zip(
        ("".join(codon) for codon in itertools.product("TCAG", repeat=3)),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",  # NCBI code 1, in its order
        strict=True,
    )
)


def test_the_table_counts_64_codons_of_six_species():
    assert tuple(codon_usage()) == SPECIES_NAMES
    for usage in codon_usage().values():
        assert tuple(usage) == CODONS and min(usage.values()) > 0
    notes = "\n".join(codon_usage_notes())
    assert all(species.prefix in notes for species in SPECIES) and "2026-11-22" in notes


@pytest.mark.parametrize("species", PUBLISHED)
def test_the_table_agrees_with_published_codon_usage(species):
    usage = codon_usage()[species]
    of_amino_acid = {}
    for codon, amino_acid in GENETIC_CODE.items():
        of_amino_acid[amino_acid] = of_amino_acid.get(amino_acid, 0) + usage[codon]
    published = dict(zip(CODONS, PUBLISHED[species], strict=True))
    differences = [abs(usage[c] / of_amino_acid[GENETIC_CODE[c]] - published[c]) for c in CODONS]
    assert np.mean(differences) < 0.03


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
        genes = read_genes(path, species.starts, 3).genes
        counts = codon_counts(genes)
        assert counts == codon_usage()[species.scientific_name]
        assert f" {len(genes)} genes, {sum(counts.values())} codons" in note


def test_codons_are_counted_after_the_start_and_with_the_stop():
    counts = codon_counts([CDS("a", "a", "ATGGCTGCTATGTAA"), CDS("b", "b", "GTGNCTTGA")])
    assert {codon: count for codon, count in counts.items() if count} == {"GCT": 2, "ATG": 1, "TAA": 1, "TGA": 1}


def test_gc_and_gc3_count_a_c_g_and_t_alone():
    assert gc_content([CDS("a", "a", "ATGGCNTAA")]) == {"gc": 3 / 8, "gc3": 1 / 2}


def usage_of(**counts):
    return {codon: counts.get(codon, 0) for codon in CODONS}


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


def test_the_same_generator_draws_the_same_genes_and_another_seed_draws_others():
    usage = codon_usage()["Homo sapiens"]
    first, again, other = (synthetic_genes(usage, 5, 60, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again and first != other


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
    assert bayes_optimal_posteriors(windows, usages) == pytest.approx(np.array(expected), abs=1e-12)
    assert bayes_optimal_predictions(windows, usages).tolist() == [int(np.argmax(row)) for row in expected]


def test_the_posterior_by_hand():
    """Two species, two codons: A has GCT 3 times in 4 and GCC once, B the reverse; they differ in their stops, too."""
    species_a = usage_of(GCT=3, GCC=1, TAA=1)
    species_b = usage_of(GCT=1, GCC=3, TAA=1, TGA=4)
    # (3/4)^2 (1/4) against (1/4)^2 (3/4) is 3 to 1; with TAA at the end (3/4)^2 * 1 against (1/4)^2 * 1/5 is 45 to 1.
    posteriors = bayes_optimal_posteriors(["GCTGCTGCC", "GCTGCTTAA", "GCCGCTTGA"], [species_a, species_b])
    assert posteriors == pytest.approx(np.array([[3 / 4, 1 / 4], [45 / 46, 1 / 46], [0, 1]]))
    # ATG can only be the first codon here, and says nothing: 3 * 3 to 1.
    assert bayes_optimal_posteriors(["ATGGCTGCT"], [species_a, species_b])[0] == pytest.approx([0.9, 0.1])


def test_its_accuracy_is_what_its_posteriors_promise_and_any_other_rule_does_worse():
    usages = list(codon_usage().values())
    windows, labels = [], []
    for label, usage in enumerate(usages):
        tiled, _ = tile(synthetic_genes(usage, 400, 60, np.random.default_rng(label)), 60)
        windows += tiled.sequences().tolist()[:4000]
        labels += [label] * 4000
    posteriors = bayes_optimal_posteriors(windows, usages)
    assert posteriors.sum(axis=1) == pytest.approx(1)
    right = posteriors.argmax(axis=1) == np.array(labels)
    promised = posteriors.max(axis=1).mean()
    assert abs(right.mean() - promised) < 5 * np.sqrt(promised * (1 - promised) / len(labels))
    second_best = np.argsort(posteriors, axis=1)[:, -2] == np.array(labels)
    assert right.mean() > second_best.mean()


def test_a_window_that_no_species_can_have_is_an_error():
    with pytest.raises(ValueError, match=r"window 1 \(GCTTAAGCT\)"):
        bayes_optimal_posteriors(["GCTGCTGCT", "GCTTAAGCT"], list(codon_usage().values()))
