"""Command line -> what to build, and where to publish it."""

import re
from dataclasses import dataclass, field
from typing import Literal

from dataset_builder.layout import DEFAULT, GENES, SPLITS, data_folder

ENSEMBL, SYNTHETIC, FOLDER, FILES = "ensembl", "synthetic", "folder", "files"  # kinds of source
STRETCH_NT = 30  # no two splits share a stretch of this length; 60 bits, so that a stretch fits one uint64
BUDGETS = dict(zip(SPLITS, (900, 100, 1000), strict=True))  # windows per class


@dataclass
class Build:
    """What to build."""

    source: str | None = field(
        default=None,
        metadata={
            "help": f"'{ENSEMBL}' (downloads the six files), '{SYNTHETIC}' (random genes, no network), or a folder "
            "with one FASTA file <Genus_species>*.fa[.gz] for each of the six species"
        },
    )
    classes: Literal["species", "files"] = field(
        default="species",
        metadata={
            "help": "'files': every FASTA file of the folder is a class under its own name, and its records are any "
            "DNA, not coding sequences"
        },
    )
    species_file: str | None = field(
        default=None,
        metadata={"help": "YAML table of other species than the six, with their files and addresses (docs/files.md)"},
    )
    output_dir: str = field(default="data/nt-species", metadata={"help": "folder to write"})
    config_name: str | None = field(
        default=None,
        metadata={
            "help": f"name of this configuration if a repository has several, such as w120; default: {DEFAULT}, and "
            f"{GENES} with --whole_genes"
        },
    )
    window_nt: int = field(
        default=60, metadata={"help": f"window length in nt, at least {STRETCH_NT}; of species, a multiple of 3"}
    )
    train_per_class: int | None = field(
        default=None, metadata={"help": f"windows per class in the train split; default: {BUDGETS['train']}"}
    )
    validation_per_class: int | None = field(
        default=None, metadata={"help": f"the same in the validation split; default: {BUDGETS['validation']}"}
    )
    test_per_class: int | None = field(
        default=None, metadata={"help": f"the same in the test split; default: {BUDGETS['test']}"}
    )
    all_windows: bool = field(
        default=False,
        metadata={"help": "take every window instead of these numbers; 80 %, 10 % and 10 % of the genes"},
    )
    whole_genes: bool = field(
        default=False,
        metadata={
            "help": "train contains whole genes instead of windows, less what they share with validation and test, "
            "whose windows stay the same; --train_per_class only decides how many genes go to train"
        },
    )
    seed: int = field(default=42, metadata={"help": "seed of everything random"})
    license: str | None = field(
        default=None,
        metadata={"help": "Hub identifier of the licence of the sequences in a folder, such as cc-by-4.0"},
    )

    audit: bool = field(
        default=False,
        metadata={"help": "run seqleak, a linter for leaks, and blastn on the splits; their verdict is in the card"},
    )
    gene_pattern: str | None = field(
        default=None,
        metadata={
            "help": "regular expression whose one group is the gene in the headers of a folder's files, such as "
            r"'gene_name=(\S+)'; needed only for forms of header that are not known (docs/files.md)"
        },
    )

    def __post_init__(self) -> None:
        if self.config_name is None:
            self.config_name = GENES if self.whole_genes else DEFAULT
        name = self.config_name
        if not re.fullmatch(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", name) or name == data_folder(DEFAULT):
            raise ValueError(
                f"--config_name {name!r} also names a folder; use letters and digits with single - or _ between them, "
                f"such as w120, but not {data_folder(DEFAULT)!r}."
            )
        if self.classes == FILES and self.source in (ENSEMBL, SYNTHETIC):
            raise ValueError(f"--classes files needs a folder of FASTA files as --source, not {self.source}.")
        if self.species_file is not None and self.source_kind not in (ENSEMBL, FOLDER):
            other = "--source synthetic" if self.source == SYNTHETIC else "--classes files"
            raise ValueError(f"--species_file has no effect with {other}; leave it out.")
        if self.source_kind == FILES and self.window_nt < STRETCH_NT:
            raise ValueError(
                f"--window_nt {self.window_nt}: give at least {STRETCH_NT}, the length that no two splits may share."
            )
        if self.source_kind != FILES and (self.window_nt % 3 or self.window_nt < STRETCH_NT):
            raise ValueError(
                f"--window_nt {self.window_nt}: give a multiple of 3 (whole codons) of at least {STRETCH_NT}, the "
                "length that no two splits may share; for example 60."
            )
        if self.license is not None and self.source in (ENSEMBL, SYNTHETIC):
            raise ValueError(f"--license: the licence of {self.source} is known; leave it out.")
        if self.gene_pattern is not None:
            if self.source in (ENSEMBL, SYNTHETIC):
                raise ValueError(f"--gene_pattern: the headers of {self.source} are known; leave it out.")
            try:
                groups = re.compile(self.gene_pattern).groups
            except re.error as error:
                raise ValueError(
                    f"--gene_pattern {self.gene_pattern!r} is not a regular expression: {error}."
                ) from None
            if groups != 1:
                raise ValueError(
                    f"--gene_pattern {self.gene_pattern!r} has {groups} groups; put one pair of parentheses, around "
                    "the gene."
                )
        if self.seed < 0:
            raise ValueError(f"--seed {self.seed}: give 0 or more.")
        for split in BUDGETS:
            number = getattr(self, f"{split}_per_class")
            if number is not None and self.all_windows:
                raise ValueError(f"--{split}_per_class {number} has no effect with --all_windows; leave one out.")
            if number is not None and number < 1:
                raise ValueError(f"--{split}_per_class {number}: every split needs at least 1 window per class.")

    @property
    def source_kind(self) -> str:
        """Either "ensembl", "synthetic", "folder" (of files of species) or "files" (each of them a class)."""
        if self.source in (ENSEMBL, SYNTHETIC):
            return self.source
        return FILES if self.classes == FILES else FOLDER

    @property
    def budgets(self) -> dict[str, int] | None:
        """Windows per class for each split, or None for all windows."""
        if self.all_windows:
            return None
        given = {split: getattr(self, f"{split}_per_class") for split in BUDGETS}
        return {split: BUDGETS[split] if number is None else number for split, number in given.items()}


@dataclass
class Publishing:
    """Publishing."""

    push_to_hub: bool = field(default=False, metadata={"help": "publish the data set as one commit"})
    hub_dataset_id: str | None = field(default=None, metadata={"help": "repository to publish to, as user/nt-species"})
    hub_private_repo: bool = field(default=False, metadata={"help": "make a new repository private"})
    hub_revision: str = field(default="main", metadata={"help": "branch to commit to"})
    push_only: bool = field(default=False, metadata={"help": "publish --output_dir as it is, without building"})

    def __post_init__(self) -> None:
        if (self.push_to_hub or self.push_only) != (self.hub_dataset_id is not None):
            raise ValueError("To publish, give both --push_to_hub (or --push_only) and --hub_dataset_id USER/NAME.")
