"""Arguments of train.py -> loss and norm of the gradient of each step, of one process or several.

python -m tests.step_losses '[["--dataset_name", …], …]'
"""

import json
import sys

from checkpoints.loading import find_checkpoint
from training.arguments import Arguments, parse_arguments
from training.dataset import load_sequences
from training.trainer import build_trainer


def step_losses(arguments: list[str]) -> list[tuple[float, float]]:
    quiet = ["--use_cpu", "--disable_tqdm", "true", "--report_to", "none", "--logging_steps", "1"]
    args = Arguments(
        *parse_arguments([*map(str, arguments), *quiet, "--eval_strategy", "no", "--save_strategy", "no"])
    )
    base = args.model.model_name_or_path
    data = load_sequences(args.data, args.model.task)
    trainer, _ = build_trainer(args.model, args.data, args.training, data, base and find_checkpoint(base))
    trainer.train()
    return [(each["loss"], each["grad_norm"]) for each in trainer.state.log_history if "grad_norm" in each]


if __name__ == "__main__":
    curves = [step_losses(arguments) for arguments in json.loads(sys.argv[1])]
    print("CURVES", json.dumps(curves))
