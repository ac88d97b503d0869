"""Random sequences -> training speed beside the GEMM limit and beside padding to the maximum, in one run.

    python benchmarks/train_throughput.py [repetitions] [flags of train.py, as --torch_compile true]

Weights are random, in the shape of NT-v2-50m; six classes, all weights trained, float32, all cores. Everything is
timed in turn, step by step or repetition by repetition, for other processes slow all of it alike; a ratio is the
median of ratios between neighbours. Tokens are those of the sequences: padding counts in the time only.
"""

import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers
from datasets import Dataset, DatasetDict, disable_progress_bars
from transformers import PrinterCallback, TrainerCallback

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary  # noqa: E402
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForSequenceClassification  # noqa: E402
from dnahub.machine.processes import share_cores  # noqa: E402
from dnahub.tasks.collators import LabelCollator  # noqa: E402
from dnahub.training.arguments import parse_arguments  # noqa: E402
from dnahub.training.tokens import num_tokens, tokenize  # noqa: E402
from dnahub.training.trainer import SequenceTrainer  # noqa: E402

CLASSES = 6
WINDOW_NT, BATCH, STEPS = 60, 64, 6  # steps are those timed in a repetition, after one to warm up
# A batch of 64 padded to 2048 tokens takes minutes and tens of GB; two rows keep both cores as busy as 64 do.
PADDED_BATCH = 2
# Lengths of one draw, uniform in their logarithm. The batches are small to keep the run short, and the more batches
# there are, the better their lengths can be grouped.
MIXED_NT, MIXED_ROWS, MIXED_BATCH = (60, 1200), 96, 8

CONFIG = NucleotideTransformerConfig(
    **PRESETS["v2-50m"], num_labels=CLASSES, problem_type="single_label_classification"
)
TOKENIZER = build_tokenizer(nt_vocabulary(), CONFIG.max_tokens)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def build_model() -> NucleotideTransformerForSequenceClassification:
    torch.manual_seed(0)
    return NucleotideTransformerForSequenceClassification(CONFIG)


def random_rows(lengths_nt: Sequence[int]) -> Dataset:
    rng = random.Random(0)
    sequences = ["".join(rng.choices("ACGT", k=length)) for length in lengths_nt]
    rows = Dataset.from_dict({"sequence": sequences, "label": [i % CLASSES for i in range(len(sequences))]})
    return tokenize(DatasetDict(train=rows), TOKENIZER, CONFIG.max_tokens)["train"]


class GemmLimit:
    """
    The matrix products of a training step and nothing else: of each linear layer, y = x wᵀ, dx = dy w and dw = dyᵀ x.

    Weights are those of a model, each layer its own; what comes out goes into memory that is there already.
    """

    def __init__(self, tokens: int):
        layers = build_model().esm.encoder.layer
        self.weights = [
            module.weight.detach() for module in layers.modules() if isinstance(module, torch.nn.Linear)
        ]  # each (out, in)
        sizes = {size for weight in self.weights for size in weight.shape}
        self.inputs, self.outputs = ({size: torch.ones(tokens, size) for size in sizes} for _ in range(2))
        self.gradients = {weight.shape: torch.empty_like(weight) for weight in self.weights}
        self.input_gradients = {size: torch.empty(tokens, size) for size in sizes}

    def __call__(self) -> None:
        for weight in self.weights:
            size_out, size_in = weight.shape
            torch.mm(self.inputs[size_in], weight.t(), out=self.outputs[size_out])
        for weight in reversed(self.weights):
            size_out, size_in = weight.shape
            torch.mm(self.inputs[size_out], weight, out=self.input_gradients[size_in])
            torch.mm(self.inputs[size_out].t(), self.inputs[size_in], out=self.gradients[weight.shape])


