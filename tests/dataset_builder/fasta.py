"""Random sequences -> a folder with a FASTA file for each species or class."""

import gzip
import random
from pathlib import Path

import numpy as np

from dataset_builder.species import SPECIES
from dataset_builder.synthetic import codon_chains, synthetic_genes

SPECIES_NAMES = tuple(species.scientific_name for species in SPECIES)


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


def write_classes(folder: Path, num_records: int = 120) -> dict[str, dict[str, tuple[str, str]]]:
    """
    Writes phage.fa, whose headers name a gene of three records, and host.fna.gz, whose headers name none but one.

    Some records have N, are short, or contain what another has. Returns {class: {id: (gene, sequence)}}.
    """
    folder.mkdir()
    draw = random.Random(0)
    dna = {
        name: ["".join(draw.choices("ACGT", k=draw.randrange(90, 500))) for _ in range(num_records)] for name in "ph"
    }
    phage, host = dna["p"], dna["h"]
    phage[0] = phage[0][:70] + "N" + phage[0][71:]
    host[3] = reverse_complement(host[2])[20:] + "A" * 7  # a relative on the other strand, in another frame
    host[4] = phage[4][:60] + host[4]  # a window of both classes
    host[5] = phage[5]
    for i in range(10, 40):  # stretches of both classes
        host[i] = host[i][:10] + phage[i][5:45] + host[i][10:]
    genes = {"phage": [f"g{i // 3}" for i in range(num_records)], "host": [f"h{i}" for i in range(num_records)]}
    genes["host"][7] = "g7"
    headers = {
        "phage": [f"p{i} gene={gene}" for i, gene in enumerate(genes["phage"])],
        "host": [f"h{i} contig {i} of a host" for i in range(num_records)],
    }
    headers["host"][7] = "h7 gene=g7"
    written = {}
    for name, records in (("phage", phage), ("host", host)):
        text = "".join(f">{header}\n{record}\n" for header, record in zip(headers[name], records, strict=True))
        text += f">{name}-short\n{'ACGT' * 10}\n"
        if name == "phage":
            (folder / "phage.fa").write_text(text)
        else:
            (folder / "host.fna.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        ids = (header.split()[0] for header in headers[name])
        written[name] = dict(zip(ids, zip(genes[name], records, strict=True), strict=True))
    return written


def reverse_complement(sequence: str) -> str:
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]
