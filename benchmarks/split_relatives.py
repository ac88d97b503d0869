"""Coding sequences -> test windows with relatives elsewhere, by the number of seeds that make genes relatives.

    python benchmarks/split_relatives.py FOLDER

A test window has a relative if blastn (NCBI BLAST+, e-value 1e-5) finds 80 % identity over 30 nt or more in a window
of train or validation of the same species. `by chance`: genes joined to others after their codons are shuffled.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dataset_builder import relatives  # noqa: E402
from dataset_builder.arguments import Build  # noqa: E402
from dataset_builder.cds import CDS  # noqa: E402
from dataset_builder.nt_species import build_splits  # noqa: E402
from dataset_builder.sources import genes_of_files, species_files  # noqa: E402
from dataset_builder.species import SPECIES  # noqa: E402

IDENTITY_PERCENT, ALIGNED_NT, E_VALUE = 80, 30, 1e-5
NEVER = 1 << 20  # seeds that no two genes share


def windows_with_relatives(rows: Mapping[str, Dataset]) -> list[int]:
    """Test windows per species with a relative of their species in train or validation."""
    found = []
    columns = {split: part[:] for split, part in rows.items()}
    for label in range(len(SPECIES)):
        texts = {
            split: [text for text, own in zip(of["sequence"], of["label"], strict=True) if own == label]
            for split, of in columns.items()
        }
        with tempfile.TemporaryDirectory() as name:
            query, other = Path(name) / "query.fa", Path(name) / "other.fa"
            for path, windows in ((query, texts["test"]), (other, texts["train"] + texts["validation"])):
                path.write_text("".join(f">{number}\n{window}\n" for number, window in enumerate(windows)))
            subprocess.run(["makeblastdb", "-in", other, "-dbtype", "nucl"], check=True, stdout=subprocess.DEVNULL)
            command = ["blastn", "-task", "blastn", "-word_size", "11", "-dust", "no", "-evalue", str(E_VALUE)]
            command += ["-query", query, "-db", other, "-outfmt", "6 qseqid pident length"]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        hits = (line.split("\t") for line in lines)
        found.append(len({hit[0] for hit in hits if float(hit[1]) >= IDENTITY_PERCENT and int(hit[2]) >= ALIGNED_NT}))
    return found


def shuffle_codons(cds: CDS, rng: np.random.Generator) -> CDS:
    codons = np.frombuffer(cds.sequence.encode("ascii"), dtype="S3")
    return cds._replace(sequence=rng.permutation(codons).tobytes().decode("ascii"))


def main(source: str) -> None:
    rng = np.random.default_rng(0)
    codes = [species.genetic_code for species in SPECIES]
    genes, _ = genes_of_files(species_files(Path(source)), codes, 60)
    shuffled = [[shuffle_codons(cds, rng) for cds in species_genes] for species_genes in genes]
    print(f"{'seeds':>6}{'with relatives':>17}{'moved':>8}{'largest group':>15}{'by chance':>11}")
    for seeds in (NEVER, 8, 7, 6, 5, 4):
        relatives.MIN_SEEDS = seeds
        rows, record = build_splits(Build(source=source, all_windows=True))
        share = sum(windows_with_relatives(rows)) / rows["test"].num_rows
        moved = sum(species["relatives"]["moved"] for species in record["classes"]) / sum(map(len, genes))
        largest = max(species["relatives"]["largest_group"] / species["genes"] for species in record["classes"])
        chance = sum(len(each) - len(np.unique(relatives.group_relatives(each))) for each in shuffled)
        name = "none" if seeds == NEVER else seeds
        print(f"{name:>6}{share:>17.2%}{moved:>8.1%}{largest:>15.1%}{chance:>11}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
