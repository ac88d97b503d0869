"""Source and seed -> train, validation and test examples: the `datasets` builder."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from dataset_builder.cds import CDS
from dataset_builder.composition import codon_counts, gc_content
from dataset_builder.layout import BUILDER
from dataset_builder.sources import ENSEMBL, SYNTHETIC, Origin, genes_of_codon_usage, genes_of_ensembl, genes_of_folder
from dataset_builder.species import SPECIES, SPECIES_NAMES
from dataset_builder.synthetic import bayes_optimal_predictions, codon_usage, num_genes_for
from dataset_builder.windows import (
    LEAK_PRIORITY,
    SPLITS,
    STRETCH_NT,
    Windows,
    assign_genes,
    drop_ambiguous,
    select,
    tile,
)

# The budget of the post that this project grew out of; and the shares of genes where no budget sets them.
WINDOWS_PER_SPECIES = {"train": 900, "validation": 100, "test": 1000}
ALL_WINDOWS_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

# Random numbers come from (seed, purpose, index), so that what one step draws does not depend on another.
DRAW_GENES, ASSIGN_GENES, ORDER_WINDOWS, ORDER_EXAMPLES = range(4)


@dataclass
class NtSpeciesConfig(datasets.BuilderConfig):
    """What to build.

    Args:
        source: "ensembl", "synthetic", or a folder of one FASTA file per species.
        window_nt: Length of a window, in nt; a multiple of three, at least 30.
        train_per_species: Windows per species; None, for all three splits together, takes all windows there are.
        validation_per_species: As above.
        test_per_species: As above.
        seed: Decides genes, splits, windows and order.

    Raises:
        ValueError: A value outside these bounds.
    """

    source: str = SYNTHETIC
    window_nt: int = 60
    train_per_species: int | None = WINDOWS_PER_SPECIES["train"]
    validation_per_species: int | None = WINDOWS_PER_SPECIES["validation"]
    test_per_species: int | None = WINDOWS_PER_SPECIES["test"]
    seed: int = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_nt % 3 or self.window_nt < STRETCH_NT:
            raise ValueError(
                f"window_nt is {self.window_nt}, but windows are whole codons and at least the {STRETCH_NT} nt that "
                f"no two splits may share; give a multiple of three from {STRETCH_NT} on, such as 60."
            )
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, but it must not be negative; give 0 or more, such as 42.")
        given = [self.train_per_species, self.validation_per_species, self.test_per_species]
        if given.count(None) in (1, 2):
            raise ValueError(f"windows per species are {given}; give a number for each split, or None for all three.")
        for split, budget in zip(SPLITS, given, strict=True):
            if budget is not None and budget < 1:
                raise ValueError(f"{split}_per_species is {budget}, but every split needs a window; give 1 or more.")

    @property
    def budgets(self) -> dict[str, int] | None:
        """Windows per species for each split, or None for all windows."""
        if self.train_per_species is None:
            return None
        return dict(
            zip(SPLITS, (self.train_per_species, self.validation_per_species, self.test_per_species), strict=True)
        )


class NtSpecies(datasets.GeneratorBasedBuilder):
    """Windows of coding sequences, labelled with their species.

    After `download_and_prepare`, `build` holds all that the data set's card and build.json say of its making.
    """

    VERSION = datasets.Version("1.0.0")  # to be raised with every change of what is yielded
    BUILDER_CONFIG_CLASS = NtSpeciesConfig

    build: dict[str, Any]

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            features=datasets.Features(
                {
                    "sequence": datasets.Value("string"),
                    "label": datasets.ClassLabel(names=list(SPECIES_NAMES)),
                    "gene": datasets.Value("string"),
                    "transcript": datasets.Value("string"),
                    "start": datasets.Value("int32"),
                }
            )
        )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        config = self.config
        genes, origins = self._genes(dl_manager)
        tiled = [tile(species_genes, config.window_nt) for species_genes in genes]
        windows, ambiguous = drop_ambiguous([species_windows for species_windows, _ in tiled])
        rows, counts = self._select(genes, windows)

        self._genes_of_species, self._windows, self._rows = genes, windows, rows
        bayes_optimal_accuracy = self._bayes_optimal_accuracy() if config.source == SYNTHETIC else None
        self.build = {
            "builder": BUILDER,
            "builder_version": str(self.VERSION),
            "library_versions": {name: version(name) for name in ("datasets", "numpy", "pyarrow")},
            "source": config.source if config.source in (ENSEMBL, SYNTHETIC) else "folder",
            "synthetic": config.source == SYNTHETIC,
            "window_nt": config.window_nt,
            "windows_per_species": config.budgets,
            "seed": config.seed,
            "leak_stretch_nt": STRETCH_NT,
            "leak_priority": list(LEAK_PRIORITY),
            "bayes_optimal_accuracy": bayes_optimal_accuracy,
            "species": [
                {
                    "scientific_name": species.scientific_name,
                    "common_name": species.common_name,
                    "origin": asdict(origins[index]),
                    "genes": len(genes[index]),
                    **gc_content(genes[index]),
                    "codons": codon_counts(genes[index]),
                    "windows_with_other_letters": tiled[index][1],
                    "ambiguous_windows": ambiguous[index],
                    "splits": {split: asdict(counts[split][index]) for split in SPLITS},
                }
                for index, species in enumerate(SPECIES)
            ],
        }
        return [datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in SPLITS]

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        sequences = [windows.sequences() for windows in self._windows]
        labels = np.repeat(np.arange(len(SPECIES)), [len(rows) for rows in self._rows[split]])
        rows = np.concatenate(self._rows[split])
        order = self._rng(ORDER_EXAMPLES, SPLITS.index(split)).permutation(len(rows))
        for key, (label, row) in enumerate(zip(labels[order].tolist(), rows[order].tolist(), strict=True)):
            windows = self._windows[label]
            cds = self._genes_of_species[label][windows.gene[row]]
            yield (
                key,
                {
                    "sequence": sequences[label][row].decode("ascii"),
                    "label": label,
                    "gene": cds.gene,
                    "transcript": cds.transcript,
                    "start": int(windows.start[row]),
                },
            )

    def _rng(self, purpose: int, index: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=(purpose, index)))

    def _genes(self, dl_manager: datasets.DownloadManager) -> tuple[list[list[CDS]], list[Origin]]:
        config = self.config
        if config.source == SYNTHETIC:
            generators = [self._rng(DRAW_GENES, index) for index in range(len(SPECIES))]
            return genes_of_codon_usage(num_genes_for(config.budgets), config.window_nt, generators)
        if config.source == ENSEMBL:
            return genes_of_ensembl(dl_manager, config.window_nt)
        return genes_of_folder(Path(config.source), config.window_nt)

    def _select(self, genes: list[list[CDS]], windows: list[Windows]):
        shares = self.config.budgets or ALL_WINDOWS_SHARES
        for species, species_genes in zip(SPECIES, genes, strict=True):
            if len(species_genes) < len(SPLITS):
                raise ValueError(
                    f"{species.scientific_name} has {len(species_genes)} valid coding sequences, but each of the "
                    f"{len(SPLITS)} splits needs genes of its own; give a file with more genes."
                )
        split_of_gene = [
            assign_genes(len(species_genes), [shares[split] for split in SPLITS], self._rng(ASSIGN_GENES, index))
            for index, species_genes in enumerate(genes)
        ]
        orders = [
            self._rng(ORDER_WINDOWS, index).permutation(len(species_windows))
            for index, species_windows in enumerate(windows)
        ]
        rows, counts = select(windows, split_of_gene, orders, self.config.budgets)
        shortages = []
        for split in SPLITS:
            asked = self.config.budgets[split] if self.config.budgets else 1
            for species, count in zip(SPECIES, counts[split], strict=True):
                if count.kept < asked:
                    shortages.append(
                        f"{species.scientific_name}, {split}: {asked} asked for, {count.kept} there "
                        f"({count.candidates} in {count.genes} genes, less {count.duplicates} duplicates and "
                        f"{count.leaks} that share {STRETCH_NT} nt with another split)"
                    )
        if shortages:
            raise ValueError(
                f"fewer windows of {self.config.window_nt} nt than asked for: {'; '.join(shortages)}. Ask for fewer, "
                "for shorter ones, or give files with more genes."
            )
        return rows, counts

    def _bayes_optimal_accuracy(self) -> float:
        usages = [codon_usage()[name] for name in SPECIES_NAMES]
        right = total = 0
        for label, (windows, rows) in enumerate(zip(self._windows, self._rows["test"], strict=True)):
            predictions = bayes_optimal_predictions(windows.take(rows).sequences(), usages)
            right += int((predictions == label).sum())
            total += len(rows)
        return right / total
