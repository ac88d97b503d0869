"""Generated CDS file of human size -> seconds and peak memory of reading, one CDS per gene, and windows.

    python benchmarks/cds_throughput.py

Ensembl's human file has about 120,000 transcripts of 20,000 genes and 144 million nt. A file like it is generated and
read in a fresh process, to measure its peak memory.
"""

import gzip
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dataset_builder.cds import read_genes  # noqa: E402
from dataset_builder.species import SPECIES  # noqa: E402
from dataset_builder.synthetic import codon_chains, synthetic_genes  # noqa: E402
from dataset_builder.windows import tile  # noqa: E402

GENES = 20_000
TRANSCRIPTS_PER_GENE = 6
WINDOW_NT = 60
GENE_WINDOW_NT = 78  # genes of 390 to 1,950 nt, mean 1,170


def write_file(path: Path) -> None:
    """Transcripts with Ensembl's headers and lines of 60 nt, a sixth of them without a stop codon."""
    genes = synthetic_genes(codon_chains()["Homo sapiens"], GENES, GENE_WINDOW_NT, np.random.default_rng(0))
    with gzip.open(path, "wt", compresslevel=6, encoding="ascii") as file:
        for isoform in range(TRANSCRIPTS_PER_GENE):  # far apart, beyond the window of gzip
            for number, cds in enumerate(genes):
                sequence = cds.sequence[:-3] if isoform == 3 else cds.sequence
                transcript = isoform * GENES + number
                file.write(f">ENST{transcript:011d}.1 cds chromosome:GRCh38:1:1:2:1 gene:ENSG{number:011d}.1\n")
                file.writelines(f"{sequence[start : start + 60]}\n" for start in range(0, len(sequence), 60))


def measure(path: Path) -> None:
    """Read the file in this process and print seconds and memory."""
    started = time.perf_counter()
    genes, counts = read_genes(path, SPECIES[0].genetic_code, WINDOW_NT)
    read = time.perf_counter()
    windows, _ = tile(genes, WINDOW_NT)
    tiled = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{counts['records']:,} transcripts -> {len(genes):,} genes in {read - started:.1f} s")
    print(f"{len(genes):,} genes -> {len(windows):,} windows in {tiled - read:.1f} s")
    print(f"peak memory {peak / (1 << 20):,.0f} MiB")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Homo_sapiens.cds.fa.gz"
        write_file(path)
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(path,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
