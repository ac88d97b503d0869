"""Recipes and coding sequences -> all figures of README.md and docs/results.md, compared with those shown there.

    make reproduce NT_CDS_DIR=FOLDER
    python benchmarks/reproduce.py --source FOLDER [--only real splice] [--update]

FOLDER is one that `dataset_builder --source` takes. The parts `demo` and `real` replace runs/demo and runs/real; the
others continue where they were interrupted. A figure outside the 95 % interval recorded in docs/figures.json is named,
and the exit code is 1; `--update` records the new figures, and writes the tables and pictures. Speeds depend on the
machine: docs/benchmarks.md names their commands.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import label_curve, splice_junctions  # noqa: E402
from dnahub.machine.files import write_text  # noqa: E402

RECORDED = ROOT / "docs" / "figures.json"
PICTURE = ROOT / "docs" / "label_curve.png"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
# A table stands between <!-- name --> and <!-- /name -->, and is written by --update.
TABLE = re.compile(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", re.DOTALL)
NORMAL_95 = 1.96
DIGITS = 4

Figure = dict[str, Any]  # score, interval, and the deviation over seeds or folds where there are several
Figures = dict[str, dict[str, Figure]]  # section -> model or baseline -> figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--source", type=Path, required=True, help="folder of coding sequences, a FASTA file of each species"
    )
    parser.add_argument("--output_dir", type=Path, default=Path("runs/reproduce"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--update", action="store_true", help="record what was found")
    args = parser.parse_args()
    if "splice" in args.only:
        splice_junctions.check_r()  # before the hours that come first
    recorded: Figures = json.loads(RECORDED.read_text()) if RECORDED.is_file() else {}
    found: Figures = {}
    num_different = 0
    for part in args.only:
        of_part = rounded(PARTS[part](args.source.resolve(), args.output_dir.resolve() / part))
        found |= of_part
        different = [] if args.update else compare(recorded, of_part)
        num_different += len(different)
        for line in different:
            print(line, file=sys.stderr, flush=True)
    if args.update:
        write_text(RECORDED, json.dumps(recorded | found, indent=1, ensure_ascii=False) + "\n")
        for document in DOCUMENTS:
            write_text(document, with_tables(document.read_text(), recorded | found))
        if "labels" in args.only:
            PICTURE.write_bytes((args.output_dir / "labels" / PICTURE.name).read_bytes())
        return 0
    print(f"{sum(map(len, found.values()))} figures, {num_different} outside their interval.")
    return 1 if num_different else 0


def rounded(figures: Figures) -> Figures:
    return json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), DIGITS))


def demo(_source: Path, _output: Path) -> Figures:
    return {"demo": of_folder(make("demo"))}


def real(source: Path, _output: Path) -> Figures:
    return {"real": of_folder(make("real", f"NT_CDS_DIR={source}"))}


def make(target: str, *variables: str) -> Path:
    """Run a target of the Makefile; its folder."""
    subprocess.run(["make", target, *variables], cwd=ROOT, check=True)
    return ROOT / "runs" / target


def of_folder(folder: Path) -> dict[str, Figure]:
    """Accuracies on test in a folder of `make demo` or `make real`: baselines, probe, model, what is possible."""
    trained = json.loads((folder / "checkpoint" / "metrics.json").read_text())
    probed = json.loads((folder / "metrics.json").read_text())
    measured = trained["baselines"] | {"linear probe": probed["linear_probe"], "fine-tuned": trained["test"]}
    figures = {
        name: {"score": scores["accuracy"], "interval": scores["intervals"]["accuracy"]}
        for name, scores in measured.items()
    }
    possible = trained["dataset"]["bayes_optimal_accuracy"]
    return figures | ({"best possible": {"score": possible, "interval": [possible, possible]}} if possible else {})


def labels(source: Path, output: Path) -> Figures:
    """Balanced accuracies by the number of labelled windows: means over the seeds, of the intervals over genes too."""
    results = label_curve.measure(str(source), output)
    figures: Figures = {}
    for name, by_size in results.items():
        for size, runs in by_size.items():
            figure = over_seeds([run["score"] for run in runs], [run["interval"] for run in runs])
            figures.setdefault(f"labels {size}", {})[name] = figure
            leads = [run["lead"] for run in runs if "lead" in run]
            if leads:
                figure = over_seeds([lead["difference"] for lead in leads], [lead["interval"] for lead in leads])
                baselines = " or ".join(sorted({lead["baseline"] for lead in leads}))
                figures.setdefault("leads", {})[f"{name}, {label_curve.heading(size)} labels"] = figure | {
                    "baseline": baselines
                }
    return figures


def over_seeds(scores: list[float], intervals: list[list[float]]) -> Figure:
    means = [statistics.fmean(ends) for ends in zip(*intervals, strict=True)]
    return {"score": statistics.fmean(scores), "interval": means, "deviation": statistics.stdev(scores)}


def splice(_source: Path, output: Path) -> Figures:
    """Mean accuracies of ten folds; the interval is that of their mean."""
    figures = {}
    for name, scores in splice_junctions.cross_validate(splice_junctions.read_rows(), output, []).items():
        mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
        half = NORMAL_95 * deviation / len(scores) ** 0.5
        figures[name] = {"score": mean, "interval": [mean - half, mean + half], "deviation": deviation}
    return {"splice": figures}


PARTS: dict[str, Callable[[Path, Path], Figures]] = {"demo": demo, "real": real, "labels": labels, "splice": splice}


def compare(recorded: Figures, found: Figures) -> list[str]:
    """A line for each figure that lies outside the recorded interval or was not recorded."""
    lines = []
    for section, figures in found.items():
        for name, figure in figures.items():
            before = recorded.get(section, {}).get(name)
            if before is None:
                lines.append(f"{section}, {name}: {figure['score']:.4f}, none recorded")
            elif not before["interval"][0] <= figure["score"] <= before["interval"][1]:
                low, high = before["interval"]
                recorded_one = f"recorded {before['score']:.4f} ({low:.4f} to {high:.4f})"
                lines.append(f"{section}, {name}: {figure['score']:.4f}, {recorded_one}")
        lines += [f"{section}, {name}: not measured" for name in recorded.get(section, {}) if name not in figures]
    return lines


def with_tables(text: str, figures: Figures) -> str:
    """The document with its tables filled in."""
    return TABLE.sub(lambda found: f"<!-- {found[1]} -->\n{TABLES[found[1]](figures)}<!-- /{found[1]} -->", text)


def table_of(section: str, spread: str = "95 % interval") -> Callable[[Figures], str]:
    """A row for each model or baseline, from the worst to the best, with its interval or deviation."""

    def table(figures: Figures) -> str:
        lines = [f"| | accuracy | {spread} |", "|---|---|---|"]
        for name, figure in sorted(figures.get(section, {}).items(), key=lambda item: item[1]["score"]):
            low, high = figure["interval"]
            of_figure = f"± {figure['deviation']:.3f}" if "deviation" in figure else f"{low:.3f} to {high:.3f}"
            lines.append(f"| {name} | {figure['score']:.3f} | {of_figure if low < high else 'exact'} |")
        return "\n".join(lines) + "\n"

    return table


def curve_of(sizes: tuple[str, ...], chosen: Collection[str] = ()) -> Callable[[Figures], str]:
    """A row for each model or baseline, all or the chosen ones, a column for each number of labelled windows."""

    def table(figures: Figures) -> str:
        names = dict.fromkeys(name for size in sizes for name in figures.get(f"labels {size}", {}))
        names = [name for name in names if not chosen or name in chosen]
        lines = [
            "| labelled windows per species | " + " | ".join(map(label_curve.heading, sizes)) + " |",
            "|---" * (len(sizes) + 1) + "|",
        ]
        for name in names:
            of_sizes = (figures.get(f"labels {size}", {}).get(name) for size in sizes)
            cells = ("–" if each is None else with_deviation(each) for each in of_sizes)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    return table


def with_deviation(figure: Figure) -> str:
    """Without it for what is the same with all seeds."""
    return f"{figure['score']:.3f}" + (f" ± {figure['deviation']:.3f}" if figure["deviation"] else "")


def leads(figures: Figures) -> str:
    """A row for each model and number of labels: how far it is above the best baseline on the same labels."""
    lines = ["| | best baseline | difference | 95 % interval |", "|---|---|---|---|"]
    for name, figure in figures.get("leads", {}).items():
        low, high = figure["interval"]
        lines.append(f"| {name} | {figure['baseline']} | {figure['score']:+.3f} | {low:+.3f} to {high:+.3f} |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[Figures], str]] = {
    "demo": table_of("demo"),
    "real": table_of("real"),
    "splice": table_of("splice", "over the folds"),
    "curve": curve_of(label_curve.SIZES),
    "leads": leads,
    "headline": curve_of(("100", "900", label_curve.ALL), (*label_curve.RECIPES, *label_curve.DRAWN)),
}


if __name__ == "__main__":
    sys.exit(main())
