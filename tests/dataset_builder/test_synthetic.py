"""Codon pairs -> genes; the Bayes-optimal classifier against a slow reference, enumeration and simulation."""

import os
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.cds import CDS, skip_reason
from dataset_builder.codon_pairs import count_pairs, main, table_of
from dataset_builder.composition import CODONS, codon_counts, composition
from dataset_builder.sources import genes_of_codon_pairs, genes_of_files, sha256, species_files
from dataset_builder.species import SPECIES
from dataset_builder.synthetic import (
    CODON_PAIRS_FILE,
    IS_STOP,
    MAX_WINDOWS,
    MIN_WINDOWS,
    PSEUDO_COUNT,
    CodonChain,
    bayes_log_likelihoods,
    bayes_optimal_predictions,
    codon_chain,
    codon_chains,
    codon_pairs,
    codon_pairs_notes,
    independent,
    num_genes_for,
    synthetic_genes,
)
from dataset_builder.windows import SPLITS, assign_genes, tile
from tests.dataset_builder.fasta import SPECIES_NAMES, write_species


def test_the_table_counts_the_pairs_of_64_codons_of_six_species():
    assert tuple(codon_pairs()) == SPECIES_NAMES
    for pairs in codon_pairs().values():
        assert pairs.shape == (64, 64) and not pairs[IS_STOP].any() and pairs[~IS_STOP].sum(axis=1).min() > 1000
    notes = "\n".join(codon_pairs_notes())
    assert all(f"{species.prefix}: " in notes for species in SPECIES) and "2026-11-26" in notes
    assert CODON_PAIRS_FILE.stat().st_size < 120_000


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
    usage = dict(zip(CODONS, codon_pairs()[species].sum(axis=0), strict=True))
    shares = [usage[pair[:3]] / (usage[pair[:3]] + usage[pair[4:]]) for pair in PAIRS]
    assert shares == pytest.approx(PUBLISHED[species], abs=0.05)


def test_cpg_between_codons_is_rare_in_mammals_alone():
    """As in all of their DNA, where C is methylated: Bird 1980, https://doi.org/10.1093/nar/8.7.1499."""
    before, after = (np.array([codon[place] == letter for codon in CODONS]) for place, letter in ((2, "C"), (0, "G")))
    ratio = {
        species: pairs[np.ix_(before, after)].sum() * pairs.sum() / pairs[before].sum() / pairs[:, after].sum()
        for species, pairs in codon_pairs().items()
    }
    assert max(ratio["Homo sapiens"], ratio["Mus musculus"]) < 0.5
    assert min(ratio[species] for species in SPECIES_NAMES[2:]) > 0.7


def test_pairs_are_counted_within_genes_and_after_the_start_codon():
    genes = [CDS("a", "a", "ATGGCTATGGCTATGTAA"), CDS("b", "b", "GTGNCTGCTTGA"), CDS("c", "c", "ATGTAG")]
    pairs = count_pairs(genes)
    counted = {(CODONS[i], CODONS[j]): pairs[i, j] for i, j in np.argwhere(pairs)}
    assert counted == {("GCT", "ATG"): 2, ("ATG", "GCT"): 1, ("ATG", "TAA"): 1, ("GCT", "TGA"): 1}


def test_the_command_counts_a_folder_and_keeps_the_notes_on_the_sources(tmp_path, monkeypatch, capsys):
    table = tmp_path / "codon_pairs.csv"
    table.write_text("# kept\n# Mus_musculus: 7 genes, of old.fa\nfirst,second\n")
    for module in ("synthetic", "codon_pairs"):
        monkeypatch.setattr(f"dataset_builder.{module}.CODON_PAIRS_FILE", table)
    written = write_species(tmp_path / "source", num_genes=4)
    main(["--source", str(tmp_path / "source")])
    assert str(table) in capsys.readouterr().out
    notes = codon_pairs_notes()
    assert notes[0] == "kept" and len(notes) == 7 and notes[2].startswith("Mus_musculus: 4 genes, ")
    assert sha256(tmp_path / "source" / "Mus_musculus.fa") in notes[2]
    expected = Counter()
    for sequence in written["Mus musculus"].values():
        codons = [sequence[i : i + 3] for i in range(3, len(sequence), 3)]
        expected.update(zip(codons, codons[1:], strict=False))
    counted = codon_pairs.__wrapped__()["Mus musculus"]
    assert {(CODONS[i], CODONS[j]): counted[i, j] for i, j in np.argwhere(counted)} == expected


