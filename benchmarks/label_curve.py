"""Coding sequences -> balanced accuracy by the number of labelled windows: models and baselines, in one plot.

    python benchmarks/label_curve.py --source FOLDER --output_dir runs/label_curve [--sizes 100 900 all] [--seeds 3]

FOLDER is one that `dataset_builder --source` takes. Of the windows of the training genes, this many of each species
keep their labels, another draw for each seed; validation and test are all windows of other genes. At each size the
tiny model is trained on these windows alone (recipes/cds_windows.yaml) and with self-training on all training genes
(recipes/cds_self_training.yaml); at `all`, where each of them has its label, the small model is trained on crops of
them (recipes/cds_crops.yaml). The last two begin as masked language models of the same genes (recipes/cds_mlm.yaml),
each one for all seeds. Test is evaluated once a run.
Finished runs are kept, and the same command continues. OUTPUT_DIR gets results.json and label_curve.png.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from dataset_builder.__main__ import main as build_dataset  # noqa: E402
from dnahub.machine.files import replacing, write_text  # noqa: E402
from dnahub.reports.plots import COLOURS, save_figure  # noqa: E402

SCORE = "balanced_accuracy"
ALL = "all"
SIZES = ("100", "300", "900", "3000", "10000", ALL)  # labelled windows of each species
WINDOWS, SELF_TRAINED, CROPS = "tiny NT", "tiny NT, self-trained", "small NT, crops"
# The baselines in the plot; the others are in results.json.
DRAWN = (
    "3-mer counts",
    "frame-wise 3-mers",
    "frame-wise 3+4-mers",
    "codon pairs, naive Bayes",
    "codon pairs, naive Bayes, self-trained",
)
COLOUR_OF = dict(zip((WINDOWS, SELF_TRAINED, CROPS, *DRAWN), (*COLOURS[:6], "0.55", "0.0"), strict=True))
# With 10,000 labelled windows of each species, hardly a gene is left without.
MODELS = dict.fromkeys(SIZES, (WINDOWS, SELF_TRAINED)) | {"10000": (WINDOWS,), ALL: (CROPS,)}
# Folder and flags of the masked language model from which a model begins.
PRETRAINING = {
    SELF_TRAINED: ("cds_mlm_tiny", "--from_scratch", "tiny", "--max_steps", "3000"),
    CROPS: ("cds_mlm",),
}
RECIPES = {WINDOWS: "cds_windows.yaml", SELF_TRAINED: "cds_self_training.yaml", CROPS: "cds_crops.yaml"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", required=True, help="folder of coding sequences, a FASTA file of each species")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    for name, by_size in measure(args.source, args.output_dir, args.sizes, args.seeds).items():
        print(name, {size: spread([each["score"] for each in runs]) for size, runs in by_size.items()})


def measure(
    source: str, folder: Path, sizes: Sequence[str] = SIZES, seeds: int = 3
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Curve -> size -> of each seed the score, its interval over genes, and a model's lead over the best baseline."""
    for name, flags in {"windows": [], "genes": ["--whole_genes"]}.items():
        if not any((folder / name).rglob("build.json")):
            build_dataset(["--source", source, "--all_windows", *flags, "--output_dir", str(folder / name)])
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for size in sizes:
        for seed in range(seeds):
            for model in MODELS[size]:
                found = run(folder, model, size, seed)
                baselines = found["baselines"] or {}
                for name, scores in {model: found["test"], **baselines}.items():
                    of_seed = {"score": scores[SCORE], "interval": scores["intervals"][SCORE]}
                    if name == model and baselines:
                        of_seed["lead"] = {
                            "baseline": found["comparison"]["baseline"],
                            **found["comparison"]["metrics"][SCORE],
                        }
                    results.setdefault(name, {}).setdefault(size, []).append(of_seed)
        write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
        draw(results, folder / "label_curve.png")
    return results


