"""10^3 to 10^6 windows -> seconds that embed.py takes for them, in a table and a plot.

    python benchmarks/embed_growth.py [--plot runs/embed_growth.png] [--most 1000000]

The model is tiny, so that what is measured is reading, tokenising, batches and writing. Each number is measured in a
fresh process, from FASTA to Parquet; start-up stands apart. Two lines are fitted by least squares: a straight one
through the logarithms, whose slope is 1 where all costs grow in proportion and less where some are fixed; and fixed
costs and those of a window, by their relative errors.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402

from benchmarks.embed_inputs import TINY, random_dna, write_checkpoint, write_fasta  # noqa: E402
from benchmarks.embed_process import run_embed  # noqa: E402

WINDOW_NT = 60
NUMBERS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


def measure(number: int, checkpoint: Path, folder: Path) -> tuple[float, float]:
    """Seconds, and those of the start-up."""
    path, rng = folder / f"{number}.fa", np.random.default_rng(number)
    write_fasta(path, (random_dna(WINDOW_NT, rng) for _ in range(number)))
    output = folder / f"{number}.parquet"
    run = run_embed("--model", checkpoint, "--input", path, "--output", output, "--device", "cpu")
    path.unlink()
    output.unlink()
    return run.seconds, run.start_up


def fixed_and_each(numbers: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    """Seconds whatever the number, and of each window."""
    terms = np.stack([np.ones(len(numbers)), numbers], axis=1) / seconds[:, None]
    fixed, each = np.linalg.lstsq(terms, np.ones(len(numbers)))[0]
    return float(fixed), float(each)


def draw(numbers: np.ndarray, seconds: np.ndarray, path: Path) -> str:
    """Returns the title: what was fitted."""
    slope = np.polyfit(np.log(numbers), np.log(seconds), 1)[0]
    fixed, each = fixed_and_each(numbers, seconds)
    off = np.abs(fixed + each * numbers - seconds) / seconds
    title = (
        f"log-log slope {slope:.2f}; {fixed:.2f} s + {1e6 * each:.1f} µs a window, at most {100 * off.max():.0f} % off"
    )
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    line = np.geomspace(numbers[0], numbers[-1])
    axes.loglog(numbers, seconds, "o", label="embed.py, without start-up")
    axes.loglog(line, fixed + each * line, "-", label="fixed + each")
    axes.loglog(line, each * line, ":", label="each alone, in proportion")
    axes.set_xlabel(f"{WINDOW_NT}-nt windows")
    axes.set_ylabel("s")
    axes.set_title(title, fontsize="medium")
    axes.legend()
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return title


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, default=ROOT / "runs" / "embed_growth.png", help="PNG file to write")
    parser.add_argument("--most", type=int, default=NUMBERS[-1], help="most windows, for a quick trial")
    args = parser.parse_args()
    numbers = [number for number in NUMBERS if number <= args.most]
    if len(numbers) < 3:
        parser.error(f"--most {args.most}: lines need three numbers of windows; give {NUMBERS[2]} or more.")
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        folder, checkpoint = Path(name), Path(name) / "checkpoint"
        write_checkpoint(checkpoint, **TINY)
        print(f"{'windows':>10} {'s':>8} {'µs/window':>10} {'start-up':>9}")
        for number in numbers:
            took, start_up = measure(number, checkpoint, folder)
            seconds.append(took)
            print(f"{number:10,} {took:8.2f} {1e6 * took / number:10.1f} {start_up:7.1f} s", flush=True)
    print(f"{draw(np.array(numbers), np.array(seconds), args.plot)}\n{args.plot}")


if __name__ == "__main__":
    main()