@pytest.fixture(scope="module")
def real():
    """The real genes of each species and their origins."""
    folder = os.environ.get("NT_CDS_DIR")
    if not folder:
        pytest.skip("NT_CDS_DIR is not set")
    files = species_files(Path(folder))
    others = [path.name for path in files if sha256(path) not in "".join(codon_pairs_notes())]
    if others:
        pytest.skip(f"NT_CDS_DIR holds another {others[0]} than the one that the table was counted from")
    return genes_of_files(files, [species.genetic_code for species in SPECIES], 3)


@pytest.mark.real_data
def test_the_table_is_that_of_the_real_genes(real):
    assert table_of(*real) == CODON_PAIRS_FILE.read_text(encoding="utf-8")


@pytest.mark.real_data
def test_the_pseudo_count_suits_genes_that_were_not_counted(real, monkeypatch):
    sense = np.ix_(~IS_STOP, ~IS_STOP)
    for genes in real[0]:
        held_out = count_pairs(genes[::5])
        counted = count_pairs(genes) - held_out
        log_likelihood = {}  # nats per codon of the genes held out
        for pseudo_count in (1, 100, PSEUDO_COUNT, 2_000, 10_000):
            monkeypatch.setattr("dataset_builder.synthetic.PSEUDO_COUNT", pseudo_count)
            logs = np.log(codon_chain(counted).following[sense])
            log_likelihood[pseudo_count] = (held_out[sense] * logs).sum() / held_out[sense].sum()
        alone = np.log(independent(codon_chain(counted)).following[sense])
        assert log_likelihood[PSEUDO_COUNT] > max(log_likelihood.values()) - 0.0005
        assert log_likelihood[PSEUDO_COUNT] > (held_out[sense] * alone).sum() / held_out[sense].sum() + 0.02


def test_codons_are_counted_after_the_start_and_with_the_stop():
    counts = codon_counts([CDS("a", "a", "ATGGCTGCTATGTAA"), CDS("b", "b", "GTGNCTTGA")])
    assert {codon: count for codon, count in counts.items() if count} == {"GCT": 2, "ATG": 1, "TAA": 1, "TGA": 1}


def test_gc_and_gc3_count_a_c_g_and_t_alone():
    assert composition([CDS("a", "a", "ATGGCNTAA")], coding=False) == {"gc": 3 / 8}
    assert composition([CDS("a", "a", "ATGGCNTAA")], coding=True)["gc3"] == 1 / 2


