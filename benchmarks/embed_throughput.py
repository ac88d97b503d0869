"""Random sequences -> speed of embed.py, the engine and the pipeline beside the matmul roofline, in one run.

    python benchmarks/embed_throughput.py [--repetitions 2] [--inputs windows cds long] [--batch_tokens 768] [--trial]

Weights are random, in the shape of NT-v2-50m; float32, all cores. The roofline is the time of the matrix products
alone: each linear layer's, as fast as the machine computes them, and attention's, at the same rate. It is measured
before and after each run, for other processes slow all of them alike. Padding counts in the time only. embed.py runs
in a fresh process and tells its seconds itself, without the start-up (imports, loading).
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import logging

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.checkpoints.tokenizer import KMER, build_tokenizer, nt_vocabulary  # noqa: E402
from dnahub.hub_code import DNAEmbeddingPipeline, NucleotideTransformerConfig, NucleotideTransformerModel  # noqa: E402
from dnahub.inference.engine import Engine  # noqa: E402

ROOFLINE_TOKENS = 2816  # of the matrices: more make a product no faster per token
CDS_NT = (100, 12_000)
# Sequences of each input, for ten minutes with two repetitions on two cores; one by one takes a quarter of them.
NUMBERS = {"windows": 1024, "cds": 96, "long": 24}
DIFFERENCE = 1e-4  # the most between two ways to the same vector
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


class EmbedRun(NamedTuple):
    """Seconds of embed.py without its start-up, those of the start-up, and the peak of its resident memory."""

    seconds: float
    start_up: float
    peak_bytes: int


def run_embed(*flags: object) -> EmbedRun:
    """embed.py with these flags, in a fresh process."""
    command = [sys.executable, "-c", RUN_AND_MEASURE, sys.executable, ROOT / "embed.py", *flags]
    started = time.perf_counter()
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    whole = time.perf_counter() - started
    if result.returncode:
        raise SystemExit(result.stderr)
    tokens, speed, peak = (
        int(re.search(pattern, result.stdout, re.MULTILINE)[1].replace(",", ""))
        for pattern in (r"([\d,]+) tokens$", r"([\d,]+) tokens/s", r"^peak (\d+)")
    )
    return EmbedRun(tokens / speed, whole - tokens / speed, peak * RSS_UNIT)


def num_tokens(sequence: str) -> int:
    """Of A, C, G, T alone: <cls>, 6-mers, and the remaining letters."""
    return 1 + sum(divmod(len(sequence), KMER))


def seconds(work: Callable[[], object]) -> float:
    return timeit.timeit(work, number=1)


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
def one_by_one(model: NucleotideTransformerModel, tokenizer: Any, sequences: Sequence[str]) -> np.ndarray:
    """As in the usual examples: tokenizer, model, mean over the tokens."""
    each = [model(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0].mean(0) for sequence in sequences]
    return torch.stack(each).numpy()


def draw(name: str, number: int, rng: np.random.Generator) -> list[str]:
    """60-nt windows; CDS, whose lengths are uniform in their logarithm; or sequences of 300 tokens."""
    if name == "cds":
        shortest, longest = CDS_NT
        lengths = shortest * (longest / shortest) ** ((rng.permutation(number) + 0.5) / number)
        return [random_dna(int(num_nt), rng) for num_nt in lengths]
    return [random_dna({"windows": 60, "long": KMER * 299}[name], rng) for _ in range(number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--inputs", nargs="+", choices=NUMBERS, default=list(NUMBERS))
    parser.add_argument("--batch_tokens", type=int, help="most tokens of a batch of the engine")
    parser.add_argument("--trial", action="store_true", help="a tiny model and few sequences: does all of it run?")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    preset = "tiny" if args.trial else "v2-50m"
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {preset} with random weights")
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), preset, args)


def compare(folder: Path, preset: str, args: argparse.Namespace) -> None:
    checkpoint, fasta, output = (folder / name for name in ("checkpoint", "input.fa", "output.parquet"))
    write_checkpoint(checkpoint, **PRESETS[preset])
    model = NucleotideTransformerModel.from_pretrained(checkpoint).eval()
    tokenizer = build_tokenizer(nt_vocabulary(), model.config.max_tokens)
    pipeline = DNAEmbeddingPipeline(model, tokenizer, device="cpu")
    start_ups: list[float] = []

    def run_script(sequences: Sequence[str]) -> float:
        write_fasta(fasta, sequences)
        flags = ("--input", fasta, "--output", output, "--device", "cpu", "--overwrite")
        run = run_embed("--model_name_or_path", checkpoint, *flags)
        start_ups.append(run.start_up)
        return run.seconds

    def by_engine(backend: str) -> Callable[[Sequence[str]], np.ndarray]:
        engine = Engine(model, tokenizer, backend, args.batch_tokens)
        return lambda sequences: engine.compute(engine.plan(sequences, long="mean")).vectors

    ways = {f"engine, {backend}": by_engine(backend) for backend in ("fused", "torch")}
    ways |= {"pipeline": pipeline.encode, "one by one": lambda sequences: one_by_one(model, tokenizer, sequences)}
    roofline, rng = Roofline(model), np.random.default_rng(0)
    for name in args.inputs:
        sequences = draw(name, NUMBERS[name] // (16 if args.trial else 1) + 4, rng)
        few = sorted(sequences, key=len)[: 1 + len(sequences) // 4] if name == "cds" else sequences[::4]
        vectors = [embed(few) for embed in ways.values()]  # and warm
        if not max(np.abs(each - vectors[0]).max() for each in vectors) <= DIFFERENCE:
            raise SystemExit("Two ways give different vectors: nothing to compare.")
        taken = {"embed.py": run_script} | {
            way: lambda sequences, embed=embed: seconds(lambda: embed(sequences)) for way, embed in ways.items()
        }
        speeds, shares = {way: [] for way in taken}, {way: [] for way in taken}
        for _ in range(args.repetitions):
            for way, take in taken.items():
                given = sequences[::4] if way == "one by one" else sequences
                before, took, after = roofline.seconds_for(given), take(given), roofline.seconds_for(given)
                speeds[way].append(sum(map(num_tokens, given)) / took)
                shares[way].append((before + after) / 2 / took)
        print(f"\n{name}: {len(sequences)} sequences of {min(map(len, sequences))} to {max(map(len, sequences))} nt")
        for way in taken:
            print(
                f"  {way:14} {spread(speeds[way], '.0f'):>24} tokens/s   {spread(shares[way], '.2f')} of the roofline"
            )
    print(f"\nstart-up of embed.py: {spread(start_ups, '.1f')} s")


if __name__ == "__main__":
    main()
