"""Generated CDS file of human size -> seconds and peak memory of reading, one CDS per gene, and windows.

    python benchmarks/cds_throughput.py

Ensembl's human file has about 120,000 transcripts of 20,000 genes and 144 million nt. A file like it is generated
outside the repository and read in a fresh process, whose peak memory is what counts. Exits with 1 above
60 s or 1 GiB.
"""

import argparse
import gzip
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets.utils import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dataset_builder.cds import read_genes  # noqa: E402
from dataset_builder.species import SPECIES  # noqa: E402
from dataset_builder.synthetic import codon_usage, synthetic_genes  # noqa: E402
from dataset_builder.windows import tile  # noqa: E402

GENES = 20_000
TRANSCRIPTS_PER_GENE = 6
WINDOW_NT = 60
GENE_WINDOW_NT = 78  # genes of 390 to 1,950 nt, mean 1,170
LIMIT_SECONDS = 60
LIMIT_BYTES = 1 << 30


def write_file(path: Path) -> tuple[int, int]:
    """Writes transcripts with Ensembl's headers and lines of 60 nt, a sixth of them without a stop codon."""
    genes = synthetic_genes(codon_usage()["Homo sapiens"], GENES, GENE_WINDOW_NT, np.random.default_rng(0))
    transcripts = nucleotides = 0
    with gzip.open(path, "wt", compresslevel=6, encoding="ascii") as file:
        for isoform in tqdm(range(TRANSCRIPTS_PER_GENE), desc="Writing"):  # far apart, or gzip would find them equal
            for number, cds in enumerate(genes):
                sequence = cds.sequence[:-3] if isoform == 3 else cds.sequence
                transcripts += 1
                nucleotides += len(sequence)
                file.write(
                    f">ENST{transcripts:011d}.1 cds chromosome:GRCh38:1:{transcripts}:{transcripts + 1}:1 "
                    f"gene:ENSG{number:011d}.1 gene_biotype:protein_coding transcript_biotype:protein_coding\n"
                )
                file.writelines(f"{sequence[start : start + 60]}\n" for start in range(0, len(sequence), 60))
    return transcripts, nucleotides


def measure(path: Path) -> None:
    """Reads the file in this process and prints what it took."""
    started = time.perf_counter()
    found = read_genes(path, SPECIES[0].starts, WINDOW_NT)
    read = time.perf_counter()
    windows, _ = tile(found.genes, WINDOW_NT)
    tiled = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{found.records:,} transcripts -> {len(found.genes):,} genes in {read - started:.1f} s")
    print(f"{len(found.genes):,} genes -> {len(windows):,} windows in {tiled - read:.1f} s")
    print(f"together {tiled - started:.1f} s, peak memory {peak / (1 << 20):,.0f} MiB")
    if tiled - started > LIMIT_SECONDS or peak > LIMIT_BYTES:
        sys.exit(f"above the limit of {LIMIT_SECONDS} s or {LIMIT_BYTES >> 20} MiB")


def main() -> None:
    """Writes the file, then measures in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, help="measure this file, in this process, instead of a generated one")
    file = parser.parse_args().file
    if file:
        measure(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Homo_sapiens.cds.fa.gz"
        transcripts, nucleotides = write_file(path)
        print(f"{transcripts:,} transcripts, {nucleotides:,} nt, {path.stat().st_size / 1e6:.0f} MB gzip", flush=True)
        sys.exit(subprocess.run([sys.executable, __file__, "--file", str(path)], check=False).returncode)


if __name__ == "__main__":
    main()
