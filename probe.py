r"""Embeddings + labels -> scores of a linear probe and of baselines, learning curve, calibration, figures.

    python probe.py --train_embeddings train.parquet --validation_embeddings validation.parquet \
        --test_embeddings test.parquet --output_dir report
    python probe.py --model_name_or_path runs/demo/checkpoint --dataset_name data/nt-species --output_dir runs/demo

Embeddings are Parquet files of embed.py or of any other encoder, a vector and a label a row: a file for each split, or
one file with a column `split`. Alternatively, a checkpoint embeds a data set. The probe and nearest neighbours are
fitted on train; validation, or without it a cross-validation of train, chooses their settings; test is measured. The
same is done with k-mer counts and other baselines, if there are sequences: those of the data set, or a column
`sequence`. The learning curve measures the probe and the best baselines, fitted on fewer rows. OUTPUT_DIR gets
metrics.json, labelled_rows.png, reliability.png, umap.png, confusion_matrix.png (of the checkpoint's own classifier if
its metrics.json describes the same test rows, else of the probe) and report.html, an interactive page of the probe.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dnahub.machine.arguments import parse
from dnahub.machine.files import write_text
from dnahub.machine.script import run
from dnahub.machine.text import printable

if TYPE_CHECKING:
    from dnahub.inference.engine import Engine
    from dnahub.reports.embeddings import LabelledEmbeddings


@dataclass
class EmbeddingArguments:
    """Embeddings in Parquet files."""

    train_embeddings: str | None = field(default=None, metadata={"help": "Rows to fit the probe on."})
    validation_embeddings: str | None = field(
        default=None, metadata={"help": "Rows that choose its penalty; default: folds of train."}
    )
    test_embeddings: str | None = field(default=None, metadata={"help": "Rows to evaluate it on."})
    embeddings: str | None = field(
        default=None,
        metadata={"help": "One file instead of three; its column `split` is train, validation or test, or dev, ..."},
    )


@dataclass
class CheckpointArguments:
    """Or a checkpoint that embeds a data set."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Checkpoint: a folder, or a repository on the Hub; code that it brings along is not run."},
    )
    model_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of the checkpoint."})
    allow_pickle: bool = field(
        default=False,
        metadata={"help": "Load weights in pickle format, which can run code: only if you trust their author."},
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Folder written by dataset_builder, or Hub id of a data set with its columns."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Configuration, where it has several."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of the data set."})
    sequence_format: Literal["letters", "kmers"] = field(
        default="letters", metadata={"help": "kmers: the data set has overlapping k-mers, which are joined."}
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Use at most this many rows of train, the same ones as train.py does."}
    )


@dataclass
class ReportArguments:
    """Labels and report."""

    output_dir: str = field(metadata={"help": "Folder of the report; files of an earlier report are replaced."})
    label_column: str = field(default="label", metadata={"help": "Column of the labels."})
    group_column: str | None = field(
        default=None,
        metadata={
            "help": "Rows of one group, such as a gene, are held out and drawn together; default: `gene`, if all "
            "files, or a data set of dataset_builder, have it."
        },
    )
    seed: int = field(
        default=42, metadata={"help": "Seed of the UMAP's layout and sample; everything else is deterministic."}
    )


def check(files: dict[str, str], checkpoint: CheckpointArguments, labels: ReportArguments) -> Path:
    """The report's folder; an error for contradictory arguments, and where the report could not be written."""
    model, data_set = checkpoint.model_name_or_path, checkpoint.dataset_name
    of_splits = set(files) - {"validation_embeddings"} == {"train_embeddings", "test_embeddings"}
    from_files = of_splits or set(files) == {"embeddings"}
    if not (from_files and not model and not data_set) and not (not files and model and data_set):
        raise ValueError(
            "give --train_embeddings, --test_embeddings and, if any, --validation_embeddings; or --embeddings alone; "
            "or --model_name_or_path and --dataset_name."
        )
    if labels.group_column == labels.label_column:
        raise ValueError(
            f"--group_column {labels.group_column} is the column of the labels; name another, or leave it out."
        )
    folder = Path(labels.output_dir)
    for given in (model, data_set):
        if given and folder.resolve() == Path(given).resolve():
            raise ValueError(f"--output_dir {folder} is the checkpoint or data set to report on; name another folder.")
    with tempfile.TemporaryFile(dir=next(each for each in (folder, *folder.parents) if each.exists())):
        return folder


def load_engine(args: CheckpointArguments) -> "Engine":
    """The checkpoint's encoder, an NT or another one."""
    from dnahub.checkpoints.loading import find_checkpoint, load_for_task
    from dnahub.inference.engine import Engine

    files = find_checkpoint(args.model_name_or_path, args.model_revision, args.allow_pickle)
    return Engine(*load_for_task("none", files, None))


def embed_data_set(
    args: CheckpointArguments, label_column: str, group_column: str | None = None
) -> "LabelledEmbeddings":
    """Every split, embedded by the checkpoint; a missing validation is only cut off train if that is sampled."""
    import pyarrow as pa
    from datasets import DatasetDict, concatenate_datasets

    from dnahub.reports.embeddings import LabelledEmbeddings
    from dnahub.training.arguments import DataArguments
    from dnahub.training.dataset import load_sequences

    name = args.dataset_name
    wanted = DataArguments(
        dataset_name=name,
        dataset_config_name=args.dataset_config_name,
        sequence_format=args.sequence_format,
        max_train_samples=args.max_train_samples,
        label_column=label_column,
        group_column=group_column,
    )
    data = load_sequences(wanted, "classification", args.dataset_revision)
    splits, groups = dict(data.splits), dict(data.groups)
    if "test" in data.cut_off:
        raise ValueError(f"{name}: there is no split 'test'; a probe needs train and test.")
    if "validation" in data.cut_off and args.max_train_samples is None:
        splits["train"] = concatenate_datasets([splits["train"], splits.pop("validation")])
        if groups:
            groups["train"] = pa.concat_arrays([groups["train"], groups.pop("validation")])
    engine = load_engine(args)
    vectors = {}
    for split, rows in splits.items():
        print(f"probe.py: embedding {split}, {len(rows):,} sequences", file=sys.stderr)
        vectors[split] = engine.encode(rows["sequence"][:], show_progress=True)
    rows = DatasetDict(splits)
    return LabelledEmbeddings(
        data.name, vectors, rows, data.labels, data.build, data.group_column, groups, data.ids["test"].to_pylist()
    )


def read_fine_tuned(model: str, report: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """
    What train.py measured of the checkpoint's classifier, None without one, or if its test rows were others; and a
    sentence on the labels that it was fine-tuned on, None without any.
    """
    from dnahub.tasks import TASKS

    path = Path(model) / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    test, probe, seen = metrics.get("test"), report["linear_probe"], None
    if metrics.get("task") in TASKS and TASKS[metrics["task"]].takes_labels:
        data, added = metrics["dataset"], metrics.get("self_training", {}).get("sequences", 0)
        labelled = data["rows"]["train"] - added
        seen = (
            f"The checkpoint was fine-tuned on {labelled:,} labelled rows of {printable(data['name'])}"
            + f" and {added:,} that self-training labelled" * (added > 0)
            + ": its embeddings have seen all these labels, the baselines only those of the rows they are fitted on."
        )
    if metrics.get("task") != "classification" or test is None:
        return None, seen
    matrices = [each.get("confusion_matrix") for each in (test, probe)]
    if None in matrices:
        print(f"probe.py: ignored {path}: with this many classes it does not list the rows of each.", file=sys.stderr)
        return None, seen
    theirs, ours = (
        [*each["recall_per_label"], *map(sum, matrix)] for each, matrix in zip((test, probe), matrices, strict=True)
    )
    if theirs != ours:
        print(f"probe.py: ignored {path}: its classifier was tested on other rows.", file=sys.stderr)
        return None, seen
    return test, seen


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the command line, or with these arguments."""
    classes = EmbeddingArguments, CheckpointArguments, ReportArguments
    embeddings, checkpoint, args = parse("probe.py", __doc__, classes, arguments)
    files = {split: file for split, file in vars(embeddings).items() if file is not None}
    folder = check(files, checkpoint, args)
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")  # of many or rare classes

    # These import torch and datasets: only now that the arguments are known.
    from dnahub.reports.embeddings import read_embeddings
    from dnahub.reports.probe_report import draw, render_table
    from dnahub.reports.probing import measure_embeddings
    from dnahub.training.splits import check_groups, check_overlap

    columns = (args.label_column, args.group_column)
    if files:
        data = read_embeddings(files, *columns)
        if args.group_column is not None:
            check_groups(data.rows, args.group_column)
        if "sequence" in data.rows["train"].features:
            check_overlap(data.rows, lambda split, row: f"row {row} of {split}")
    else:
        data = embed_data_set(checkpoint, *columns)
    if data.group_column != args.group_column:
        print(f"probe.py: rows of one {data.group_column} are held out and drawn together", file=sys.stderr)
    measured, outputs = measure_embeddings(data, show_progress=sys.stderr.isatty())
    report = {
        "model": checkpoint.model_name_or_path,
        "dataset_name": checkpoint.dataset_name,
        "embeddings": files,
        "synthetic": bool(data.build.get("synthetic", False)),
        "num_rows": {split: len(labels) for split, labels in data.labels.items()},
        "label_names": data.meaning.names,
        "seed": args.seed,
        "group_column": data.group_column,
        "has_sequences": "sequence" in data.rows["train"].features,
        "method": "Fitted on train; settings chosen by the lowest log loss on "
        + ("validation." if "validation" in data.vectors else "folds of train."),
        **measured,
        "bayes_optimal_accuracy": data.build.get("bayes_optimal_accuracy"),
    }
    model = checkpoint.model_name_or_path
    report["fine_tuned"], report["labels_seen"] = read_fine_tuned(model, report) if model else (None, None)

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(report, indent=2) + "\n")
    print(render_table(report))
    print(folder / "metrics.json", flush=True)
    for line in draw(report, data, outputs, folder):
        print(line, flush=True)


if __name__ == "__main__":
    run("probe.py", main)