def test_every_synthetic_gene_is_a_valid_cds_of_the_stated_length():
    genes = synthetic_genes(codon_chains()["Escherichia coli"], 300, 60, np.random.default_rng(0))
    lengths = [len(cds.sequence) // 3 for cds in genes]
    assert all(skip_reason(cds.sequence, 1, 60) is None for cds in genes)
    assert len({cds.gene for cds in genes}) == 300
    assert MIN_WINDOWS * 20 <= min(lengths) < 120 and 480 < max(lengths) <= MAX_WINDOWS * 20


def test_synthetic_codons_and_pairs_follow_the_chain():
    chain = codon_chains()["Drosophila melanogaster"]
    genes = synthetic_genes(chain, 1500, 60, np.random.default_rng(1))
    pairs = count_pairs(genes)
    for allowed, table in ((~IS_STOP, chain.following), (IS_STOP, chain.stop)):
        drawn = np.where(allowed, pairs, 0)
        expected = drawn.sum(axis=1, keepdims=True) * table
        assert (np.abs(drawn - expected) < 5.5 * np.sqrt(expected) + 3).all()
        assert not drawn[table == 0].any()
    for place in (1, 2, 60):  # the same usage next to the start codon as far from it
        usage = np.bincount([CODONS.index(cds.sequence[3 * place : 3 * place + 3]) for cds in genes], minlength=64)
        assert (np.abs(usage - 1500 * chain.codon) < 5 * np.sqrt(1500 * chain.codon) + 1).all()


@pytest.mark.parametrize("budgets", [(900, 100, 1000), (1, 1, 1), (1, 2000, 1), (2000, 1, 6), (3, 4, 7), (13, 1, 77)])
def test_there_are_genes_enough_for_every_split_even_if_all_are_short(budgets):
    num_genes = num_genes_for(dict(zip(SPLITS, budgets, strict=True)))
    sizes = np.bincount(assign_genes(num_genes, budgets, np.random.default_rng(0)), minlength=3)
    assert (sizes * MIN_WINDOWS >= np.array(budgets)).all()


# Few enough codons to enumerate all windows: the start codon, two others, two stop codons.
SENSE, FEW_STOPS = ["ATG", "AAA", "TTT"], ["TAA", "TGA"]
WINDOWS = list(product(SENSE + FEW_STOPS, repeat=3))
FEW_PAIRS = [
    [[900, 5000, 300, 7, 40], [4000, 100, 100, 30, 1], [20, 30, 9000, 2, 2]],
    [[50, 400, 3000, 40, 7], [10, 8000, 2000, 5, 1], [3000, 1000, 60, 3, 9]],
]


def few_chain(counts: list[list[int]]) -> CodonChain:
    pairs = np.zeros((64, 64), dtype=np.int64)
    pairs[np.ix_([CODONS.index(a) for a in SENSE], [CODONS.index(b) for b in SENSE + FEW_STOPS])] = counts
    return codon_chain(pairs)


def slow_chain(counts: list[list[int]]) -> tuple[dict, dict, dict]:
    """P(second codon of a gene), P(next sense codon), P(stop codon at the end), in exact fractions."""
    tables = []
    for allowed, columns in ((SENSE, slice(3)), (FEW_STOPS, slice(3, 5))):
        rows = [row[columns] for row in counts]
        usage = [Fraction(sum(column), sum(map(sum, rows))) for column in zip(*rows, strict=True)]
        tables.append(
            {
                first: {
                    codon: (number + PSEUDO_COUNT * share) / (sum(row) + PSEUDO_COUNT)
                    for codon, number, share in zip(allowed, row, usage, strict=True)
                }
                for first, row in zip(SENSE, rows, strict=True)
            }
        )
    to = tables[0]
    second = {}  # the stationary distribution of three states, by the Markov chain tree theorem
    for root in SENSE:
        a, b = (codon for codon in SENSE if codon != root)
        second[root] = to[a][root] * to[b][root] + to[a][b] * to[b][root] + to[b][a] * to[a][root]
    total = sum(second.values())
    return {codon: weight / total for codon, weight in second.items()}, *tables


def slow_probability(window: tuple[str, ...], chain: tuple[dict, dict, dict], max_windows: int) -> Fraction:
    """Of a window that is any of the windows of a gene, straight from how a gene is drawn."""
    second, following, stop = chain
    width, probability, windows = len(window), Fraction(0), 0
    for length in range(MIN_WINDOWS * width, max_windows * width + 1):
        for begin in range(0, length - width + 1, width):
            windows += 1
            term = Fraction(1)
            for place, before, codon in zip(range(begin, length), (None, *window), window, strict=False):
                if place == 0:
                    term *= codon == "ATG"
                elif place == length - 1:
                    term *= stop.get(before, {}).get(codon, 0)
                elif place == 1 or before is None:
                    term *= second.get(codon, 0)
                else:
                    term *= following.get(before, {}).get(codon, 0)
            probability += term
    return probability / windows


def test_the_likelihood_is_that_of_the_slow_reference_and_sums_to_one_over_all_windows(monkeypatch):
    monkeypatch.setattr("dataset_builder.synthetic.MAX_WINDOWS", 7)
    slow_chains = [slow_chain(counts) for counts in FEW_PAIRS]
    for second, following, _ in slow_chains:  # every place of a gene has the distribution of the second one
        assert {b: sum(second[a] * following[a][b] for a in SENSE) for b in SENSE} == second
    expected = np.array([[float(slow_probability(window, chain, 7)) for chain in slow_chains] for window in WINDOWS])
    sequences, chains = ["".join(window) for window in WINDOWS], [few_chain(counts) for counts in FEW_PAIRS]
    likelihoods = np.exp(bayes_log_likelihoods(sequences, chains))
    assert likelihoods == pytest.approx(expected, rel=1e-12)
    assert likelihoods.sum(axis=0) == pytest.approx(1, abs=1e-12)
    assert (bayes_optimal_predictions(sequences, chains) == expected.argmax(axis=1)).all()


def test_windows_of_synthetic_genes_have_the_probabilities_that_the_classifier_takes():
    chain = few_chain(FEW_PAIRS[0])
    drawn = Counter(tile(synthetic_genes(chain, 4000, 9, np.random.default_rng(0)), 9)[0]["sequence"].tolist())
    sequences = ["".join(window) for window in WINDOWS]
    expected = drawn.total() * np.exp(bayes_log_likelihoods(sequences, [chain]))[:, 0]
    counts = np.array([drawn[sequence.encode()] for sequence in sequences])
    assert counts.sum() == drawn.total() > 50_000 and not counts[expected == 0].any()
    # Twice the deviation of independent windows, for those of a gene depend on each other.
    assert (np.abs(counts - expected) <= 4 * 2 * np.sqrt(expected)).all()


def test_the_classifier_is_as_accurate_as_it_says_of_itself():
    chains = list(codon_chains().values())
    correct, stated = [], []
    for species, chain in enumerate(chains):
        genes = synthetic_genes(chain, 300, 60, np.random.default_rng(species))
        likelihoods = bayes_log_likelihoods(tile(genes, 60)[0]["sequence"], chains)
        posteriors = np.exp(likelihoods - np.logaddexp.reduce(likelihoods, axis=1, keepdims=True))
        correct.append((posteriors.argmax(axis=1) == species).mean())
        stated.append(posteriors.max(axis=1).mean())
    assert np.mean(correct) == pytest.approx(np.mean(stated), abs=0.01)  # 4 deviations of the mean of 27,000 windows
    assert np.mean(correct) > 0.65


def test_without_the_order_of_codons_accuracy_is_that_of_codon_usage():
    chains = list(codon_chains().values())
    alone = [independent(chain) for chain in chains]
    inner = [
        [cds.sequence[60:120] for cds in synthetic_genes(chain, 1000, 60, np.random.default_rng(i))]
        for i, chain in enumerate(chains)
    ]
    labels = np.repeat(np.arange(6), 1000)
    codons = [[CODONS.index(window[i : i + 3]) for i in range(0, 60, 3)] for window in sum(inner, [])]
    by_counts = np.stack([np.log(chain.codon[codons]).sum(axis=1) for chain in chains], axis=1)
    predicted = bayes_optimal_predictions(sum(inner, []), alone)
    assert (predicted == by_counts.argmax(axis=1)).mean() > 0.999  # but for those that could begin or end a gene
    better = (bayes_optimal_predictions(sum(inner, []), chains) == labels).mean()
    assert better > (predicted == labels).mean() + 0.08


def test_genes_of_different_species_have_different_names():
    generators = [np.random.default_rng(i) for i in range(len(SPECIES))]
    genes, _ = genes_of_codon_pairs(3, 60, generators)
    names = [cds.gene for of_species in genes for cds in of_species]
    assert len(set(names)) == len(names) == 18 and names[0] == "Homo_sapiens_synthetic0000001"
