"""Random sequences -> speed of embedding beside the machine's limit and beside the usual ways, in one run.

    python benchmarks/embed_throughput.py [repetitions] [--only windows cds ...] [--cds 96] [--trial]
    NT_CDS_DIR=folder python benchmarks/embed_throughput.py      also with the lengths of its human CDS

Weights are random, in the shape of NT-v2-50m; float32, all cores. The limit is the time of the matrix products alone:
each linear layer's, as fast as the machine makes them, and attention's, at the same rate. It is measured before and
after everything else, for other processes slow all of it alike; a share of the limit is a quotient of neighbours,
another ratio one of two times of one repetition. Tokens and nt are those of the sequences: padding counts in the time
only. embed.py runs in a fresh process, from a FASTA file to a Parquet file, and says its seconds itself; its start-up
(imports, loading) stands apart. sentence-transformers makes batches of 32 of all sequences sorted by length: of few
CDS it pads much, of many little, so that the padding is told beside its speed, and --cds takes more of them.
"""

import argparse
import gzip
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embed_inputs import random_dna, write_checkpoint, write_fasta  # noqa: E402
from benchmarks.embed_process import run_embed  # noqa: E402
from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.checkpoints.tokenizer import KMER, build_tokenizer, nt_vocabulary  # noqa: E402
from dnahub.hub_code import DNAEmbeddingPipeline, NucleotideTransformerConfig, NucleotideTransformerModel  # noqa: E402
from dnahub.hub_code.pipeline_dna_embedding import BUFFER_NT  # noqa: E402
from dnahub.inference.encoding import encode  # noqa: E402
from dnahub.inference.engine import Engine  # noqa: E402

SHAPE, TRIAL_SHAPE = "v2-50m", "tiny"
LIMIT_TOKENS = 2816  # of the matrices: no more makes a product any faster per token
WINDOW_NT = 60
CDS_NT = (100, 12_000)
LONG_NT = KMER * 299  # 300 tokens with <cls>
PADDED_BATCH, SENTENCE_TRANSFORMERS_BATCH = 8, 32  # the second is its default
BATCH_TOKENS = (192, 384, 768, 1536, 3072)
DIFFERENCE = 1e-4  # the most between two ways to the same vector

# Sequences of each part, chosen for ten minutes with two repetitions on two cores. One forward pass for each window is
# so slow that fewer have to do.
EMBEDDED_WINDOWS, WINDOWS, SINGLE_WINDOWS = 4096, 1024, 256
CDS, LONG, TOKENISED_NT = 96, 24, 1_200_000
UNSORTED_CDS = 32  # for the ways whose batches do not depend on how many there are
LATENCY_CALLS = 10  # a repetition
TOKENISING_CALLS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float], form: str = ".2f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def num_tokens(sequence: str) -> int:
    """Of A, C, G, T alone: <cls>, 6-mers, and what is left over."""
    return 1 + sum(divmod(len(sequence), KMER))


class Limit:
    """The matrix products of the forward pass and nothing else, out into memory that is there already."""

    def __init__(self, model: NucleotideTransformerModel):
        linears = [module for module in model.encoder.modules() if isinstance(module, torch.nn.Linear)]
        self.weights = [linear.weight.detach() for linear in linears]  # each (out, in)
        sizes = {size for weight in self.weights for size in weight.shape}
        self.inputs, self.outputs = ({size: torch.ones(LIMIT_TOKENS, size) for size in sizes} for _ in range(2))
        self.linear_flops = 2 * sum(weight.numel() for weight in self.weights)  # a token
        # Scores, and the mean of the values by them; a token, for each token of its sequence.
        self.attention_flops = 4 * model.config.hidden_size * model.config.num_hidden_layers

    def flops(self, sequences: Sequence[str]) -> float:
        lengths = map(num_tokens, sequences)
        return sum(tokens * (self.linear_flops + self.attention_flops * tokens) for tokens in lengths)

    def flops_per_second(self) -> float:
        return LIMIT_TOKENS * self.linear_flops / seconds(self._multiply)

    def _multiply(self) -> None:
        for weight in self.weights:
            size_out, size_in = weight.shape
            torch.mm(self.inputs[size_in], weight.t(), out=self.outputs[size_out])


