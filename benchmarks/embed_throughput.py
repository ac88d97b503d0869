"""Random sequences -> speed of embed.py, the engine and the pipeline beside the matmul roofline, in one run.

    python benchmarks/embed_throughput.py [--trial]

Weights are random, in the shape of NT-v2-50m; float32, all cores. The roofline is the time of the matrix products
alone: each linear layer's, as fast as the machine computes them, and attention's, at the same rate. It is measured
before each run, for other processes slow all of them alike. Padding counts in the time only. embed.py runs in a fresh
process and prints its seconds itself, without the start-up (imports, loading).
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import logging

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary  # noqa: E402
from dnahub.hub_code import DNAEmbeddingPipeline, NucleotideTransformerConfig, NucleotideTransformerModel  # noqa: E402
from dnahub.inference.engine import Engine  # noqa: E402

ROOFLINE_TOKENS = 2816  # of the matrices: more make a product no faster per token
# Lengths of the sequences of each input, for ten minutes on two cores; one by one takes a quarter of them.
LENGTHS_NT = {"windows": [60] * 1024, "cds": np.geomspace(100, 12_000, 96).astype(int), "long": [6 * 299] * 24}
REPETITIONS = 2
LINE_NT = 60  # of a line in the files of Ensembl
LETTERS = np.frombuffer(b"ACGT", np.uint8)
# Its child inherits the peak memory of this small process, not that of the benchmark.
RUN_AND_MEASURE = """
import resource, subprocess, sys
result = subprocess.run(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(result.returncode)
"""
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss


def random_dna(num_nt: int, rng: np.random.Generator) -> str:
    return LETTERS[rng.integers(0, 4, num_nt, dtype=np.uint8)].tobytes().decode("ascii")


def write_fasta(path: Path, sequences: Iterable[str]) -> None:
    with open(path, "w", encoding="ascii") as file:
        for number, sequence in enumerate(sequences):
            file.write(f">s{number}\n")
            file.writelines(f"{sequence[start : start + LINE_NT]}\n" for start in range(0, len(sequence), LINE_NT))


def write_checkpoint(folder: Path, **config_fields: Any) -> None:
    """An encoder with random weights and its tokenizer; the fields are those of the configuration."""
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(**config_fields)
    NucleotideTransformerModel(config).save_pretrained(folder)
    build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(folder)


def run_embed(checkpoint: Path, fasta: Path, output: Path) -> tuple[float, int]:
    """Seconds of embed.py in a fresh process, without its start-up, and the peak of its resident memory in bytes."""
    command = [sys.executable, "-c", RUN_AND_MEASURE, sys.executable, ROOT / "embed.py", "--model_name_or_path"]
    command += [checkpoint, "--input", fasta, "--output", output, "--device", "cpu", "--overwrite"]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    tokens, speed, peak = (
        int(re.search(pattern, result.stdout, re.MULTILINE)[1].replace(",", ""))
        for pattern in (r"([\d,]+) tokens$", r"([\d,]+) tokens/s", r"^peak (\d+)")
    )
    return tokens / speed, peak * RSS_UNIT


def num_tokens(sequence: str) -> int:
    """Of A, C, G, T alone: <cls>, 6-mers, and the remaining letters."""
    return 1 + sum(divmod(len(sequence), 6))


def seconds(work: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


class Roofline:
    """The matrix products of the forward pass and nothing else, into memory that is allocated already."""

    def __init__(self, model: NucleotideTransformerModel):
        linears = [module for module in model.encoder.modules() if isinstance(module, torch.nn.Linear)]
        self.weights = [linear.weight.detach() for linear in linears]  # each (out, in)
        sizes = {size for weight in self.weights for size in weight.shape}
        self.inputs, self.outputs = ({size: torch.ones(ROOFLINE_TOKENS, size) for size in sizes} for _ in range(2))
        self.linear_flops = 2 * sum(weight.numel() for weight in self.weights)  # per token
        # Scores, and the mean of the values by them; per token, for each token of its sequence.
        self.attention_flops = 4 * model.config.hidden_size * model.config.num_hidden_layers

    def seconds_for(self, sequences: Sequence[str]) -> float:
        """How long the products of these sequences take now."""
        flops = sum(n * (self.linear_flops + self.attention_flops * n) for n in map(num_tokens, sequences))
        return flops * seconds(self._multiply) / (ROOFLINE_TOKENS * self.linear_flops)

    def _multiply(self) -> None:
        for weight in self.weights:
            size_out, size_in = weight.shape
            torch.mm(self.inputs[size_in], weight.t(), out=self.outputs[size_out])


@torch.inference_mode()
def one_by_one(model: NucleotideTransformerModel, tokenizer: Any, sequences: Sequence[str]) -> list[torch.Tensor]:
    """As in the usual examples: tokenizer, model, mean over the tokens."""
    return [model(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0].mean(0) for sequence in sequences]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trial", action="store_true", help="a tiny model and few sequences: does all of it run?")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    preset, step = ("tiny", 16) if args.trial else ("v2-50m", 1)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {preset} with random weights")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, fasta, output = (Path(folder) / each for each in ("checkpoint", "input.fa", "output.parquet"))
        write_checkpoint(checkpoint, **PRESETS[preset])
        model = NucleotideTransformerModel.from_pretrained(checkpoint).eval()
        tokenizer = build_tokenizer(nt_vocabulary(), model.config.max_tokens)

        def seconds_of_script(sequences: Sequence[str]) -> float:
            write_fasta(fasta, sequences)
            return run_embed(checkpoint, fasta, output)[0]

        fused, plain = (Engine(model, tokenizer, backend) for backend in ("fused", "torch"))
        ways = {
            "engine, fused": lambda sequences: fused.compute(fused.plan(sequences, long="mean")),
            "engine, torch": lambda sequences: plain.compute(plain.plan(sequences, long="mean")),
            "pipeline": DNAEmbeddingPipeline(model, tokenizer, device="cpu").encode,
            "one by one": partial(one_by_one, model, tokenizer),
        }
        taken = {"embed.py": seconds_of_script} | {way: partial(seconds, embed) for way, embed in ways.items()}
        roofline, rng = Roofline(model), np.random.default_rng(0)
        for name, lengths_nt in LENGTHS_NT.items():
            sequences = [random_dna(num_nt, rng) for num_nt in rng.permutation(lengths_nt[::step])]
            for embed in ways.values():
                embed(sequences[:2])  # to warm it up
            print(f"\n{name}: {len(sequences)} sequences")
            for way, seconds_of in taken.items():
                given = sequences[::4] if way == "one by one" else sequences
                pairs = [(roofline.seconds_for(given), seconds_of(given)) for _ in range(REPETITIONS)]
                speeds = spread([sum(map(num_tokens, given)) / took for _, took in pairs], ".0f")
                shares = spread([limit / took for limit, took in pairs], ".2f")
                print(f"  {way:14} {speeds:>24} tokens/s   {shares} of the roofline")


if __name__ == "__main__":
    main()
