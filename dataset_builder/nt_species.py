"""Settings -> train, validation and test rows, and the record of how they were made."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from dataset_builder.arguments import ENSEMBL, STRETCH_NT, SYNTHETIC, Build
from dataset_builder.cds import CDS
from dataset_builder.composition import codon_counts, gc_content
from dataset_builder.layout import BUILDER, SPLITS
from dataset_builder.relatives import group_relatives
from dataset_builder.sources import genes_of_codon_pairs, genes_of_ensembl, genes_of_files, species_files
from dataset_builder.species import SPECIES, SPECIES_NAMES
from dataset_builder.synthetic import CodonChain, bayes_optimal_predictions, codon_chains, independent, num_genes_for
from dataset_builder.whole_genes import cut_genes
from dataset_builder.windows import LEAK_PRIORITY, assign_genes, drop_ambiguous, join_groups, select, tile

VERSION = "1.2.0"  # raise it with every change of the rows
ALL_WINDOWS_WEIGHTS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of the genes
FEATURES = Features(
    {
        "sequence": Value("string"),
        "label": ClassLabel(names=list(SPECIES_NAMES)),
        "gene": Value("string"),
        "transcript": Value("string"),
        "start": Value("int32"),
    }
)

# Random numbers come from (seed, purpose, index), so that the draws of one step do not depend on another.
DRAW_GENES, ASSIGN_GENES, ORDER_WINDOWS, ORDER_ROWS = range(4)


def build_splits(settings: Build) -> tuple[DatasetDict, dict[str, Any]]:
    """The rows of each split, and what build.json says about them; ValueError if there are too few windows."""
    if settings.source == SYNTHETIC:
        generators = [_rng(settings, DRAW_GENES, index) for index in range(len(SPECIES))]
        genes, origins = genes_of_codon_pairs(num_genes_for(settings.budgets), settings.window_nt, generators)
    elif settings.source == ENSEMBL:
        genes, origins = genes_of_ensembl(settings.window_nt)
    else:
        genes, origins = genes_of_files(
            species_files(Path(settings.source)), settings.window_nt, settings.gene_pattern
        )
    tiled = [tile(species_genes, settings.window_nt) for species_genes in genes]
    windows, ambiguous = drop_ambiguous([species_windows for species_windows, _ in tiled])
    split_of_gene, relatives = _assign(settings, genes)
    chosen, counts = _select(settings, genes, windows, split_of_gene)
    rows = {
        split: _rows(genes, chosen[split], _rng(settings, ORDER_ROWS, index)) for index, split in enumerate(SPLITS)
    }
    bayes_optimal = codon_usage_alone = None
    if settings.source == SYNTHETIC:
        chains = list(codon_chains().values())
        bayes_optimal = _accuracy(rows["test"], chains)
        codon_usage_alone = _accuracy(rows["test"], [independent(chain) for chain in chains])
    record = {
        "builder": BUILDER,
        "builder_version": VERSION,
        "library_versions": {name: version(name) for name in ("datasets", "numpy", "pyarrow")},
        "source": settings.source_kind,
        "synthetic": settings.source == SYNTHETIC,
        "window_nt": settings.window_nt,
        "windows_per_species": settings.budgets,
        "whole_genes": settings.whole_genes,
        "seed": settings.seed,
        "gene_pattern": settings.gene_pattern,
        "leak_stretch_nt": STRETCH_NT,
        "bayes_optimal_accuracy": bayes_optimal,
        "codon_usage_accuracy": codon_usage_alone,
        "species": [
            {
                "scientific_name": species.scientific_name,
                "common_name": species.common_name,
                "origin": origins[index],
                "genes": len(genes[index]),
                "relatives": relatives[index],
                **gc_content(genes[index]),
                "codons": codon_counts(genes[index]),
                "windows_with_other_letters": tiled[index][1],
                "ambiguous_windows": ambiguous[index],
                "splits": {split: counts[split][index] for split in SPLITS},
            }
            for index, species in enumerate(SPECIES)
        ],
    }
    return DatasetDict(rows), record


def _accuracy(rows: Dataset, chains: list[CodonChain]) -> float:
    predicted = bayes_optimal_predictions(rows["sequence"], chains)
    return float((predicted == np.array(rows["label"])).mean())


def _rng(settings: Build, purpose: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(purpose, index)))


def _assign(settings: Build, genes: list[list[CDS]]) -> tuple[list[np.ndarray], list[dict[str, int]]]:
    """The split of each gene per species, int8 (genes,), and how many genes have relatives and were moved to them."""
    weights = settings.budgets or ALL_WINDOWS_WEIGHTS
    split_of_gene, relatives = [], []
    for index, (species, species_genes) in enumerate(zip(SPECIES, genes, strict=True)):
        # Synthetic genes are drawn one by one: none has relatives.
        synthetic = settings.source == SYNTHETIC
        groups = np.arange(len(species_genes)) if synthetic else group_relatives(species_genes)
        sizes = np.unique(groups, return_counts=True)[1]
        if len(sizes) < len(SPLITS):
            raise ValueError(
                f"{species.scientific_name} has {len(species_genes)} valid coding sequences, {len(sizes)} of them "
                f"unrelated, but each of the {len(SPLITS)} splits needs its own genes; give a file with more genes."
            )
        rng = _rng(settings, ASSIGN_GENES, index)
        alone = assign_genes(len(species_genes), [weights[split] for split in SPLITS], rng)
        split_of_gene.append(join_groups(alone, groups, rng))
        relatives.append(
            {
                "genes": int(sizes[sizes > 1].sum()),
                "groups": int((sizes > 1).sum()),
                "largest_group": int(sizes.max()),
                "moved": int((split_of_gene[-1] != alone).sum()),
            }
        )
    return split_of_gene, relatives


def _select(
    settings: Build, genes: list[list[CDS]], windows: list[np.ndarray], split_of_gene: list[np.ndarray]
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[dict[str, Any]]]]:
    """Per split and species, the rows, (rows, 3): a gene, and start and stop in its CDS; and their counts."""
    orders = [_rng(settings, ORDER_WINDOWS, index).permutation(len(each)) for index, each in enumerate(windows)]
    of_windows = LEAK_PRIORITY[:-1] if settings.whole_genes else LEAK_PRIORITY
    drawn, drawn_counts, stretches = select(windows, split_of_gene, orders, settings.budgets, of_windows)
    chosen, counts = {}, {}
    for split in filter(drawn.get, SPLITS):
        asked = settings.budgets[split] if settings.budgets else 1
        for species, count in zip(SPECIES, drawn_counts[split], strict=True):
            if count.kept < asked:
                raise ValueError(
                    f"{species.scientific_name}, {split}: {asked} windows of {settings.window_nt} nt requested, "
                    f"{count.kept} available ({count.candidates} in {count.genes} genes, minus {count.duplicates} "
                    f"duplicates and {count.leaks} that share {STRETCH_NT} nt with another split); ask for fewer or "
                    "shorter windows, or give files with more genes."
                )
        taken = [each[kept] for each, kept in zip(windows, drawn[split], strict=True)]
        chosen[split] = [
            np.stack([each["gene"], each["start"], each["start"] + settings.window_nt], axis=1) for each in taken
        ]
        counts[split] = list(map(asdict, drawn_counts[split]))
    if settings.whole_genes:
        in_train = [assigned == SPLITS.index("train") for assigned in split_of_gene]
        chosen["train"], counts["train"] = cut_genes(genes, in_train, stretches, settings.window_nt)
        for species, count in zip(SPECIES, counts["train"], strict=True):
            if not count["kept"]:
                raise ValueError(
                    f"{species.scientific_name}, train: of {count['nt']} nt in {count['genes']} genes, no "
                    f"{settings.window_nt} nt on end are unique ({count['nt_left_out']}); give a file with more genes."
                )
    return chosen, counts


def _rows(genes: list[list[CDS]], chosen: list[np.ndarray], rng: np.random.Generator) -> Dataset:
    """The chosen stretches of the genes of all species, in random order."""
    labels = np.repeat(np.arange(len(chosen)), [len(each) for each in chosen])
    order = rng.permutation(len(labels))
    labels = labels[order].tolist()
    places = np.concatenate(chosen)[order].tolist()
    sources = [genes[label][gene] for label, (gene, _, _) in zip(labels, places, strict=True)]
    columns = {
        "sequence": [cds.sequence[start:stop] for cds, (_, start, stop) in zip(sources, places, strict=True)],
        "label": labels,
        "gene": [cds.gene for cds in sources],
        "transcript": [cds.transcript for cds in sources],
        "start": [start for _, start, _ in places],
    }
    return Dataset.from_dict(columns, features=FEATURES)
