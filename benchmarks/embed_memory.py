"""FASTA files of 10 Mnt and of 1 Gnt -> peak memory of embed.py for each.

    python benchmarks/embed_memory.py [--mnt 1000] [--record_mnt 100]

The model is tiny, so that what is measured is everything else. The files are generated: records of 1,200 nt, and
last a file of one long record. Exits with 1 above the weights and 1 GiB.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embed_inputs import TINY, random_dna, write_checkpoint, write_fasta  # noqa: E402
from benchmarks.embed_process import RSS_UNIT, run_embed  # noqa: E402

RECORD_NT = 1_200
SMALL_MNT = 10
LIMIT_BYTES = 1 << 30
MIB = 1 << 20


def records(mnt: int) -> Iterable[str]:
    rng = np.random.default_rng(0)
    return (random_dna(RECORD_NT, rng) for _ in range(mnt * 1_000_000 // RECORD_NT))


def measure(title: str, sequences: Iterable[str], checkpoint: Path, folder: Path) -> int:
    """Bytes of the peak."""
    path, output = folder / "input.fa", folder / "output.parquet"
    started = time.perf_counter()
    write_fasta(path, sequences)
    written = time.perf_counter() - started
    run = run_embed("--model", checkpoint, "--input", path, "--output", output, "--device", "cpu")
    path.unlink()
    output.unlink()
    print(
        f"{title}: peak {run.peak_bytes / MIB:,.0f} MiB, {run.num_tokens:,} tokens in {run.seconds:,.1f} s, start-up "
        f"{run.start_up:.1f} s (generated in {written:.0f} s)",
        flush=True,
    )
    return run.peak_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnt", type=int, default=1000, help="million nt of the large file")
    parser.add_argument("--record_mnt", type=int, default=100, help="million nt of the one long record")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, checkpoint = Path(name), Path(name) / "checkpoint"
        # In a process of its own: torch in this one would count as memory of those that are measured.
        writer = multiprocessing.get_context("spawn").Process(target=write_checkpoint, args=(checkpoint,), kwargs=TINY)
        writer.start()
        writer.join()
        if writer.exitcode:
            sys.exit("the model could not be written, see above")
        weights = (checkpoint / "model.safetensors").stat().st_size
        small = measure(f"{SMALL_MNT} Mnt, records of {RECORD_NT:,} nt", records(SMALL_MNT), checkpoint, folder)
        large = measure(f"{args.mnt:,} Mnt, records of {RECORD_NT:,} nt", records(args.mnt), checkpoint, folder)
        sequence = [random_dna(args.record_mnt * 1_000_000, np.random.default_rng(0))]
        single = measure(f"one record of {args.record_mnt:,} Mnt", sequence, checkpoint, folder)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    print(f"{args.mnt:,} Mnt take {(large - small) / MIB:+,.0f} MiB beside {SMALL_MNT} Mnt, the long record ", end="")
    print(f"{(single - small) / MIB:+,.0f} MiB (this process: {own / MIB:,.0f} MiB)")
    if max(large, single) > weights + LIMIT_BYTES:
        sys.exit(f"above the limit of the model and {LIMIT_BYTES // MIB:,} MiB")


if __name__ == "__main__":
    main()
