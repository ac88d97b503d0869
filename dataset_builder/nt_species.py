"""Settings -> train, validation and test rows, and the record of how they were made."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from dataset_builder.arguments import ENSEMBL, FILES, STRETCH_NT, SYNTHETIC, Build
from dataset_builder.cds import CDS
from dataset_builder.composition import composition
from dataset_builder.layout import BUILDER, SPLITS
from dataset_builder.relatives import group_records, group_relatives
from dataset_builder.sources import (
    class_files,
    genes_of_codon_pairs,
    genes_of_ensembl,
    genes_of_files,
    sha256,
    species_files,
)
from dataset_builder.species import SPECIES, read_species
from dataset_builder.synthetic import CodonChain, bayes_optimal_predictions, codon_chains, independent, num_genes_for
from dataset_builder.whole_genes import cut_genes
from dataset_builder.windows import (
    LEAK_PRIORITY,
    assign_genes,
    assign_groups,
    drop_ambiguous,
    join_groups,
    select,
    tile,
)

VERSION = "1.2.0"  # raise it with every change of the rows
ALL_WINDOWS_WEIGHTS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of the genes

# Random numbers come from (seed, purpose, index), so that the draws of one step do not depend on another.
DRAW_GENES, ASSIGN_GENES, ORDER_WINDOWS, ORDER_ROWS = range(4)


def build_splits(settings: Build) -> tuple[DatasetDict, dict[str, Any]]:
    """The rows of each split, and what build.json says about them; ValueError if there are too few windows."""
    classes, genes, origins = _read(settings)
    names = [each["name"] for each in classes]
    tiled = [tile(class_genes, settings.window_nt) for class_genes in genes]
    windows, ambiguous = drop_ambiguous([class_windows for class_windows, _ in tiled])
    assign = _assign_records if settings.source_kind == FILES else _assign
    split_of_gene, relatives = assign(settings, names, genes)
    chosen, counts = _select(settings, names, genes, windows, split_of_gene)
    rows = {
        split: _rows(names, genes, chosen[split], _rng(settings, ORDER_ROWS, index))
        for index, split in enumerate(SPLITS)
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
        "windows_per_class": settings.budgets,
        "whole_genes": settings.whole_genes,
        "seed": settings.seed,
        "gene_pattern": settings.gene_pattern,
        "species_file": settings.species_file
        and {"name": Path(settings.species_file).name, "sha256": sha256(Path(settings.species_file))},
        "leak_stretch_nt": STRETCH_NT,
        "bayes_optimal_accuracy": bayes_optimal,
        "codon_usage_accuracy": codon_usage_alone,
        "classes": [
            {
                **described,
                "origin": origins[index],
                "genes": len(genes[index]),
                "relatives": relatives[index],
                **composition(genes[index], coding=settings.source_kind != FILES),
                "windows_with_other_letters": tiled[index][1],
                "ambiguous_windows": ambiguous[index],
                "splits": {split: counts[split][index] for split in SPLITS},
            }
            for index, described in enumerate(classes)
        ],
    }
    return DatasetDict(rows), record


def _read(settings: Build) -> tuple[list[dict[str, Any]], list[list[CDS]], list[dict[str, Any]]]:
    """The classes in the order of their labels: what build.json says about each, its genes or records, its origin."""
    if settings.source_kind == FILES:
        files = class_files(Path(settings.source))
        codes = [None] * len(files)
        read = genes_of_files(list(files.values()), codes, settings.window_nt, settings.gene_pattern)
        return [{"name": name} for name in files], *read
    species = read_species(Path(settings.species_file)) if settings.species_file else SPECIES
    if settings.source == SYNTHETIC:
        generators = [_rng(settings, DRAW_GENES, index) for index in range(len(species))]
        read = genes_of_codon_pairs(num_genes_for(settings.budgets), settings.window_nt, generators)
    elif settings.source == ENSEMBL:
        read = genes_of_ensembl(species, settings.window_nt)
    else:
        files = species_files(Path(settings.source), species)
        codes = [each.genetic_code for each in species]
        read = genes_of_files(files, codes, settings.window_nt, settings.gene_pattern)
    described = [
        {"name": each.scientific_name, "common_name": each.common_name, "genetic_code": each.genetic_code}
        for each in species
    ]
    return described, *read


def _accuracy(rows: Dataset, chains: list[CodonChain]) -> float:
    predicted = bayes_optimal_predictions(rows["sequence"], chains)
    return float((predicted == np.array(rows["label"])).mean())


def _rng(settings: Build, purpose: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(purpose, index)))


def _assign(
    settings: Build, names: list[str], genes: list[list[CDS]]
) -> tuple[list[np.ndarray], list[dict[str, int]]]:
    """The split of each gene per species, int8 (genes,), and how many genes have relatives and were moved to them."""
    weights = settings.budgets or ALL_WINDOWS_WEIGHTS
    split_of_gene, relatives = [], []
    for index, (name, species_genes) in enumerate(zip(names, genes, strict=True)):
        # Synthetic genes are drawn one by one: none has relatives.
        synthetic = settings.source == SYNTHETIC
        groups = np.arange(len(species_genes)) if synthetic else group_relatives(species_genes)
        counts = _relatives(name, groups, "valid coding sequences", "genes")
        rng = _rng(settings, ASSIGN_GENES, index)
        alone = assign_genes(len(species_genes), [weights[split] for split in SPLITS], rng)
        split_of_gene.append(join_groups(alone, groups, rng))
        relatives.append(counts | {"moved": int((split_of_gene[-1] != alone).sum())})
    return split_of_gene, relatives


def _assign_records(
    settings: Build, names: list[str], genes: list[list[CDS]]
) -> tuple[list[np.ndarray], list[dict[str, int]]]:
    """The split of each record of any DNA per class, int8 (records,), and how many records have relatives."""
    weights = settings.budgets or ALL_WINDOWS_WEIGHTS
    sizes = [len(records) for records in genes]
    ends = np.cumsum(sizes)[:-1]
    groups, labels = group_records(genes), np.repeat(np.arange(len(genes)), sizes)
    relatives = [
        _relatives(name, each, "records", "records") for name, each in zip(names, np.split(groups, ends), strict=True)
    ]
    assigned = assign_groups(groups, labels, [weights[split] for split in SPLITS], _rng(settings, ASSIGN_GENES, 0))
    split_of_record = np.split(assigned, ends)
    for name, splits in zip(names, split_of_record, strict=True):
        if len(np.unique(splits)) < len(SPLITS):
            raise ValueError(
                f"{name}: its records share too many genes with other classes for records of its own in each of the "
                f"{len(SPLITS)} splits; give a file with more genes."
            )
    return split_of_record, relatives


def _relatives(name: str, groups: np.ndarray, sequences: str, unit: str) -> dict[str, int]:
    """How many genes or records of a class have relatives in it; ValueError if these leave too few groups."""
    sizes = np.unique(groups, return_counts=True)[1]
    if len(sizes) < len(SPLITS):
        raise ValueError(
            f"{name} has {len(groups)} {sequences}, {len(sizes)} of them unrelated, but each of the {len(SPLITS)} "
            f"splits needs its own {unit}; give a file with more {unit}."
        )
    return {
        "genes": int(sizes[sizes > 1].sum()),
        "groups": int((sizes > 1).sum()),
        "largest_group": int(sizes.max()),
    }


def _select(
    settings: Build,
    names: list[str],
    genes: list[list[CDS]],
    windows: list[np.ndarray],
    split_of_gene: list[np.ndarray],
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[dict[str, Any]]]]:
    """Per split and class, the rows, (rows, 3): a gene, and start and stop in it; and their counts."""
    unit, step = ("records", 1) if settings.source_kind == FILES else ("genes", 3)
    orders = [_rng(settings, ORDER_WINDOWS, index).permutation(len(each)) for index, each in enumerate(windows)]
    of_windows = LEAK_PRIORITY[:-1] if settings.whole_genes else LEAK_PRIORITY
    drawn, drawn_counts, stretches = select(windows, split_of_gene, orders, settings.budgets, of_windows)
    chosen, counts = {}, {}
    for split in filter(drawn.get, SPLITS):
        asked = settings.budgets[split] if settings.budgets else 1
        for name, count in zip(names, drawn_counts[split], strict=True):
            if count.kept < asked:
                raise ValueError(
                    f"{name}, {split}: {asked} windows of {settings.window_nt} nt requested, "
                    f"{count.kept} available ({count.candidates} in {count.genes} {unit}, minus {count.duplicates} "
                    f"duplicates and {count.leaks} that share {STRETCH_NT} nt with another split); ask for fewer or "
                    f"shorter windows, or give files with more {unit}."
                )
        taken = [each[kept] for each, kept in zip(windows, drawn[split], strict=True)]
        chosen[split] = [
            np.stack([each["gene"], each["start"], each["start"] + settings.window_nt], axis=1) for each in taken
        ]
        counts[split] = list(map(asdict, drawn_counts[split]))
    if settings.whole_genes:
        in_train = [assigned == SPLITS.index("train") for assigned in split_of_gene]
        chosen["train"], counts["train"] = cut_genes(genes, in_train, stretches, settings.window_nt, step)
        for name, count in zip(names, counts["train"], strict=True):
            if not count["kept"]:
                raise ValueError(
                    f"{name}, train: of {count['nt']} nt in {count['genes']} {unit}, no {settings.window_nt} nt on "
                    f"end are unique ({count['nt_left_out']}); give a file with more {unit}."
                )
    return chosen, counts


def _rows(names: list[str], genes: list[list[CDS]], chosen: list[np.ndarray], rng: np.random.Generator) -> Dataset:
    """The chosen stretches of the genes of all classes, in random order."""
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
    features = {
        "sequence": Value("string"),
        "label": ClassLabel(names=names),
        "gene": Value("string"),
        "transcript": Value("string"),
        "start": Value("int32"),
    }
    return Dataset.from_dict(columns, features=Features(features))
