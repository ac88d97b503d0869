"""Runs of the programs under kills, full disks, little memory and a failing Hub -> a table of what these left.

    python tests/faults/faults.py [--kills 50] [--others 8] [--only train embed predict variants hub] [--seed 0]

Each program runs again and again with one command until so many of its runs met the fault; whenever a run ends, all
its files are compared with those of an undisturbed run, and the next one begins in an empty folder. Half of the kills
come at a random time, half before a random operation on the files of the output, for there are the narrow gaps. A full
disk is a tmpfs of a random size (which root may mount), and little memory a random limit of the address space, without
which the same command then goes on. Of the Hub of tests/local_hub.py, a random part of all requests fails. For Linux.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests import forked  # noqa: E402

PROGRAMS = ("train", "embed", "predict", "variants")
SEQUENCES, SATURATED_NT, ROWS = 40_000, 6_000, 240
KILLED_OPERATION = 0.06  # probability of each operation on files, for the kills that come before one
FAILING_REQUEST = 0.4  # probability of each
MOST_EXTRA = 400_000_000  # bytes of memory beside the libraries, for the largest limit
HEADER = "| program | fault | hits | of these one sentence | runs to the end | all equal |\n" + "|---" * 6 + "|"


@dataclass
class Outcome:
    """A row of the table."""

    program: str
    fault: str
    hits: int = 0  # runs that met the fault; of the Hub, requests
    explained: int = 0  # runs that ended with status 2 and one sentence
    finished: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        numbers = f"{self.hits} | {self.explained} | {self.finished}"
        equal = "yes" if self.finished and not self.wrong else "no"
        return f"| {self.program} | {self.fault} | {numbers} | {equal} |"


class Bench:
    """Inputs of all programs in a folder, their undisturbed results, and the environment of their processes."""

    def __init__(self, folder: Path, seed: int):
        from dnahub.hub_code import NucleotideTransformerForMaskedLM, NucleotideTransformerForSequenceClassification
        from tests.tiny_models import write_checkpoint

        self.folder, self.random = folder, random.Random(seed)
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.environment["HF_HOME"] = str(folder / "home")
        draw = random.Random(0)
        kmers = ["".join(draw.choices("ACGT", k=draw.randint(6, 60))) for _ in range(500)]
        (folder / "in.fa").write_text("".join(f">r{i}\n{draw.choice(kmers)}\n" for i in range(SEQUENCES)))
        (folder / "genome.fa").write_text(">chr1\n" + "".join(draw.choices("ACGT", k=SATURATED_NT + 500)) + "\n")
        rows = (f"{''.join(draw.choices('ACGT', k=60))},{'ab'[i % 2]}\n" for i in range(ROWS))
        (folder / "in.csv").write_text("sequence,label\n" + "".join(rows))
        classes = write_checkpoint(folder / "classes", NucleotideTransformerForSequenceClassification)
        masked = write_checkpoint(folder / "masked", NucleotideTransformerForMaskedLM, max_position_embeddings=62)
        steps = ["--max_steps", 30, "--save_steps", 5, "--early_stopping_patience", 0]
        steps += ["--per_device_train_batch_size", 8, "--use_cpu", "--disable_tqdm", "true", "--baselines", "false"]
        rows = ["--input", folder / "in.fa", "--device", "cpu", "--model_name_or_path", classes]
        region = ["--genome", folder / "genome.fa", "--saturate", f"chr1:100-{SATURATED_NT}", "--window_nt", 114]
        self.commands = {
            "train": ["train.py", "--train_file", folder / "in.csv", "--model_name_or_path", masked, *steps],
            "embed": ["embed.py", *rows],
            "predict": ["predict.py", *rows],
            "variants": ["variants.py", "--model_name_or_path", masked, *region],
        }
        self.outputs = {"embed": "out.npy", "predict": "out.parquet", "variants": "out.tsv"}
        self.undisturbed: dict[str, dict] = {}
        self.seconds: dict[str, float] = {}

    def start(self, program: str, folder: Path, before: Callable | None = None) -> forked.Forked:
        flag = "--output_dir" if program == "train" else "--output"
        command = [*self.commands[program], flag, folder / self.outputs.get(program, "run")]
        return forked.Forked(command, ROOT, self.environment | {"HF_HOME": f"{folder}-home"}, before=before)

    def run_undisturbed(self, program: str) -> None:
        if program not in self.undisturbed:
            forked.run(["-c", "pass"], ROOT, self.environment)  # the first one imports the libraries
            started, folder = time.monotonic(), self.undisturbed_folder(program)
            folder.mkdir()
            process = self.start(program, folder)
            assert process.wait() == 0, process.stderr
            self.seconds[program] = time.monotonic() - started
            self.undisturbed[program] = result_of(folder)

    def undisturbed_folder(self, program: str) -> Path:
        return self.folder / f"{program}-undisturbed"

    def begin(self, program: str, fault: str) -> tuple[Outcome, Path]:
        """A row of the table, and the folder of the output; the undisturbed result is there from now on."""
        self.run_undisturbed(program)
        folder = self.folder / f"{program}-{fault.replace(' ', '-')}"
        folder.mkdir()
        return Outcome(program, fault), folder

    def compare(self, program: str, folder: Path, outcome: Outcome) -> None:
        """Count a run that has finished, and empty its folder and cache."""
        found, expected = result_of(folder), self.undisturbed[program]
        if outcome.fault == "little memory" and program == "train":
            # Short of memory, torch was seen to compute other last digits, which the checkpoints then have, too.
            found, expected = dict.fromkeys(found, "any"), dict.fromkeys(expected, "any")
        names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        outcome.finished += 1
        outcome.wrong += [f"{name} differs, is left over or is missing" for name in names]
        for path in folder.iterdir():  # not the folder itself, which may be a mount point
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(f"{folder}-home", ignore_errors=True)


def result_of(folder: Path) -> dict[str, object]:
    """What must be equal of each file: its content, or of a run of train.py what does not tell the time."""
    return {str(path.relative_to(folder)): content_of(path) for path in filter(Path.is_file, folder.rglob("*"))}


def content_of(path: Path) -> object:
    if path.name == "metrics.json":
        metrics = json.loads(path.read_text())
        return metrics["validation"], metrics["test"], metrics["training"]["steps"]
    if path.name == "log.jsonl":
        logged = map(json.loads, path.read_text().splitlines())
        return [(entry["step"], entry.get("loss"), entry.get("eval_loss")) for entry in logged]
    tell_the_time = ("README.md", "run.json", "trainer_state.json", "training_args.bin")
    return "any" if path.name in tell_the_time else path.read_bytes()


# Kills


def kill(bench: Bench, program: str, kills: int) -> Outcome:
    outcome, folder = bench.begin(program, "kill -9")
    while outcome.hits < kills and len(outcome.wrong) < 3:
        before, seconds = None, bench.random.uniform(0, bench.seconds[program])
        if outcome.hits % 2:
            before, seconds = partial(kill_at_an_operation, str(folder), bench.random.random()), 300
        process = bench.start(program, folder, before)
        finish(process, seconds)
        status = process.wait()
        if status == -signal.SIGKILL:
            outcome.hits += 1
        else:
            settle(bench, program, folder, process, outcome)
    settle(bench, program, folder, bench.start(program, folder), outcome)
    return outcome


def finish(process: forked.Forked, seconds: float) -> None:
    """Let it run for so long, then kill it."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()


