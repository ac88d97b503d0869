"""Codon pairs -> a folder with a FASTA file of random genes for each species."""

from pathlib import Path

import numpy as np

from dataset_builder.species import SPECIES
from dataset_builder.synthetic import codon_chains, synthetic_genes


def write_species(folder: Path, num_genes: int = 40) -> dict[str, dict[str, str]]:
    """Writes <Genus_species>.fa for each species; returns {species: {gene: sequence}}."""
    folder.mkdir()
    written = {}
    for index, species in enumerate(SPECIES):
        genes = synthetic_genes(codon_chains()[species.scientific_name], num_genes, 60, np.random.default_rng(index))
        text = "".join(f">{cds.gene} {cds.transcript}.1\n{cds.sequence}\n" for cds in genes)
        (folder / f"{species.prefix}.fa").write_text(text)
        written[species.scientific_name] = {cds.gene: cds.sequence for cds in genes}
    return written
