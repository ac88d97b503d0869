"""Random sequences -> training speed of train.py beside the GEMM limit, of grouping by length, and of --tuning head.

    python benchmarks/train_throughput.py [flags of train.py, as --torch_compile true]

Random weights in the shape of NT-v2-50m, six classes, float32, all cores. Comparisons alternate, because other
processes on the machine slow all of them alike. Speeds are those that train.py writes to metrics.json.
"""

import contextlib
import io
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from datasets import ClassLabel, Dataset, Features, Value

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForMaskedLM  # noqa: E402

REPETITIONS = 3
CLASSES = 6
WINDOW_NT, BATCH, STEPS = 60, 64, 8
WINDOW_TOKENS = 1 + WINDOW_NT // 6
MIXED_NT, MIXED_ROWS, MIXED_BATCH = (60, 1200), 96, 8  # lengths uniform in their logarithm
HEAD_EPOCHS = 10


def write_data(folder: Path, lengths_nt: Sequence[int]) -> Path:
    rng = random.Random(0)
    features = Features({"sequence": Value("string"), "label": ClassLabel(names=[str(i) for i in range(CLASSES)])})
    for split, lengths in {"train": lengths_nt, "validation": [WINDOW_NT] * 12, "test": [WINDOW_NT] * 12}.items():
        rows = {
            "sequence": ["".join(rng.choices("ACGT", k=length)) for length in lengths],
            "label": [i % CLASSES for i in range(len(lengths))],
        }
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder


def train_once(data: Path, output: Path, *flags: object) -> dict[str, float]:
    """The section `training` of metrics.json."""
    shutil.rmtree(output, ignore_errors=True)
    argv = ["--dataset_name", data, "--output_dir", output, "--use_cpu", *flags, "--baselines", "false"]
    argv += ["--save_strategy", "no", "--eval_strategy", "no", "--disable_tqdm", "true", "--report_to", "none"]
    with contextlib.redirect_stdout(io.StringIO()):
        train.main([*map(str, argv), *sys.argv[1:]])
    return json.loads((output / "checkpoint" / "metrics.json").read_text())["training"]


def gemm_limit(tokens: int) -> Callable[[], None]:
    """
    The matrix products of a training step and nothing else: y = x wᵀ, dx = dy w and dw = dyᵀ x of each linear layer.

    Every layer has its own weights; results go into memory that is allocated already.
    """
    model = NucleotideTransformerForMaskedLM(NucleotideTransformerConfig(**PRESETS["v2-50m"]))
    layers = [each for each in model.esm.encoder.layer.modules() if isinstance(each, torch.nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]  # each (out, in)
    sizes = {size for weight in weights for size in weight.shape}
    inputs, outputs, input_gradients = ({size: torch.ones(tokens, size) for size in sizes} for _ in range(3))
    gradients = {weight.shape: torch.empty_like(weight) for weight in weights}

    def step() -> None:
        for weight in weights:
            torch.mm(inputs[weight.shape[1]], weight.t(), out=outputs[weight.shape[0]])
        for weight in reversed(weights):
            size_out, size_in = weight.shape
            torch.mm(inputs[size_out], weight, out=input_gradients[size_in])
            torch.mm(inputs[size_out].t(), inputs[size_in], out=gradients[weight.shape])

    return step


def tokens_per_second(step: Callable[[], None], tokens: int) -> float:
    step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return STEPS * tokens / (time.perf_counter() - start)


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    os.environ.pop("OMP_NUM_THREADS", None)
    step = gemm_limit(BATCH * WINDOW_TOKENS)
    of_limit, grouping, head = [], [], []
    with tempfile.TemporaryDirectory() as name:
        windows, mixed = Path(name) / "windows", Path(name) / "mixed"
        write_data(windows, [WINDOW_NT] * BATCH * STEPS)
        rng, (shortest, longest) = random.Random(0), MIXED_NT
        write_data(mixed, [int(shortest * (longest / shortest) ** rng.random()) for _ in range(MIXED_ROWS)])
        full, other = Path(name) / "full", Path(name) / "other"
        scratch, batches = ["--from_scratch", "v2-50m"], ["--per_device_train_batch_size", BATCH]
        for _ in range(REPETITIONS):
            speed = train_once(windows, full, *scratch, *batches, "--max_steps", STEPS)["tokens_per_second"]
            of_limit.append(speed / tokens_per_second(step, BATCH * WINDOW_TOKENS))
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
    print(f"{WINDOW_NT}-nt windows, batches of {BATCH}, of the GEMM limit: {spread(of_limit)}")
    print(f"{shortest} to {longest} nt, batches of {MIXED_BATCH}, grouped by length over random: {spread(grouping)}")
    print(f"--tuning head, {HEAD_EPOCHS} epochs over {HEAD_EPOCHS} times one epoch: {spread(head)}")


if __name__ == "__main__":
    main()
