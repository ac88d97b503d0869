"""Source -> genes of the six species, and their origin."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset_builder.arguments import ENSEMBL, SYNTHETIC
from dataset_builder.cds import CDS, read_genes
from dataset_builder.ensembl import download_manager, fetch
from dataset_builder.species import SPECIES
from dataset_builder.synthetic import CODON_USAGE_FILE, codon_usage, synthetic_genes

FASTA_SUFFIXES = tuple(suffix + gz for suffix in (".fa", ".fasta", ".fna") for gz in ("", ".gz"))


@dataclass(frozen=True)
class Origin:
    """The origin of the genes of one species; None for what the source does not say."""

    name: str
    sha256: str
    address: str | None = None
    release: str | None = None
    assembly: str | None = None
    checksum: str | None = None
    licence: str | None = None
    licence_address: str | None = None
    records: int | None = None
    repeated_ids: int | None = None
    skipped: dict[str, int] | None = None


SpeciesGenes = tuple[list[list[CDS]], list[Origin]]


def genes_of_ensembl(min_length_nt: int) -> SpeciesGenes:
    """One CDS per gene, per species, from its Ensembl release: downloaded and verified, or from the cache."""
    downloads = download_manager()
    fetched = [fetch(species, downloads) for species in SPECIES]
    genes, origins = _read([path for path, _ in fetched], min_length_nt)
    return genes, [
        replace(
            origin,
            name=species.file_name,
            address=species.address,
            release=species.release,
            assembly=species.assembly,
            checksum=checksum,
            licence=species.licence[0],
            licence_address=species.licence[1],
        )
        for species, origin, (_, checksum) in zip(SPECIES, origins, fetched, strict=True)
    ]


def genes_of_folder(folder: Path, min_length_nt: int) -> SpeciesGenes:
    """One CDS per gene, per species, from a folder with a FASTA file of each."""
    return _read(species_files(folder), min_length_nt)


def genes_of_codon_usage(num_genes: int, window_nt: int, generators: Sequence[np.random.Generator]) -> SpeciesGenes:
    """Random genes per species, drawn from its codon usage by its random generator."""
    genes = [
        synthetic_genes(codon_usage()[species.scientific_name], num_genes, window_nt, rng)
        for species, rng in zip(SPECIES, generators, strict=True)
    ]
    return genes, [Origin(name=CODON_USAGE_FILE.name, sha256=sha256(CODON_USAGE_FILE))] * len(SPECIES)


def species_files(folder: Path) -> list[Path]:
    """The FASTA file of each species in a folder, in the order of SPECIES, found by the beginning of its name.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: A species without a file, or with several.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--source {folder}: no such folder; give '{ENSEMBL}', '{SYNTHETIC}' or a folder of FASTA files."
        )
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(FASTA_SUFFIXES) and path.is_file())
    found = {species: [name for name in names if name.startswith(species.prefix)] for species in SPECIES}
    missing = [f"{species.prefix}*.fa[.gz]" for species, matches in found.items() if not matches]
    if missing:
        raise ValueError(
            f"{folder}: there is no {', '.join(missing)}; give one FASTA file per species "
            f"({', '.join(FASTA_SUFFIXES)})."
        )
    for species, matches in found.items():
        if len(matches) > 1:
            raise ValueError(
                f"{folder}: {len(matches)} files for {species.scientific_name} ({', '.join(matches)}); keep one."
            )
    return [folder / matches[0] for matches in found.values()]


def _read(paths: Sequence[Path], min_length_nt: int) -> SpeciesGenes:
    found = [read_genes(path, species.starts, min_length_nt) for species, path in zip(SPECIES, paths, strict=True)]
    return [each.genes for each in found], [
        Origin(path.name, sha256(path), records=each.records, repeated_ids=each.repeated_ids, skipped=each.skipped)
        for path, each in zip(paths, found, strict=True)
    ]


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