def settle(bench: Bench, program: str, folder: Path, process: forked.Forked, outcome: Outcome) -> None:
    """Wait for a run that nothing disturbs any more."""
    # A run after one that was killed when it had done all is told that its output exists.
    if process.wait() and f"{bench.outputs.get(program)} exists; name another" not in process.stderr:
        outcome.wrong.append(f"status {process.poll()}: {process.stderr[-2000:]}")
    else:
        bench.compare(program, folder, outcome)


def kill_at_an_operation(folder: str, seed: float) -> None:
    """In the process: before one of its operations on files in that folder, it kills itself."""
    draw = random.Random(seed)

    def on_event(event: str, arguments: tuple) -> None:
        if event == "open" or event.startswith(("os.", "shutil.")):
            # So begins the name of the cache, too; one without a folder is that of an entry of a removed folder.
            name = arguments[0] if arguments and isinstance(arguments[0], (str, Path)) else ""
            is_ours = str(name).startswith(folder) or (event == "os.remove" and "/" not in str(name))
            if is_ours and draw.random() < KILLED_OPERATION:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)


# A full disk and little memory


def fill(bench: Bench, program: str, disks: int) -> Outcome:
    """All disks are smaller than the result, which is on them together with what it is made of."""
    outcome, folder = bench.begin(program, "full disk")
    needed = sum(path.stat().st_size for path in bench.undisturbed_folder(program).rglob("*") if path.is_file())
    while outcome.hits < disks and not outcome.wrong:
        mount(folder, f"size={int(needed * bench.random.uniform(0.02, 1))}")
        try:
            stopped(bench.start(program, folder), program, "is full", outcome)
            mount(folder, "remount,size=1g")
            settle(bench, program, folder, bench.start(program, folder), outcome)
        finally:
            subprocess.run(["umount", folder], check=True)
    return outcome


def mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    try:
        mount(folder, "size=1m")
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", folder], check=True)
    return True


def starve(bench: Bench, program: str, limits: int) -> Outcome:
    outcome, folder = bench.begin(program, "little memory")
    while outcome.hits < limits and not outcome.wrong:
        limit = partial(limit_memory, int(bench.random.uniform(0, MOST_EXTRA)))
        process = bench.start(program, folder, limit)
        finish(process, 120)  # a thread that cannot tell that it has begun is waited for without end
        if process.wait() == 0:
            bench.compare(program, folder, outcome)
            continue
        stopped(process, program, "memory", outcome, always=False)
        settle(bench, program, folder, bench.start(program, folder), outcome)
    return outcome


def limit_memory(extra: int) -> None:
    """In the process: it may have so many more bytes than the libraries have taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def stopped(process: forked.Forked, program: str, words: str, outcome: Outcome, always: bool = True) -> None:
    """Count a run that met a fault, and whether it says so."""
    status, said = process.wait(), process.stderr
    sentences = [line for line in said.splitlines() if line.startswith(f"{program}.py: error: ")]
    is_explained = status == 2 and len(sentences) == 1 and words in sentences[0] and "Traceback" not in said
    outcome.hits += 1
    outcome.explained += is_explained
    if always and not is_explained:
        outcome.wrong.append(f"status {status}: {said[-2000:]}")


# The Hub


def push(bench: Bench, kind: str, repositories: int) -> Outcome:
    from tests.conftest import HUB
    from tests.local_hub import Account

    HUB.tokens["hf_faults"] = Account("user", "write")
    environment = bench.environment | {"HF_TOKEN": "hf_faults"}
    if kind == "models":
        bench.run_undisturbed("train")
        folder = bench.undisturbed_folder("train") / "run"
        command = ["train.py", "--push_only", "--output_dir", folder, "--hub_model_id"]
    else:
        folder = bench.folder / "data"
        few = ["--train_per_class", 60, "--validation_per_class", 20, "--test_per_class", 20]
        built = forked.run(
            ["-m", "dataset_builder", "--source", "synthetic", "--output_dir", folder, *few], ROOT, environment
        )
        assert built.returncode == 0, built.stderr
        command = ["-m", "dataset_builder", "--push_only", "--output_dir", folder, "--hub_dataset_id"]
    outcome, expected = Outcome(f"push of {kind}", "failing Hub"), None
    for number in range(repositories + 1):
        name = f"user/{kind}-{number}"
        if number:
            HUB.take_fault = partial(take_fault, bench.random, outcome)
        for _ in range(10):
            process = forked.run([*command, name], ROOT, environment, before=hurry)
            if process.returncode != 2:
                break
            outcome.explained += 1
        HUB.take_fault = partial(type(HUB).take_fault, HUB)
        if process.returncode:
            outcome.wrong.append(f"status {process.returncode}: {process.stderr[-2000:]}")
            break
        repository = HUB.repository(kind, name)
        found = {path: HUB.read(kind, name, path).replace(name.encode(), b"") for path in repository.files()}
        expected = expected or found
        outcome.finished += number > 0
        if found != expected or len(repository.history()) != 2:
            outcome.wrong.append(f"{name}: {sorted(found)}, {len(repository.history())} commits")
    return outcome


def take_fault(draw: random.Random, outcome: Outcome, line: str):
    from tests.local_hub import CUT, LOST, Fault

    if draw.random() < FAILING_REQUEST:
        outcome.hits += 1
        return Fault("", draw.choice([429, 500, 503, CUT, LOST]), 1)


def hurry() -> None:
    """In the process: the waits between two tries are short."""
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(seconds / 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="of each program")
    parser.add_argument("--others", type=int, default=8, help="full disks, limits of memory, repositories")
    parser.add_argument("--only", nargs="+", choices=[*PROGRAMS, "hub"], default=[*PROGRAMS, "hub"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from tests import conftest  # noqa: F401  a Hub of its own, and its environment

    print(HEADER, flush=True)
    failed = False
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        for outcome in measure(Bench(Path(name), args.seed), args.only, args.kills, args.others):
            print(outcome, *outcome.wrong, sep="\n", flush=True)
            failed |= bool(outcome.wrong)
    sys.exit(failed)


def measure(bench: Bench, only: Sequence[str], kills: int, others: int) -> Iterator[Outcome]:
    for program in only:
        if program == "hub":
            yield from (push(bench, kind, others) for kind in ("datasets", "models"))
            continue
        yield kill(bench, program, kills)
        if can_mount(bench.folder):
            yield fill(bench, program, others)
        yield starve(bench, program, others)


if __name__ == "__main__":
    main()
