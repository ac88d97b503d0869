"""Frozen layers computed once or in every epoch -> how much sooner training is done, in one run on one machine.

    python benchmarks/frozen_epochs.py [epochs]

Weights are random, in the shape of NT-v2-50m; 60-nt windows, 100 for training per species, batches of 64; train.py as
it is, with and without --reuse_activations, and without evaluations and saves between. Times are from metrics.json.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hub_code import NucleotideTransformerConfig, NucleotideTransformerForMaskedLM  # noqa: E402
from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary  # noqa: E402

TUNINGS = {"head": ["head"], "frozen, 2 of 12 layers trained": ["frozen", "--trainable_layers", "2"]}


def run(*command: object) -> None:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        budgets = ["--train_per_species", 100, "--validation_per_species", 10, "--test_per_species", 10]
        run("-m", "dataset_builder", "--source", "synthetic", *budgets, "--output_dir", folder / "data")
        torch.manual_seed(0)
        config = NucleotideTransformerConfig.from_preset("v2-50m")
        NucleotideTransformerForMaskedLM(config).save_pretrained(folder / "base")
        build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(folder / "base")
        for name, tuning in TUNINGS.items():
            seconds = {}
            for reuse in ("false", "true"):
                output = folder / f"{tuning[0]}-{reuse}"
                flags = [
                    "--dataset_name",
                    folder / "data",
                    "--model_name_or_path",
                    folder / "base",
                    "--tuning",
                    *tuning,
                ]
                flags += ["--reuse_activations", reuse, "--num_train_epochs", epochs, "--output_dir", output]
                flags += ["--save_strategy", "no", "--eval_strategy", "no"]
                run("train.py", *flags, "--per_device_train_batch_size", 64, "--use_cpu", "--report_to", "none")
                metrics = json.loads((output / "checkpoint" / "metrics.json").read_text())
                seconds[reuse] = metrics["training"]["seconds"]
            print(
                f"{name}: {epochs} epochs in {seconds['true']:.1f} s, computed anew each time in "
                f"{seconds['false']:.1f} s: {seconds['false'] / seconds['true']:.1f} times"
            )


if __name__ == "__main__":
    main()