@dataclass(frozen=True)
class Way:
    """
    One way to embed.

    Args:
        name: What is printed.
        sequences: Those that it embeds.
        embed: Returns the seconds that count.
    """

    name: str
    sequences: Sequence[str]
    embed: Callable[[Sequence[str]], float]


class Turns:
    """
    All ways in turn, some times over, the limit before and after each.

    Args:
        amount: What of a sequence is counted in the speeds: its tokens or nt.
    """

    def __init__(self, limit: Limit, ways: Sequence[Way], amount: Callable[[str], int], repetitions: int):
        self.limits: list[float] = []  # of the first way's sequences, as fast as the machine was each time
        self.speeds: dict[str, list[float]] = {way.name: [] for way in ways}
        self.shares: dict[str, list[float]] = {way.name: [] for way in ways}
        first = ways[0].sequences
        at_limit = sum(map(amount, first)) / limit.flops(first)
        for _ in range(repetitions):
            before = limit.flops_per_second()
            for way in ways:
                took = way.embed(way.sequences)
                after = limit.flops_per_second()
                self.speeds[way.name].append(sum(map(amount, way.sequences)) / took)
                flops_per_second = 2 / (1 / before + 1 / after)  # of both together
                self.shares[way.name].append(limit.flops(way.sequences) / flops_per_second / took)
                self.limits.append(at_limit * flops_per_second)
                before = after

    def show(self, notes: dict[str, str], compared: str | None = None) -> None:
        """
        Args:
            notes: What stands behind a way's numbers, by its name.
            compared: The way that is divided by all others.
        """
        print(f"  {'limit':28} {spread(self.limits, '.0f'):>24}")
        for name, speeds in self.speeds.items():
            share = f"of the limit {spread(self.shares[name])}"
            print(f"  {name:28} {spread(speeds, '.0f'):>24}   {share}   {notes.get(name, '')}".rstrip())
        for name, speeds in self.speeds.items() if compared else ():
            if name != compared:
                print(f"  {compared} over {name}: {spread(quotients(self.speeds[compared], speeds))} times")


class OneByOne:
    """As in the usual examples: tokenizer, model, mean over the tokens; so many sequences a forward pass."""

    def __init__(self, model: NucleotideTransformerModel, tokenizer, batch_size: int):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size

    @torch.inference_mode()
    def __call__(self, sequences: Sequence[str]) -> np.ndarray:
        vectors = []
        for start in range(0, len(sequences), self.batch_size):
            batch = self.tokenizer(sequences[start : start + self.batch_size], padding=True, return_tensors="pt")
            hidden_states_BTH = self.model(**batch).last_hidden_state
            mask_BT1 = batch["attention_mask"][..., None]
            vectors.append((hidden_states_BTH * mask_BT1).sum(dim=1) / mask_BT1.sum(dim=1))
        return torch.cat(vectors).numpy()


def sentence_transformer(checkpoint: Path) -> Callable[[Sequence[str]], np.ndarray] | None:
    """Its `encode`, as it comes; None where the package, which is no requirement, is not installed."""
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError:
        return None
    # It loads by the Auto classes, which know of ours by this, and then run no code of the folder.
    transformers.AutoConfig.register(NucleotideTransformerConfig.model_type, NucleotideTransformerConfig)
    transformers.AutoModel.register(NucleotideTransformerConfig, NucleotideTransformerModel)
    encoder = Transformer(str(checkpoint))
    model = SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension(), "mean")], device="cpu")
    return lambda sequences: model.encode(list(sequences), show_progress_bar=False)


