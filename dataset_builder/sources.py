"""Source -> genes of the six species, and their origin."""

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
from dataset_builder.species import SPECIES
from dataset_builder.synthetic import CODON_PAIRS_FILE, codon_chains, synthetic_genes

FASTA_SUFFIXES = tuple(suffix + gz for suffix in (".fa", ".fasta", ".fna") for gz in ("", ".gz"))

# Per species, its genes, and what build.json says about their origin.
SpeciesGenes = tuple[list[list[CDS]], list[dict[str, Any]]]


def genes_of_ensembl(min_length_nt: int) -> SpeciesGenes:
    """One CDS per gene, per species, from its Ensembl release: downloaded and verified, or from the cache."""
    settings = DownloadConfig(cache_dir=datasets.config.DOWNLOADED_DATASETS_PATH, use_etag=False)
    downloads = DownloadManager(dataset_name="nt_species", download_config=settings)
    fetched = [fetch(species, downloads) for species in SPECIES]
    genes, origins = genes_of_files([path for path, _ in fetched], min_length_nt)
    for species, origin, (_, checksum) in zip(SPECIES, origins, fetched, strict=True):
        origin |= {
            "name": species.file_name,
            "address": f"{species.folder}/cds/{species.file_name}",
            "release": species.release,
            "assembly": species.assembly,
            "checksum": checksum,
            "licence": species.licence[0],
            "licence_address": species.licence[1],
        }
    return genes, origins


def genes_of_codon_pairs(num_genes: int, window_nt: int, generators: Sequence[np.random.Generator]) -> SpeciesGenes:
    """Random genes per species, drawn from its codon pairs by its random generator."""
    genes = [
        synthetic_genes(
            codon_chains()[species.scientific_name], num_genes, window_nt, rng, f"{species.prefix}_synthetic"
        )
        for species, rng in zip(SPECIES, generators, strict=True)
    ]
    return genes, [{"name": CODON_PAIRS_FILE.name, "sha256": sha256(CODON_PAIRS_FILE)}] * len(SPECIES)


def species_files(folder: Path) -> list[Path]:
    """The FASTA file of each species in a folder, in the order of SPECIES, found by the beginning of its name."""
    if not folder.is_dir():
        raise ValueError(
            f"--source {folder}: no such folder; give a folder of FASTA files, or, to build a data set, '{ENSEMBL}' "
            f"or '{SYNTHETIC}'."
        )
    files = []
    for species in SPECIES:
        found = sorted(path for path in folder.glob(f"{species.prefix}*") if path.name.endswith(FASTA_SUFFIXES))
        if len(found) != 1:
            names = f" ({', '.join(path.name for path in found)})" if found else ""
            raise ValueError(
                f"{folder} has {len(found)} files {species.prefix}*.fa[.gz]{names}; give one FASTA file per species "
                f"({', '.join(FASTA_SUFFIXES)})."
            )
        files += found
    return files


def genes_of_files(paths: Sequence[Path], min_length_nt: int, gene_pattern: str | None = None) -> SpeciesGenes:
    """One CDS per gene, per species, from a FASTA file for each."""
    genes, origins = [], []
    for species, path in zip(SPECIES, paths, strict=True):
        found, counts = read_genes(path, species.starts, min_length_nt, gene_pattern)
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