class PaddedLoop:
    """A step as in a plain loop: each row padded to the model's maximum, torch's AdamW as it comes."""

    def __init__(self, rows: Dataset):
        self.model = build_model().train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)
        features = [{"input_ids": row["input_ids"]} for row in rows.select(range(PADDED_BATCH))]
        self.batch = TOKENIZER.pad(features, padding="max_length", max_length=CONFIG.max_tokens, return_tensors="pt")
        self.batch["labels"] = torch.tensor(rows[:PADDED_BATCH]["label"])
        self.tokens = sum(rows[:PADDED_BATCH]["num_tokens"])

    def __call__(self) -> None:
        self.model(**self.batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class StepTimer(TrainerCallback):
    """Seconds of each whole step, loading of its batch included; `between` is run and timed in between."""

    def __init__(self, between: Callable[[], object]):
        self.between = between
        self.steps: list[float] = []
        self.others: list[float] = []

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.clock = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.steps.append(time.perf_counter() - self.clock)
        self.others.append(seconds(self.between))
        self.clock = time.perf_counter()


def train(rows: Dataset, flags: Sequence[object], between: Callable[[], object] = lambda: None) -> StepTimer:
    """Train by the Trainer, the arguments, the rows and the collator of train.py."""
    with tempfile.TemporaryDirectory() as folder:
        argv = ["--dataset_name", "none", "--from_scratch", "v2-50m", "--output_dir", folder, "--learning_rate", 1e-5]
        argv += ["--use_cpu", "true", "--bf16", "false", "--dataloader_pin_memory", "false", "--report_to", "none"]
        argv += ["--save_strategy", "no", "--eval_strategy", "no", "--disable_tqdm", "true", *flags]
        args = parse_arguments([str(each) for each in argv])[2]
        timer = StepTimer(between)
        trainer = SequenceTrainer(
            model=build_model(),
            args=args,
            train_dataset=rows,
            data_collator=LabelCollator(TOKENIZER),
            processing_class=TOKENIZER,
            callbacks=[timer],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    gc.collect()  # the Trainer's cycles hold three times the weights
    return timer


def spread(values: Sequence[float], form: str = ".2f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    given = sys.argv[1:]
    repetitions = int(given.pop(0)) if given and given[0].isdecimal() else 3
    transformers.logging.set_verbosity_error()
    disable_progress_bars()
    share_cores(1)

    windows = random_rows([WINDOW_NT] * BATCH * (STEPS + 1))
    rng = random.Random(0)
    shortest, longest = MIXED_NT
    mixed = random_rows([int(shortest * (longest / shortest) ** rng.random()) for _ in range(MIXED_ROWS)])
    step_tokens, mixed_tokens = BATCH * windows[0]["num_tokens"], int(num_tokens(mixed).sum())
    gemm_limit, padded_loop = GemmLimit(step_tokens), PaddedLoop(windows)
    gemm_limit()

    steps, limits, padded, shuffled, grouped = [], [], [], [], []
    for _ in range(repetitions):
        flags = ["--per_device_train_batch_size", BATCH, "--max_steps", STEPS + 1, *given]
        timer = train(windows, flags, gemm_limit)
        steps += timer.steps[1:]
        limits += timer.others[:-1]  # each just before its step
        padded.append(seconds(padded_loop))
        flags = ["--per_device_train_batch_size", MIXED_BATCH, "--num_train_epochs", 1, *given]
        flags += ["--length_column_name", "num_tokens", "--train_sampling_strategy"]
        shuffled.append(sum(train(mixed, [*flags, "random"]).steps))
        grouped.append(sum(train(mixed, [*flags, "group_by_length"]).steps))

    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; median (min to max), {repetitions} repetitions"
    )
    print(f"{WINDOW_NT}-nt windows, {windows[0]['num_tokens']} tokens each, batches of {BATCH}; tokens/s:")
    print(f"  GEMM limit:                {spread([step_tokens / each for each in limits], '.0f')}")
    print(f"  train.py:                  {spread([step_tokens / each for each in steps], '.0f')}")
    print(f"  of the GEMM limit:         {spread([a / b for a, b in zip(limits, steps, strict=True)])}")
    print(
        f"  padded to {CONFIG.max_tokens} tokens:     {spread([padded_loop.tokens / each for each in padded], '.2f')}"
        f", in batches of {PADDED_BATCH}, for {BATCH} such rows would take minutes"
    )
    factor = statistics.median(padded) / padded_loop.tokens * step_tokens / statistics.median(steps)
    print(f"  train.py over that:        {factor:.0f} times")
    print(f"{shortest} to {longest} nt, {mixed_tokens / MIXED_ROWS:.0f} tokens on average, batches of {MIXED_BATCH}:")
    print(f"  random, padded to longest: {spread([mixed_tokens / each for each in shuffled], '.0f')}")
    print(f"  grouped by length:         {spread([mixed_tokens / each for each in grouped], '.0f')}")
    print(f"  grouped over random:       {spread([a / b for a, b in zip(shuffled, grouped, strict=True)])} times")


if __name__ == "__main__":
    main()
