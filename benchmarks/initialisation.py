"""Random weights begun in several ways -> validation scores of four tasks, over seeds.

    python benchmarks/initialisation.py --cds FOLDER --splice_junctions splice.csv [--seeds 3] [--only NAME ...]

The tasks: species of synthetic windows, species of real windows (FOLDER as `dataset_builder --source` takes it),
splice junctions (a table as benchmarks/splice_junctions.py writes it), and masked language modelling on real windows.
Each run is one of train.py with the tiny preset and a fixed number of steps; only validation is evaluated. A row of
the table is an initialisation: mean and standard deviation over the seeds.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from benchmarks.label_curve import spread  # noqa: E402
from dataset_builder.__main__ import main as build_dataset  # noqa: E402
from dnahub.checkpoints import initialisation  # noqa: E402

# Task -> the score, and the flags of train.py.
TASKS = {
    "synthetic": ("accuracy", ["--max_steps", "750", "--per_device_train_batch_size", "64"]),
    "real": ("accuracy", ["--max_steps", "750", "--per_device_train_batch_size", "64"]),
    "splice": ("accuracy", ["--max_steps", "600", "--per_device_train_batch_size", "32"]),
    "mlm": ("loss", ["--task", "mlm", "--max_steps", "600", "--per_device_train_batch_size", "64"]),
}
# Name -> flags, and constants of `dnahub.checkpoints.initialisation` other than they are.
RATES = ("5e-4", "1e-3", "2e-3")
VARIANTS = {
    **{f"plain, rate {rate}": (["--init", "plain", "--learning_rate", rate], {}) for rate in RATES},
    **{f"composed, rate {rate}": (["--learning_rate", rate], {}) for rate in RATES},
    "scale 0.1": ([], {"INPUT_SCALE": 0.1}),
    "scale 0.3": ([], {"INPUT_SCALE": 0.3}),
    "scale 2": ([], {"INPUT_SCALE": 2.0}),
    "letters only": ([], {"PARTS": (1,)}),
    "letters and pairs": ([], {"PARTS": (1, 2)}),
    "triplets alike": ([], {"OUT_OF_FRAME": 1.0}),
    "codons only": ([], {"OUT_OF_FRAME": 0.0}),
    "output scale 0.02": ([], {"OUTPUT_SCALE": 0.02}),
    "output scale 0.3": ([], {"OUTPUT_SCALE": 0.3}),
}
RATE = ["--learning_rate", "1e-3"]  # where a variant does not say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cds", required=True, help="folder of coding sequences, a FASTA file of each species")
    parser.add_argument("--splice_junctions", required=True, help="table with the columns sequence and label")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = prepare(Path(scratch), args.cds, args.splice_junctions)
        print("| | " + " | ".join(f"{task}, {score}" for task, (score, _) in TASKS.items()) + " |", flush=True)
        print("|---" * (len(TASKS) + 1) + "|", flush=True)
        for name in args.only:
            cells = []
            for task in TASKS:
                if "output" in name and task != "mlm":
                    cells.append("–")
                    continue
                scores = [run(name, task, data[task], seed, Path(scratch)) for seed in range(args.seeds)]
                cells.append(spread(scores))
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def prepare(folder: Path, cds: str, splice_junctions: str) -> dict[str, list[str]]:
    """Task -> flags that name its data, which has no test split."""
    data = {"splice": ["--train_file", splice_junctions, "--test_fraction", "0"]}
    for name, source in {"synthetic": "synthetic", "real": cds}.items():
        with contextlib.redirect_stdout(io.StringIO()):
            build_dataset(["--source", source, "--all_windows", "--output_dir", str(folder / name)])
        for split, rows in (("train", 100_000), ("validation", 6_000)):
            files = sorted((folder / name / "data").glob(f"{split}-*"))
            pq.write_table(pq.read_table(files).slice(0, rows), folder / f"{name}-{split}.parquet")
        files = [str(folder / f"{name}-{split}.parquet") for split in ("train", "validation")]
        data[name] = ["--train_file", files[0], "--validation_file", files[1], "--test_fraction", "0"]
    return data | {"mlm": data["real"]}


def run(name: str, task: str, data: list[str], seed: int, folder: Path) -> float:
    """The validation score of one run."""
    flags, constants = VARIANTS[name]
    score, of_task = TASKS[task]
    output = folder / f"{name}-{task}-{seed}".replace(" ", "_")
    flags = [
        *RATE,
        *flags,
        *data,
        *of_task,
        "--from_scratch",
        "tiny",
        "--seed",
        str(seed),
        "--output_dir",
        str(output),
    ]
    flags += ["--save_strategy", "no", "--per_device_eval_batch_size", "500", "--disable_tqdm", "--baselines", "false"]
    with replaced(constants), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train.main(flags)
    return json.loads((output / "checkpoint" / "metrics.json").read_text())["validation"][score]


@contextlib.contextmanager
def replaced(constants: dict[str, object]) -> Iterator[None]:
    """Within it, constants of the module have other values."""
    before = {name: getattr(initialisation, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(initialisation, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(initialisation, name, value)


if __name__ == "__main__":
    main()