class Machine:
    """The model and the ways to run it, and the size of the run."""

    def __init__(self, folder: Path, is_trial: bool):
        self.folder, self.checkpoint = folder, folder / "checkpoint"
        self.scale = 1 / 16 if is_trial else 1
        self.preset = TRIAL_SHAPE if is_trial else SHAPE
        write_checkpoint(self.checkpoint, **PRESETS[self.preset])
        self.model = NucleotideTransformerModel.from_pretrained(self.checkpoint).eval()
        self.tokenizer = build_tokenizer(nt_vocabulary(), self.model.config.max_tokens)
        self.limit = Limit(self.model)
        self.sentence_transformer = sentence_transformer(self.checkpoint)
        self.one_by_one = OneByOne(self.model, self.tokenizer, 1)
        self.in_file_order = OneByOne(self.model, self.tokenizer, PADDED_BATCH)
        self.pipeline = DNAEmbeddingPipeline(self.model, self.tokenizer, device="cpu")
        self.engine = Engine(self.model, self.tokenizer)
        self.rng = np.random.default_rng(0)
        self.limit.flops_per_second()

    def scaled(self, number: int) -> int:
        return max(2, round(number * self.scale))

    def dna(self, num_nt: int, number: int) -> list[str]:
        return [random_dna(num_nt, self.rng) for _ in range(number)]

    def embed_file(self, sequences: Sequence[str], start_ups: list[float]) -> float:
        """The seconds that embed.py says; those of its start-up are added to a list."""
        path, output = self.folder / "input.fa", self.folder / "output.parquet"
        write_fasta(path, sequences)
        run = run_embed(
            "--model_name_or_path", self.checkpoint, "--input", path, "--output", output, "--device", "cpu"
        )
        output.unlink()
        if run.num_tokens != sum(map(num_tokens, sequences)):
            raise SystemExit(f"embed.py counts {run.num_tokens} tokens, not {sum(map(num_tokens, sequences))}.")
        start_ups.append(run.start_up)
        return run.seconds

    def planned_padding(self, sequences: Sequence[str]) -> str:
        """How much of what the model sees is padding; computes nothing."""
        plan = self.engine.plan(sequences, long="mean")
        lengths = [plan.pieces.lengths[batch].tolist() for batch in plan.batches]
        return padding(lengths)


def padding(batches: Sequence[Sequence[int]]) -> str:
    """
    Args:
        batches: The tokens of the sequences of each.
    """
    seen = sum(max(batch) * len(batch) for batch in batches)
    return f"{100 * (1 - sum(map(sum, batches)) / seen):.1f} % padding"


def padding_in_order(sequences: Sequence[str], batch_size: int) -> str:
    lengths = list(map(num_tokens, sequences))
    return padding([lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size)])


def timed(embed: Callable[[Sequence[str]], object]) -> Callable[[Sequence[str]], float]:
    return lambda sequences: seconds(lambda: embed(sequences))


def check_same(vectors: dict[str, np.ndarray]) -> None:
    first, *others = vectors
    for name in others:
        difference = np.abs(vectors[name] - vectors[first]).max()
        if not difference <= DIFFERENCE:
            raise SystemExit(f"{name} and {first} differ by {difference:.1e}: nothing to compare.")


def show_windows(machine: Machine, repetitions: int) -> None:
    windows = machine.dna(WINDOW_NT, machine.scaled(EMBEDDED_WINDOWS))
    few, fewer = windows[: machine.scaled(WINDOWS)], windows[: machine.scaled(SINGLE_WINDOWS)]
    start_ups: list[float] = []
    ways = [
        Way("embed.py", windows, lambda sequences: machine.embed_file(sequences, start_ups)),
        Way("encode", few, timed(machine.pipeline.encode)),
        Way("one by one", fewer, timed(machine.one_by_one)),
    ]
    if machine.sentence_transformer:
        ways.insert(2, Way("sentence-transformers", few, timed(machine.sentence_transformer)))
    vectors = {"encode": machine.pipeline.encode(fewer), "one by one": machine.one_by_one(fewer)}
    if machine.sentence_transformer:
        vectors["sentence-transformers"] = machine.sentence_transformer(fewer)
    check_same(vectors)  # and warm
    turns = Turns(machine.limit, ways, num_tokens, repetitions)
    print(
        f"\n{WINDOW_NT}-nt windows, {num_tokens(windows[0])} tokens each, {machine.planned_padding(windows)}; "
        "tokens/s:"
    )
    turns.show({"embed.py": f"and start-up {spread(start_ups, '.1f')} s"}, compared="embed.py")


