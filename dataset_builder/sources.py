"""Source -> genes of each species, or records of each class, and their origin."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import DownloadConfig, DownloadManager

from dataset_builder.arguments import ENSEMBL, SYNTHETIC
from dataset_builder.cds import CDS, GENE_PATTERN, read_genes
from dataset_builder.ensembl import fetch
from dataset_builder.species import SPECIES, Species, check_addresses
from dataset_builder.synthetic import CODON_PAIRS_FILE, codon_chains, synthetic_genes

FASTA_SUFFIXES = tuple(suffix + gz for suffix in (".fa", ".fasta", ".fna") for gz in ("", ".gz"))

# Per class, its genes or records, and what build.json says about their origin.
ClassGenes = tuple[list[list[CDS]], list[dict[str, Any]]]


def genes_of_ensembl(species: Sequence[Species], min_length_nt: int) -> ClassGenes:
    """One CDS per gene, per species, from its Ensembl release: downloaded and verified, or from the cache."""
    check_addresses(species)
    settings = DownloadConfig(cache_dir=datasets.config.DOWNLOADED_DATASETS_PATH, use_etag=False)
    downloads = DownloadManager(dataset_name="nt_species", download_config=settings)
    fetched = [fetch(each, downloads) for each in species]
    genes, origins = genes_of_files(
        [path for path, _ in fetched], [each.genetic_code for each in species], min_length_nt
    )
    for each, origin, (_, checksum) in zip(species, origins, fetched, strict=True):
        origin |= {
            "name": each.address.rpartition("/")[2],
            "address": each.address,
            "release": each.release,
            "assembly": each.assembly,
            "checksum": checksum,
            "licence": each.licence,
            "licence_address": each.licence_address,
        }
    return genes, origins


def genes_of_codon_pairs(num_genes: int, window_nt: int, generators: Sequence[np.random.Generator]) -> ClassGenes:
    """Random genes per species, drawn from its codon pairs by its random generator."""
    genes = [
        synthetic_genes(
            codon_chains()[species.scientific_name], num_genes, window_nt, rng, f"{species.prefix}_synthetic"
        )
        for species, rng in zip(SPECIES, generators, strict=True)
    ]
    return genes, [{"name": CODON_PAIRS_FILE.name, "sha256": sha256(CODON_PAIRS_FILE)}] * len(SPECIES)


def species_files(folder: Path, species: Sequence[Species] = SPECIES) -> list[Path]:
    """The FASTA file of each species in a folder, found by its name."""
    files = []
    for each in species:
        found = _fasta_files(folder, each.pattern)
        if len(found) != 1:
            names = f" ({', '.join(path.name for path in found)})" if found else ""
            raise ValueError(
                f"{folder} has {len(found)} FASTA files {each.pattern}{names}; give one per species "
                f"({', '.join(FASTA_SUFFIXES)}), or a --species_file."
            )
        files += found
    return files


def class_files(folder: Path) -> dict[str, Path]:
    """The FASTA files of a folder by their names without suffix, sorted by these."""
    files: dict[str, Path] = {}
    for path in _fasta_files(folder, "*"):
        name = next(path.name.removesuffix(suffix) for suffix in FASTA_SUFFIXES if path.name.endswith(suffix))
        if not name or not name.isprintable() or name != name.strip():
            raise ValueError(
                f"{folder}: {path.name!r} gives its class the name {name!r}; rename the file, to printable characters."
            )
        if name in files:
            raise ValueError(
                f"{folder}: {files[name].name} and {path.name} are both of the class {name!r}; rename one."
            )
        files[name] = path
    if len(files) < 2:
        raise ValueError(
            f"{folder} has {len(files)} FASTA files; give one per class, at least two ({', '.join(FASTA_SUFFIXES)})."
        )
    return dict(sorted(files.items()))


def _fasta_files(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(
            f"--source {folder}: no such folder; give a folder of FASTA files, or, to build a data set, '{ENSEMBL}' "
            f"or '{SYNTHETIC}'."
        )
    return sorted(path for path in folder.glob(pattern) if path.name.endswith(FASTA_SUFFIXES) and path.is_file())


def genes_of_files(
    paths: Sequence[Path],
    genetic_codes: Sequence[int | None],
    min_length_nt: int,
    gene_pattern: str | None = None,
) -> ClassGenes:
    """One CDS per gene, from a FASTA file for each genetic code; all records of files of any DNA, with None."""
    genes, origins = [], []
    for path, genetic_code in zip(paths, genetic_codes, strict=True):
        found, counts = read_genes(path, genetic_code, min_length_nt, gene_pattern)
        genes.append(found)
        origins.append({"name": path.name, "sha256": sha256(path), **counts})
    if gene_pattern and not any(origin["header_form"] == GENE_PATTERN for origin in origins):
        raise ValueError(
            f"--gene_pattern {gene_pattern!r} matches no header in {paths[0].parent}; see their first lines."
        )
    return genes, origins


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
