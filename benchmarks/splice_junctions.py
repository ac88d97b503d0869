"""Splice junctions (Debian's r-cran-mlbench) -> a table, and ten-fold cross-validation of recipe and baselines.

    python benchmarks/splice_junctions.py --output splice.csv
    python benchmarks/splice_junctions.py --output splice.csv --folds runs/splice [flags of train.py]

3,186 windows of 60 nt with a donor (ei) or acceptor (ie) site in the middle, or neither (n): the data set DNA of
mlbench (StatLog version of the UCI set "Molecular Biology (Splice-junction Gene Sequences)"). Equal sequences, of
which there are 185, stay in one fold. In each fold validation is the next one; test is evaluated once.
"""

import argparse
import contextlib
import csv
import io
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402

RECIPE = ROOT / "recipes" / "splice_junctions.yaml"
FOLDS = 10
PARTS = ("train", "validation", "test")
# DNA has three columns a position, which are 1 for A, C and G; all are 0 for T.
TO_CSV = "library(mlbench); data(DNA); write.csv(DNA, stdout(), row.names = FALSE)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="the table to write")
    parser.add_argument("--folds", type=Path, help="folder for the runs of ten folds")
    args, flags = parser.parse_known_args()
    rows = read_rows()
    write(args.output, rows)
    if args.folds is not None:
        for name, scores in cross_validate(rows, args.folds, flags).items():
            print(f"{name}: {statistics.fmean(scores):.4f} ± {statistics.stdev(scores):.4f}")


def read_rows() -> list[tuple[str, str]]:
    """Sequence and class of each row."""
    check_r()
    table = subprocess.run(["Rscript", "-e", TO_CSV], check=True, capture_output=True, text=True).stdout
    rows = []
    for *bits, label in list(csv.reader(io.StringIO(table)))[1:]:
        letters = (bits[i : i + 3] for i in range(0, len(bits), 3))
        rows.append(("".join("ACG"[each.index("1")] if "1" in each else "T" for each in letters), label))
    return rows


def check_r() -> None:
    if shutil.which("Rscript") is None:
        sys.exit("There is no Rscript; the table is in R's package mlbench (Debian: apt install r-cran-mlbench).")


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("sequence", "label"), *rows])


def cross_validate(rows: list[tuple[str, str]], folder: Path, flags: list[str]) -> dict[str, list[float]]:
    """Model or baseline -> its accuracy on the test rows of each fold."""
    sequences = np.unique([sequence for sequence, _ in rows], return_inverse=True)[1]
    fold_of = (np.random.default_rng(0).permutation(sequences.max() + 1) % FOLDS)[sequences]
    scores: dict[str, list[float]] = {}
    for fold in range(FOLDS):
        part_of = {fold: "test", (fold + 1) % FOLDS: "validation"}
        for part in PARTS:
            chosen = [row for row, number in zip(rows, fold_of, strict=True) if part_of.get(number, "train") == part]
            write(folder / f"fold-{fold}" / f"{part}.csv", chosen)
        of_fold = {f"--{part}_file": str(folder / f"fold-{fold}" / f"{part}.csv") for part in PARTS}
        files = [word for pair in of_fold.items() for word in pair]
        output = folder / f"fold-{fold}" / "run"
        with contextlib.redirect_stdout(io.StringIO()):
            train.main([str(RECIPE), *files, "--output_dir", str(output), *flags])
        results = json.loads((output / "checkpoint" / "metrics.json").read_text())
        for name, measured in {"tiny NT": results["test"], **(results["baselines"] or {})}.items():
            scores.setdefault(name, []).append(measured["accuracy"])
        print(f"fold {fold}: " + ", ".join(f"{name} {each[-1]:.4f}" for name, each in scores.items()), flush=True)
    return scores


if __name__ == "__main__":
    main()