def show_cds(machine: Machine, repetitions: int, number: int) -> None:
    shortest, longest = CDS_NT
    show_lengths(
        machine,
        repetitions,
        number,
        f"{shortest} to {longest} nt, uniform in the logarithm",
        lambda quantiles: shortest * (longest / shortest) ** quantiles,
    )
    folder = os.environ.get("NT_CDS_DIR")
    if not folder:
        print("\nHuman CDS: NT_CDS_DIR is not set, left out")
        return
    paths = sorted(Path(folder).glob("Homo_sapiens*.fa*"))
    if not paths:
        raise SystemExit(f"NT_CDS_DIR={folder} holds no Homo_sapiens*.fa or .fa.gz.")
    # What is longer, sentence-transformers cuts off.
    lengths_nt = [num_nt for num_nt in read_lengths(paths[0]) if shortest <= num_nt <= longest]
    title = f"Lengths as of the {len(lengths_nt)} human CDS of {shortest} to {longest} nt"
    show_lengths(machine, repetitions, number, title, lambda quantiles: np.quantile(lengths_nt, quantiles))


def read_lengths(path: Path) -> list[int]:
    """The nt of each record of a FASTA file."""
    lengths_nt: list[int] = []
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        for line in file:
            if line.startswith(">"):
                lengths_nt.append(0)
            else:
                lengths_nt[-1] += len(line.strip())
    return lengths_nt


def show_lengths(
    machine: Machine, repetitions: int, number: int, title: str, quantile: Callable[[np.ndarray], np.ndarray]
) -> None:
    def draw(number: int) -> list[str]:
        """As evenly out of all lengths as can be, in any order."""
        lengths_nt = quantile((np.arange(number) + 0.5) / number).astype(int)
        return [random_dna(int(num_nt), machine.rng) for num_nt in machine.rng.permutation(lengths_nt)]

    sequences, few = draw(number), draw(min(number, machine.scaled(UNSORTED_CDS)))
    mean_nt = statistics.mean(map(len, sequences))
    start_ups: list[float] = []
    in_file_order = f"padded, {PADDED_BATCH} in file order"
    ways = [
        Way("embed.py", sequences, lambda sequences: machine.embed_file(sequences, start_ups)),
        Way("encode", sequences, timed(machine.pipeline.encode)),
        Way("one by one", few, timed(machine.one_by_one)),
        Way(in_file_order, few, timed(machine.in_file_order)),
    ]
    shortest = sorted(few, key=len)[:PADDED_BATCH]
    vectors = {"encode": machine.pipeline.encode(shortest), in_file_order: machine.in_file_order(shortest)}
    notes = {in_file_order: padding_in_order(few, PADDED_BATCH)}
    if machine.sentence_transformer:
        ways.insert(2, Way("sentence-transformers", sequences, timed(machine.sentence_transformer)))
        vectors["sentence-transformers"] = machine.sentence_transformer(shortest)
        by_length = sorted(sequences, key=len, reverse=True)
        notes["sentence-transformers"] = padding_in_order(by_length, SENTENCE_TRANSFORMERS_BATCH)
    check_same(vectors)  # and warm
    turns = Turns(machine.limit, ways, len, repetitions)
    notes["encode"] = machine.planned_padding(sequences)
    notes["embed.py"] = f"{notes['encode']}, and start-up {spread(start_ups, '.1f')} s"
    print(f"\n{title}; {len(sequences)} sequences, {mean_nt:.0f} nt on average; nt/s:")
    turns.show(notes, compared="encode")
    buffer = draw(int(BUFFER_NT / mean_nt))
    print(f"  a full buffer of {len(buffer)} such sequences: {machine.planned_padding(buffer)}")


def embedder(engine: Engine) -> Callable[[Sequence[str]], np.ndarray]:
    return lambda sequences: engine.compute(engine.plan(sequences, long="mean")).vectors


def show_backends(machine: Machine, repetitions: int) -> None:
    """The engine by each backend, and the pipeline, which runs the model's own forward."""
    windows = machine.dna(WINDOW_NT, machine.scaled(WINDOWS))
    long = machine.dna(LONG_NT, machine.scaled(LONG))
    embed = {name: embedder(Engine(machine.model, machine.tokenizer, name)) for name in ("torch", "fused")}
    embed["pipeline"] = machine.pipeline.encode
    few = [*windows[:32], *long[:3], long[0][:-KMER]]  # both shapes, and one with padding
    check_same({name: each(few) for name, each in embed.items()})
    for title, sequences in ((f"{WINDOW_NT}-nt windows", windows), (f"{num_tokens(long[0])}-token sequences", long)):
        ways = [Way(name, sequences, timed(each)) for name, each in embed.items()]
        turns = Turns(machine.limit, ways, num_tokens, repetitions)
        print(f"\nBackends, {title}, {len(sequences)} of them; tokens/s:")
        turns.show({}, compared=machine.engine.backend)
    for sequence in (windows[0], long[0]):
        show_latency(embed, sequence, repetitions)


