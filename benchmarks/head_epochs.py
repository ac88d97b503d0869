"""Features of the frozen encoder computed once or in every epoch -> how much sooner the head is trained, in one run.

    python benchmarks/head_epochs.py [epochs]

Random weights in the shape of NT-v2-50m; 60-nt windows, 100 for training per species, batches of 64; train.py as it
is, and with its features computed in every epoch, without evaluations and saves between. Times are from metrics.json.
"""

import json
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dnahub.training.trainer  # noqa: E402
import train  # noqa: E402
from dataset_builder.__main__ import main as build  # noqa: E402
from dnahub.checkpoints.presets import PRESETS  # noqa: E402
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary  # noqa: E402
from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForMaskedLM  # noqa: E402


def main() -> None:
    epochs = sys.argv[1] if len(sys.argv) > 1 else "10"
    once = dnahub.training.trainer.features_computed_once
    seconds = {}
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        budgets = ["--train_per_species=100", "--validation_per_species=10", "--test_per_species=10"]
        build(["--source", "synthetic", *budgets, "--output_dir", str(folder / "data")])
        torch.manual_seed(0)
        config = NucleotideTransformerConfig(**PRESETS["v2-50m"])
        NucleotideTransformerForMaskedLM(config).save_pretrained(folder / "base")
        build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(folder / "base")
        for name, context in {"once": once, "in every epoch": lambda _: nullcontext()}.items():
            dnahub.training.trainer.features_computed_once = context
            flags = ["--dataset_name", folder / "data", "--model_name_or_path", folder / "base", "--tuning", "head"]
            flags += ["--num_train_epochs", epochs, "--per_device_train_batch_size", 64, "--output_dir", folder / name]
            flags += ["--save_strategy", "no", "--eval_strategy", "no", "--baselines", "false", "--use_cpu"]
            train.main([*map(str, flags), "--report_to", "none"])
            measured = json.loads((folder / name / "checkpoint" / "metrics.json").read_text())
            seconds[name] = measured["training"]["seconds"]
    ratio = seconds["in every epoch"] / seconds["once"]
    print(f"{epochs} epochs: {seconds['once']:.1f} s, or {seconds['in every epoch']:.1f} s: {ratio:.1f} times")


if __name__ == "__main__":
    main()
