"""Random sequences -> training speed of train.py beside the GEMM limit, of grouping by length, and of --tuning head.

    python benchmarks/train_throughput.py [flags of train.py, as --torch_compile true]

Random weights in the shape of NT-v2-50m, six classes, float32, all cores. Comparisons alternate, because other
processes on the machine slow all of them alike. Speeds are those that train.py writes to metrics.json.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Value

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from benchmarks.embed_throughput import Roofline, num_tokens, random_dna, spread  # noqa: E402
from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerModel  # noqa: E402

REPETITIONS = 3
CLASSES = 6
WINDOW_NT, BATCH, STEPS = 60, 64, 8
MIXED_NT, MIXED_ROWS, MIXED_BATCH = (60, 1200), 96, 8  # lengths uniform in their logarithm
HEAD_EPOCHS = 10


def write_data(folder: Path, lengths_nt: Sequence[int]) -> Path:
    rng = np.random.default_rng(0)
    features = Features({"sequence": Value("string"), "label": ClassLabel(names=[str(i) for i in range(CLASSES)])})
    for split, lengths in {"train": lengths_nt, "validation": [WINDOW_NT] * 12, "test": [WINDOW_NT] * 12}.items():
        labels = [i % CLASSES for i in range(len(lengths))]
        rows = {"sequence": [random_dna(length, rng) for length in lengths], "label": labels}
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder


def train_once(data: Path, output: Path, *flags: object) -> dict[str, float]:
    """The section `training` of metrics.json."""
    shutil.rmtree(output, ignore_errors=True)
    argv = ["--dataset_name", data, "--output_dir", output, "--use_cpu", *flags, "--baselines", "false"]
    argv += ["--save_strategy", "no", "--disable_tqdm", "true", "--report_to", "none"]
    with contextlib.redirect_stdout(io.StringIO()):
        train.main([*map(str, argv), *sys.argv[1:]])
    return json.loads((output / "checkpoint" / "metrics.json").read_text())["training"]


def main() -> None:
    os.environ.pop("OMP_NUM_THREADS", None)
    roofline = Roofline(NucleotideTransformerModel(NucleotideTransformerConfig(**PRESETS["v2-50m"])))
    batch = ["A" * WINDOW_NT] * BATCH
    of_limit, grouping, head = [], [], []
    with tempfile.TemporaryDirectory() as name:
        windows, mixed = Path(name) / "windows", Path(name) / "mixed"
        write_data(windows, [WINDOW_NT] * BATCH * STEPS)
        shortest, longest = MIXED_NT
        write_data(mixed, np.geomspace(shortest, longest, MIXED_ROWS).astype(int).tolist())
        full, other = Path(name) / "full", Path(name) / "other"
        scratch, batches = ["--from_scratch", "v2-50m"], ["--per_device_train_batch_size", BATCH]
        for _ in range(REPETITIONS):
            speed = train_once(windows, full, *scratch, *batches, "--max_steps", STEPS)["tokens_per_second"]
            # A step has three products of each layer: y = x wᵀ, dx = dy w and dw = dyᵀ x.
            of_limit.append(speed * 3 * roofline.seconds_for(batch) / sum(map(num_tokens, batch)))
            flags = [*scratch, "--per_device_train_batch_size", MIXED_BATCH, "--num_train_epochs", 1]
            grouped, shuffled = (
                train_once(mixed, other, *flags, "--train_sampling_strategy", order)["tokens_per_second"]
                for order in ("group_by_length", "random")
            )
            grouping.append(grouped / shuffled)
            flags = ["--model_name_or_path", full / "checkpoint", "--tuning", "head", *batches, "--num_train_epochs"]
            one, many = (train_once(windows, other, *flags, epochs)["seconds"] for epochs in (1, HEAD_EPOCHS))
            head.append(HEAD_EPOCHS * one / many)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; median (min to max) of {REPETITIONS}")
    print(f"{WINDOW_NT}-nt windows, batches of {BATCH}, of the GEMM limit: {spread(of_limit, '.2f')}")
    mixed = f"{shortest} to {longest} nt, batches of {MIXED_BATCH}"
    print(f"{mixed}, grouped by length over random: {spread(grouping, '.2f')}")
    print(f"--tuning head, {HEAD_EPOCHS} epochs over {HEAD_EPOCHS} times one epoch: {spread(head, '.2f')}")


if __name__ == "__main__":
    main()
