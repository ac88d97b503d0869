"""FASTA files of growing size -> seconds and peak memory of embed.py for each.

    python benchmarks/embed_growth.py [--most 1000000] [--suffix .h5ad]

The model is tiny, so that reading, tokenising, batches and writing are measured. Each line is a fresh process: windows
of 60 nt, then records of 1,200 nt, a billion in all, then one long record. A straight line is fitted to the
logarithms of windows and seconds; its slope is 1 where costs grow in proportion, less where some are fixed. Exits with
1 if a peak is above the weights and 1 GiB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embed_throughput import random_dna, run_embed, write_checkpoint, write_fasta  # noqa: E402

# As small as a model can be: what is measured with it is everything but the model. 256 tokens are 1,530 nt.
TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
TINY |= {"max_position_embeddings": 258}
WINDOW_NT = 60
WINDOWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
RECORD_NT = 1_200
TOTAL_NT, LONG_NT = 1_000_000_000, 100_000_000  # of all these records, and of the one long record
LIMIT_BYTES = 1 << 30
MIB = 1 << 20


def measure(number: int, nt: int, checkpoint: Path, folder: Path, suffix: str) -> tuple[float, int]:
    """Embed random records, and print a line about it: seconds, and the peak of the memory in bytes."""
    path, rng = folder / "input.fa", np.random.default_rng(number)
    write_fasta(path, (random_dna(nt, rng) for _ in range(number)))
    seconds, peak_bytes = run_embed(checkpoint, path, folder / f"output{suffix}")
    print(f"{number:>10,} {nt:>12,} {seconds:>8.2f} {peak_bytes / MIB:>9,.0f}", flush=True)
    return seconds, peak_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=WINDOWS[-1], help="most windows, for a quick trial")
    parser.add_argument("--suffix", default=".parquet", help="format of the output")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, checkpoint = Path(name), Path(name) / "checkpoint"
        write_checkpoint(checkpoint, **TINY)
        weights = (checkpoint / "model.safetensors").stat().st_size
        print(f"{'records':>10} {'nt each':>12} {'s':>8} {'peak MiB':>9}")
        numbers = [number for number in WINDOWS if number <= args.most]
        windows = [measure(number, WINDOW_NT, checkpoint, folder, args.suffix) for number in numbers]
        sizes = (TOTAL_NT // RECORD_NT, RECORD_NT), (1, LONG_NT)
        others = [measure(*size, checkpoint, folder, args.suffix) for size in sizes]
    slope = np.polyfit(np.log(numbers), np.log([seconds for seconds, _ in windows]), 1)[0]
    print(f"log-log slope {slope:.2f}")
    if max(peak_bytes for _, peak_bytes in others) > weights + LIMIT_BYTES:
        sys.exit(f"above the limit of the model and {LIMIT_BYTES // MIB:,} MiB")


if __name__ == "__main__":
    main()
