"""Checkpoint + labelled windows -> how far a linear probe gets, beside k-mer baselines; confusion matrix and UMAP.

    python probe.py --model runs/demo/checkpoint --dataset_name data/nt-species --output_dir runs/demo
    python probe.py --model user/my-nt --trust_remote_code --dataset_name user/nt-species --output_dir runs/report

The embeddings of train fit the probe, those of validation choose its penalty, those of test are looked at once; the
k-mer baselines go through the same steps. OUTPUT_DIR gets metrics.json, confusion_matrix.png (of the checkpoint's own
classifier where its metrics.json tells of one on the same test windows, else of the probe) and umap.png.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from datasets.exceptions import DatasetsError
from safetensors import SafetensorError
from tqdm.auto import tqdm
from transformers import HfArgumentParser, pipeline

from dnahub.machine.files import replacing
from dnahub.reports.kmers import baseline_features
from dnahub.reports.linear_probe import fit_linear_probe
from dnahub.reports.plots import draw_confusion_matrix, draw_points
from dnahub.reports.projection import project
from dnahub.reports.wilson import METHOD, wilson_interval
from dnahub.training.arguments import DataArguments
from dnahub.training.dataset import SequenceData, load_sequences

METRIC_MODULE = Path(__file__).parent / "dnahub" / "metrics" / "classification"
SPLITS = ("train", "validation", "test")

# What a UMAP still shows as points; exact neighbours of more take long. The default budget's test split is all drawn.
MAX_UMAP_POINTS = 6000

PROBE = "linear probe"
FINE_TUNED = "fine-tuned classifier"

# Sequences and what they are of, for the progress bar -> one vector each.
Embed = Callable[[Sequence[str], str], np.ndarray]


@dataclass
class ProbeArguments:
    """What to probe, on which data, and where to leave the report."""

    model: str = field(
        metadata={
            "help": "Checkpoint: a folder, or a repository on the Hub. It brings the code of its dna-embedding "
            "pipeline along, and that code is run: of a folder as it is, of a repository with --trust_remote_code."
        }
    )
    dataset_name: str = field(
        metadata={"help": "Data set: a folder written by dataset_builder, or one of the Hub with the same columns."}
    )
    output_dir: str = field(metadata={"help": "Folder of the report; files of an earlier report are replaced."})
    model_revision: str | None = field(
        default=None,
        metadata={"help": "Branch, tag or commit of the checkpoint on the Hub: pin the code that you read."},
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Which configuration of the data set, where it has several."}
    )
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set on the Hub."}
    )
    batch_size: int = field(default=64, metadata={"help": "Windows embedded at a time."})
    seed: int = field(default=42, metadata={"help": "Decides the layout of the UMAP; the rest knows no chance."})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Run the code of a repository on the Hub; not needed for a folder."}
    )


def prepare_output(args: ProbeArguments) -> Path:
    """Make the report's folder, and see that it can be written before hours are spent."""
    folder = Path(args.output_dir)
    if folder.resolve() in (Path(args.model).resolve(), Path(args.dataset_name).resolve()):
        raise ValueError(
            f"--output_dir {folder} is what the report is about, and would be written over; name another."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder


def load_windows(name: str, config_name: str | None = None, revision: str | None = None) -> SequenceData:
    """The data set, with all three splits of its own and one label a window."""
    args = DataArguments(dataset_name=name, dataset_config_name=config_name)
    data = load_sequences(args, "classification", revision)
    for split in data.cut_off:
        raise ValueError(f"{name}: there is no split '{split}'; the report is about a data set's own splits.")
    if data.targets.problem != "single_label_classification":
        raise ValueError(f"{name}: its rows have several labels each; a probe is of one.")
    return data


def load_embed(args: ProbeArguments) -> Embed:
    """The checkpoint's own pipeline, as a function."""
    folder = Path(args.model)
    if folder.is_dir():
        config = folder / "config.json"
        if not config.is_file():
            raise ValueError(f"{folder} is no checkpoint: there is no config.json in it.")
        if "dna-embedding" not in json.loads(config.read_text(encoding="utf-8")).get("custom_pipelines", {}):
            raise ValueError(f"{config} names no dna-embedding pipeline; give a checkpoint that train.py saved.")
    elif not args.trust_remote_code:
        raise ValueError(
            f"{folder} is no folder here; if it is a repository on the Hub, give --trust_remote_code, which runs the "
            "code that it brings along."
        )
    try:
        embedding_pipeline = pipeline(
            "dna-embedding",
            model=args.model,
            revision=args.model_revision,
            trust_remote_code=True,
            batch_size=args.batch_size,
        )
    except (ValueError, OSError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{args.model} cannot be loaded: {error}") from error

    def embed(sequences: Sequence[str], what: str) -> np.ndarray:
        vectors = embedding_pipeline(iter(sequences))
        return np.stack(list(tqdm(vectors, total=len(sequences), desc=f"embedding {what}", unit="window")))

    return embed


def read_fine_tuned(model: str, data: SequenceData) -> dict[str, Any] | None:
    """
    What train.py measured of the checkpoint's classifier; None without one, or if that was on other test windows.
    """
    path = Path(model) / "metrics.json"
    if not path.is_file():
        return None
    metrics = json.loads(path.read_text(encoding="utf-8"))
    test = metrics.get("test")
    if metrics.get("task") != "classification" or test is None:
        return None
    true_counts = Counter(data.splits["test"]["label"])
    same_labels = list(test["recall_per_label"]) == data.label_names
    if not same_labels or [sum(row) for row in test["confusion_matrix"]] != [
        true_counts[label] for label in range(len(data.label_names))
    ]:
        print(f"probe.py: left out {path}: its classifier was tested on other windows than these.", file=sys.stderr)
        return None
    return test


def measure(data: SequenceData, embeddings: dict[str, np.ndarray]) -> dict[str, Any]:
    """Scores on the test split of chance, of each baseline and of the probe."""
    metric = evaluate.load(str(METRIC_MODULE), keep_in_memory=True)  # from its path: nothing is fetched
    labels = {split: np.array(data.splits[split]["label"]) for split in SPLITS}

    def score(predictions: np.ndarray) -> dict[str, Any]:
        scores = metric.compute(predictions=predictions, references=labels["test"], label_names=data.label_names)
        return with_interval(scores, len(labels["test"]))

    def probe(features: dict[str, np.ndarray]) -> dict[str, Any]:
        fit = fit_linear_probe(features, labels)
        return {
            **score(fit.predictions),
            "num_features": features["train"].shape[1],
            "C": fit.C,
            "converged": fit.converged,
            "candidates": fit.candidates,
        }

    most_frequent = np.bincount(labels["train"]).argmax()
    features_of_split = {split: baseline_features(list(data.splits[split]["sequence"])) for split in SPLITS}
    return {
        "chance": score(np.full_like(labels["test"], most_frequent)),
        "baselines": {
            name: probe({split: features_of_split[split][name] for split in SPLITS})
            for name in features_of_split["train"]
        },
        "linear_probe": probe(embeddings),
    }


def with_interval(scores: dict[str, Any], num_test: int) -> dict[str, Any]:
    return {**scores, "accuracy_interval": list(wilson_interval(scores["accuracy"], num_test))}


def collect(
    args: ProbeArguments, data: SequenceData, embeddings: dict[str, np.ndarray], fine_tuned: dict[str, Any] | None
) -> dict[str, Any]:
    """All that metrics.json says."""
    num_windows = {split: len(data.splits[split]) for split in SPLITS}
    bayes_accuracy = data.build.get("bayes_optimal_accuracy")
    return {
        "model": args.model,
        "dataset_name": args.dataset_name,
        "synthetic": bool(data.build.get("synthetic", False)),
        "num_windows": num_windows,
        "label_names": data.label_names,
        "seed": args.seed,
        "interval_method": METHOD,
        "choice_of_C": "lowest log loss on validation; fitted on train alone; test predicted once, with that C",
        **measure(data, embeddings),
        "fine_tuned": None if fine_tuned is None else with_interval(fine_tuned, num_windows["test"]),
        "bayes_optimal": None
        if bayes_accuracy is None
        else with_interval({"accuracy": bayes_accuracy}, num_windows["test"]),
    }


def draw(report: dict[str, Any], embeddings: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Leave confusion_matrix.png and umap.png in the folder."""
    synthetic = "SYNTHETIC DATA: " if report["synthetic"] else ""
    dataset = report["dataset_name"]
    if Path(dataset).is_dir():
        dataset = Path(dataset).resolve().name
    model = "/".join(Path(report["model"]).parts[-2:])  # RUN/checkpoint, or user/repo
    num_test = len(labels)

    scores, classifier = report["linear_probe"], f"{PROBE} on embeddings"
    if report["fine_tuned"] is not None:
        scores, classifier = report["fine_tuned"], FINE_TUNED
    low, high = scores["accuracy_interval"]
    draw_confusion_matrix(
        np.array(scores["confusion_matrix"]),
        report["label_names"],
        f"{synthetic}{classifier}, {model}\n{num_test:,} test windows of {dataset}: "
        f"accuracy {scores['accuracy']:.3f} (95% interval {low:.3f} to {high:.3f})",
        folder / "confusion_matrix.png",
    )

    drawn = np.sort(np.random.default_rng(report["seed"]).permutation(num_test)[:MAX_UMAP_POINTS])
    share = f"{num_test:,}" if len(drawn) == num_test else f"{len(drawn):,} of {num_test:,}"
    draw_points(
        project(embeddings[drawn], report["seed"]),
        labels[drawn],
        report["label_names"],
        f"{synthetic}UMAP of embeddings, {model}\n{share} test windows of {dataset}: "
        f"accuracy of a linear probe {report['linear_probe']['accuracy']:.3f}",
        folder / "umap.png",
    )


def table(report: dict[str, Any]) -> str:
    """One aligned line a method."""
    methods = {"chance (most frequent label)": report["chance"]}
    for name, scores in report["baselines"].items():
        methods[f"{name}, logistic regression"] = scores
    methods[f"{PROBE} on embeddings"] = report["linear_probe"]
    methods[FINE_TUNED] = report["fine_tuned"]
    methods["Bayes-optimal (synthetic data)"] = report["bayes_optimal"]

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    width = max(map(len, methods))
    lines = [f"{'method':<{width}}  test accuracy  95% interval    macro F1     MCC"]
    for name, scores in methods.items():
        if scores is not None:
            low, high = scores["accuracy_interval"]
            lines.append(
                f"{name:<{width}}  {scores['accuracy']:13.3f}  {low:.3f} to {high:.3f}  "
                f"{number(scores.get('macro_f1')):>8}  {number(scores.get('mcc')):>6}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments."""
    try:
        parser = HfArgumentParser(ProbeArguments, allow_abbrev=False)
        (args,) = parser.parse_args_into_dataclasses(arguments)
        folder = prepare_output(args)
        data = load_windows(args.dataset_name, args.dataset_config_name, args.dataset_revision)
        fine_tuned = read_fine_tuned(args.model, data)
        embed = load_embed(args)
        embeddings = {split: embed(data.splits[split]["sequence"], split) for split in SPLITS}
    except (ValueError, OSError, DatasetsError) as error:
        print(f"probe.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)

    report = collect(args, data, embeddings, fine_tuned)
    with replacing(folder / "metrics.json") as scratch:
        scratch.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    draw(report, embeddings["test"], np.array(data.splits["test"]["label"]), folder)
    print(table(report))
    for name in ("metrics.json", "confusion_matrix.png", "umap.png"):
        print(folder / name)


if __name__ == "__main__":
    main()
