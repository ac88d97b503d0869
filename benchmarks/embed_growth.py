"""FASTA files of growing size -> seconds and peak memory of embed.py for each.

    python benchmarks/embed_growth.py [--most 1000000] [--mnt 1000] [--record_mnt 100] [--suffix .h5ad]

The model is tiny, so that reading, tokenising, batches and writing are measured. Each line is a fresh process: windows
of 60 nt, then records of 1,200 nt (10 and --mnt million nt), then one long record. A straight line is fitted to the
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

from benchmarks.embed_throughput import EmbedRun, random_dna, run_embed, write_checkpoint, write_fasta  # noqa: E402

# As small as a model can be: what is measured with it is everything but the model. 256 tokens are 1,530 nt.
TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
TINY |= {"max_position_embeddings": 258}
WINDOW_NT = 60
WINDOWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
RECORD_NT = 1_200
SMALL_MNT = 10
LIMIT_BYTES = 1 << 30
MIB = 1 << 20


def measure(number: int, nt: int, checkpoint: Path, folder: Path, suffix: str) -> EmbedRun:
    """Embed random records, and print a line about it."""
    path, rng = folder / "input.fa", np.random.default_rng(number)
    write_fasta(path, (random_dna(nt, rng) for _ in range(number)))
    output = folder / f"output{suffix}"
    flags = ("--input", path, "--output", output, "--device", "cpu", "--overwrite")
    run = run_embed("--model_name_or_path", checkpoint, *flags)
    per_record = 1e6 * run.seconds / number
    print(
        f"{number:>10,} {nt:>12,} {run.seconds:>8.2f} {per_record:>12.1f} {run.start_up:>9.1f} "
        f"{run.peak_bytes / MIB:>9,.0f}",
        flush=True,
    )
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=WINDOWS[-1], help="most windows, for a quick trial")
    parser.add_argument("--mnt", type=int, default=1000, help="million nt of the large file")
    parser.add_argument("--record_mnt", type=int, default=100, help="million nt of the one long record")
    parser.add_argument("--suffix", default=".parquet", help="format of the output")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, checkpoint = Path(name), Path(name) / "checkpoint"
        write_checkpoint(checkpoint, **TINY)
        weights = (checkpoint / "model.safetensors").stat().st_size
        print(f"{'records':>10} {'nt each':>12} {'s':>8} {'µs/record':>12} {'start-up':>9} {'peak MiB':>9}")
        numbers = [number for number in WINDOWS if number <= args.most]
        windows = [measure(number, WINDOW_NT, checkpoint, folder, args.suffix) for number in numbers]
        records = [(mnt * 1_000_000 // RECORD_NT, RECORD_NT) for mnt in (SMALL_MNT, args.mnt)]
        sizes = [*records, (1, args.record_mnt * 1_000_000)]
        others = [measure(*size, checkpoint, folder, args.suffix) for size in sizes]
    slope = np.polyfit(np.log(numbers), np.log([run.seconds for run in windows]), 1)[0]
    small, large, single = (run.peak_bytes for run in others)
    print(
        f"log-log slope {slope:.2f}; {args.mnt:,} Mnt take {(large - small) / MIB:+,.0f} MiB beside {SMALL_MNT} Mnt, "
        f"the long record {(single - small) / MIB:+,.0f} MiB"
    )
    if max(large, single) > weights + LIMIT_BYTES:
        sys.exit(f"above the limit of the model and {LIMIT_BYTES // MIB:,} MiB")


if __name__ == "__main__":
    main()
