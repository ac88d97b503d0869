"""The output folder of a run of train.py -> its weights, metrics and log."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

# Arguments of a short run of random weights.
SCRATCH = ("--from_scratch", "tiny", "--learning_rate", "1e-3", "--report_to", "none", "--baselines", "false")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether they are bitwise the same."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def metrics(run: Path) -> dict:
    return json.loads((run / "checkpoint" / "metrics.json").read_text())


def points(run: Path) -> list[Path]:
    """The Trainer's own checkpoints, by their steps."""
    return sorted(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def last_state(run: Path) -> dict:
    """The Trainer's own record at its last checkpoint."""
    return json.loads((points(run)[-1] / "trainer_state.json").read_text())


def evaluations(run: Path) -> list[tuple[int, float]]:
    """Step and validation loss of each evaluation in log.jsonl."""
    logged = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(entry["step"], entry["eval_loss"]) for entry in logged if "eval_loss" in entry]