def show_latency(embed: dict[str, Callable], sequence: str, repetitions: int) -> None:
    latencies: dict[str, list[float]] = {name: [] for name in embed}
    for _ in range(LATENCY_CALLS * repetitions):
        for name, each in embed.items():
            latencies[name].append(1000 * seconds(lambda: each([sequence])))  # noqa: B023
    print(f"\nOne sequence alone, {num_tokens(sequence)} tokens; ms:")
    for name, each in latencies.items():
        print(f"  {name:28} {spread(each, '.1f'):>24}")


def show_batches(machine: Machine, repetitions: int) -> None:
    ways = []
    for batch_tokens in BATCH_TOKENS:
        size = batch_tokens // (1 + WINDOW_NT // KMER)
        # Whole batches, as many for every core.
        number = size * torch.get_num_threads()
        number *= max(1, round(machine.scaled(WINDOWS) / number))

        def embed(sequences: Sequence[str], batch_tokens: int = batch_tokens) -> float:
            engine = Engine(machine.model, machine.tokenizer, batch_tokens=batch_tokens)
            return seconds(lambda: embedder(engine)(sequences))

        ways.append(Way(f"{batch_tokens} ({size} windows)", machine.dna(WINDOW_NT, number), embed))
    turns = Turns(machine.limit, ways, num_tokens, repetitions)
    print(f"\nTokens of a batch, {WINDOW_NT}-nt windows, {machine.engine.backend}; tokens/s:")
    turns.show({})


def show_tokenising(machine: Machine, repetitions: int) -> None:
    tokenizer = machine.tokenizer
    first_kmer_id = tokenizer.convert_tokens_to_ids("A" * KMER)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # of the Rust tokenizer: one core for both
    for num_nt in (WINDOW_NT, CDS_NT[1]):
        sequences = machine.dna(num_nt, machine.scaled(TOKENISED_NT // num_nt))
        ids = tokenizer(sequences).input_ids
        if encode(sequences, first_kmer_id).ids.tolist() != [each for row in ids for each in row[1:]]:
            raise SystemExit(f"encode and the Rust tokenizer disagree on sequences of {num_nt} nt.")
        works = {
            "encode": lambda: encode(sequences, first_kmer_id),  # noqa: B023
            "plan": lambda: machine.engine.plan(sequences),  # noqa: B023
            "Rust tokenizer": lambda: tokenizer(sequences),  # noqa: B023
        }
        speeds: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(TOKENISING_CALLS * repetitions):
            for name, work in works.items():
                speeds[name].append(num_nt * len(sequences) / 1e6 / seconds(work))
        print(f"\nTokenising {len(sequences)} x {num_nt} nt on one core; Mnt/s:")
        for name, each in speeds.items():
            print(f"  {name:28} {spread(each, '.1f'):>24}")
        print(f"  encode over Rust tokenizer: {spread(quotients(speeds['encode'], speeds['Rust tokenizer']), '.0f')}")


def main() -> None:
    parts = ("windows", "cds", "backends", "batches", "tokenising")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repetitions", nargs="?", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to run; all by default")
    parser.add_argument("--cds", type=int, default=CDS, help="CDS to embed in a turn")
    parser.add_argument("--trial", action="store_true", help="a tiny model and few sequences: does all of it run?")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        machine = Machine(Path(name), args.trial)
        print(
            f"{torch.get_num_threads()} threads, torch {torch.__version__}, {machine.preset} with random weights, "
            f"backend {machine.engine.backend}; median (min to max), {args.repetitions} repetitions"
        )
        if machine.sentence_transformer is None:
            print("sentence-transformers: not installed, left out")
        shows = {
            "windows": lambda: show_windows(machine, args.repetitions),
            "cds": lambda: show_cds(machine, args.repetitions, machine.scaled(args.cds)),
            "backends": lambda: show_backends(machine, args.repetitions),
            "batches": lambda: show_batches(machine, args.repetitions),
            "tokenising": lambda: show_tokenising(machine, args.repetitions),
        }
        for part in parts:
            if part in args.only:
                shows[part]()
                sys.stdout.flush()
    print(f"\nAll in {(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
