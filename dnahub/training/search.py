"""Trials of hyper-parameters on validation data, drawn by Optuna -> the best of them."""

import copy
import json
import math
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.machine.files import write_text
from dnahub.machine.processes import from_first
from dnahub.training.arguments import Arguments
from dnahub.training.callbacks import DivergenceError, StopOnDivergence
from dnahub.training.dataset import SequenceData
from dnahub.training.run_folder import begin, read_json
from dnahub.training.trainer import build_trainer

RECORD = "search.json"
HYPERPARAMETERS = ("learning_rate", "weight_decay", "warmup_steps")
# The learning rate is drawn from a tenth of the default to ten times it, evenly by its logarithm.
LEARNING_RATE_FACTOR = 10
WEIGHT_DECAY = (0.0, 0.1)
WARMUP_STEPS = (0.0, 0.2)  # as fractions of all steps


def search(
    args: Arguments, data: SequenceData, base: CheckpointFiles | None, run_record: dict[str, Any]
) -> dict[str, Any]:
    """
    Train `--hyperparameter_search` times, and set the best values in `args.training`; returns what search.json keeps.

    A trial depends on the seed, its number and the trials before it alone: an interrupted search goes on.
    """
    record = Path(args.training.output_dir) / RECORD
    found = from_first(lambda: read_json(record)) or {"metric": None, "trials": []}
    while len(found["trials"]) < args.run.hyperparameter_search:
        training = copy.copy(args.training)
        training.output_dir = str(record.parent / "search")
        training.save_strategy, training.load_best_model_at_end = SaveStrategy.NO, False
        trainer, _ = build_trainer(args.model, args.data, training, data, base)
        begin(record.parent, run_record)
        metric, rises = training.metric_for_best_model, training.greater_is_better
        drawn = from_first(lambda: _draw(training, found["trials"], metric, rises))  # noqa: B023, called in this turn
        for name, value in drawn.items():
            setattr(training, name, value)
        trainer.add_callback(StopOnDivergence())
        try:
            trainer.train()
            measured = trainer.evaluate()[f"eval_{metric}"]
        except DivergenceError:
            measured = math.nan
        drawn[metric] = measured if math.isfinite(measured) else None
        found = {"metric": metric, "rises": rises, "trials": [*found["trials"], drawn]}
        from_first(lambda: write_text(record, json.dumps(found, indent=2) + "\n"))  # noqa: B023
    metric, sign = found["metric"], 1 if found["rises"] else -1
    finished = [trial for trial in found["trials"] if trial[metric] is not None]
    if not finished:
        raise ValueError(
            f"--hyperparameter_search: {metric} is undefined in every trial; search around a smaller "
            "--learning_rate, or give another --metric_for_best_model."
        )
    chosen = max(finished, key=lambda trial: sign * trial[metric])
    for name in HYPERPARAMETERS:
        setattr(args.training, name, chosen[name])
    return found | {"chosen": chosen}


def _draw(training: TrainingArguments, trials: list[dict[str, Any]], metric: str, rises: bool) -> dict[str, float]:
    import optuna  # an extra
    from optuna.distributions import FloatDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rate = training.learning_rate
    space = {
        "learning_rate": FloatDistribution(rate / LEARNING_RATE_FACTOR, rate * LEARNING_RATE_FACTOR, log=True),
        "weight_decay": FloatDistribution(*WEIGHT_DECAY),
        "warmup_steps": FloatDistribution(*WARMUP_STEPS),
    }
    # A seed for each trial: one for all would draw the same trials after an interruption.
    sampler = optuna.samplers.TPESampler(seed=training.seed + len(trials))
    study = optuna.create_study(direction="maximize" if rises else "minimize", sampler=sampler)
    for trial in trials:
        params = {name: trial[name] for name in HYPERPARAMETERS}
        state = optuna.trial.TrialState.COMPLETE if trial[metric] is not None else optuna.trial.TrialState.FAIL
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=space, value=trial[metric], state=state)
        )
    return study.ask(space).params
