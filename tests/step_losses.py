"""Arguments of train.py -> loss and norm of the gradient of each step, of one process or several.

python -m tests.step_losses '[["--dataset_name", …], …]' '[[8, 1]]'
"""

import json
import sys

from dnahub.checkpoints.loading import find_checkpoint
from dnahub.training.arguments import parse_arguments
from dnahub.training.dataset import load_sequences
from dnahub.training.trainer import build_trainer
from dnahub.training.trainer_arguments import training_arguments

QUIET = ["--use_cpu", "--disable_tqdm", "true", "--report_to", "none", "--logging_steps", "1"]
QUIET += ["--save_strategy", "no"]


def step_losses(arguments: list[str], divisions: list[tuple[int, int]]) -> list[list[tuple[float, float]]]:
    """For each division of a step, rows of a batch and accumulated batches: loss and norm of each step."""
    data, curves = None, []
    for batch, accumulated in divisions:
        divided = ["--per_device_train_batch_size", batch, "--gradient_accumulation_steps", accumulated]
        args = parse_arguments("", [*map(str, [*arguments, *divided]), *QUIET])
        training = training_arguments(args)
        base = args.model.model_name_or_path
        data = data or load_sequences(args.data, args.model.task)
        trainer, _ = build_trainer(args.model, args.data, training, data, base and find_checkpoint(base))
        trainer.train()
        history = trainer.state.log_history
        curves.append([(each["loss"], each["grad_norm"]) for each in history if "grad_norm" in each])
    return curves


if __name__ == "__main__":
    cases, divisions = map(json.loads, sys.argv[1:])
    print("CURVES", json.dumps([step_losses(arguments, divisions) for arguments in cases]))