def run(folder: Path, model: str, size: str, seed: int) -> dict[str, Any]:
    """metrics.json of one run; with baselines on the same labels for one model of each size."""
    output = folder / f"{RECIPES[model].removesuffix('.yaml')}-{size}-{seed}"
    flags = [str(ROOT / "recipes" / RECIPES[model]), "--output_dir", str(output), "--seed", str(seed)]
    if size == ALL:
        flags += ["--dataset_name", str(folder / "genes")]
    else:
        flags += ["--train_file", str(draw_labels(folder, int(size), seed)), "--group_column", "gene"]
        for split in ("validation", "test"):
            flags += [f"--{split}_file", *files(folder / "windows", split)]
    if model in PRETRAINING:
        flags += ["--model_name_or_path", str(pretrained(folder, model))]
    if model == SELF_TRAINED:
        flags += ["--unlabelled_file", *files(folder / "genes", "train")]
    if SELF_TRAINED in MODELS[size] and model == WINDOWS:
        flags += ["--baselines", "false"]  # measured with the other model
    train.main(flags)
    return json.loads((output / "checkpoint" / "metrics.json").read_text())


def pretrained(folder: Path, model: str) -> Path:
    """The checkpoint of a masked language model, trained on the genes of train."""
    name, *flags = PRETRAINING[model]
    recipe, output = str(ROOT / "recipes" / "cds_mlm.yaml"), folder / name
    flags += ["--dataset_name", str(folder / "genes"), "--output_dir", str(output), "--seed", "0"]
    train.main([recipe, *flags])
    return output / "checkpoint"


def files(dataset: Path, split: str) -> list[str]:
    return sorted(map(str, dataset.glob(f"*/{split}-*.parquet")))


def draw_labels(folder: Path, size: int, seed: int) -> Path:
    """A file of this many labelled windows of each species, all if there are fewer; those of a seed are nested."""
    path = folder / f"labelled-{size}-{seed}.parquet"
    if not path.is_file():
        rows = read(files(folder / "windows", "train"))
        order, labels = np.random.default_rng(seed).permutation(len(rows)), rows["label"].to_numpy()
        chosen = [order[labels[order] == label][:size] for label in np.unique(labels)]
        with replacing(path) as scratch:
            pq.write_table(rows.take(np.sort(np.concatenate(chosen))), scratch)
    return path


def read(paths: Sequence[str]) -> pa.Table:
    return pa.concat_tables(map(pq.read_table, paths))


def heading(size: str) -> str:
    return size if size == ALL else f"{int(size):,}"


def spread(scores: list[float]) -> str:
    deviation = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.4f}{deviation}"


def draw(results: dict[str, dict[str, list[dict[str, Any]]]], path: Path) -> None:
    """Means over seeds by size; bars are 95 % intervals over the genes of test, their means over seeds."""
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    axes = figure.add_subplot()
    sizes = [size for size in SIZES if any(size in by_size for by_size in results.values())]
    names = [name for name in (*RECIPES, *DRAWN) if name in results]
    for number, name in enumerate(names):
        shown = [size for size in sizes if size in results[name]]
        places = [sizes.index(size) + (number - len(names) / 2) * 0.04 for size in shown]
        means = [statistics.fmean(each["score"] for each in results[name][size]) for size in shown]
        ends = np.array([np.mean([each["interval"] for each in results[name][size]], axis=0) for size in shown])
        of_model = {"linewidth": 2.4, "marker": "o", "linestyle": "-"}
        style = of_model if name in RECIPES else {"linewidth": 1.2, "marker": ".", "linestyle": "--"}
        bars = np.abs(ends.T - means)
        axes.errorbar(places, means, yerr=bars, color=COLOUR_OF[name], label=name, elinewidth=0.8, capsize=2, **style)
    axes.set_xticks(range(len(sizes)), [heading(size) for size in sizes])
    axes.set_xlabel("Labelled windows of 60 nt per species")
    axes.set_ylabel("Balanced accuracy on windows of other genes")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
