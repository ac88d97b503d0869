"""Trials of hyper-parameters on validation data, by Optuna -> the best ones."""

import copy
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.machine.files import write_text
from dnahub.training.arguments import Arguments
from dnahub.training.dataset import SequenceData
from dnahub.training.run_folder import begin
from dnahub.training.trainer import build_model, build_trainer

RECORD, DATABASE = "search.json", "search.db"
DONE = "done"  # in the database: how many trials came to their end
# The learning rate is drawn from a tenth of the default to ten times it, evenly by its logarithm.
LEARNING_RATE_FACTOR = 10
WEIGHT_DECAY = (0.0, 0.1)
WARMUP_STEPS = (0.0, 0.2)  # as shares of all steps


def check_search() -> None:
    """
    Raises:
        ValueError: If Optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise ValueError(
            "--hyperparameter_search needs Optuna; install it with `pip install -r requirements-extra.txt`."
        )


def search(
    args: Arguments, data: SequenceData, base: CheckpointFiles | None, run_record: dict[str, Any]
) -> dict[str, Any]:
    """
    Train `--hyperparameter_search` times as long as the run itself shall be, each time with other hyper-parameters.

    What was found is kept in OUTPUT_DIR/search.json, with all trials, and taken from there when the run goes on.

    Returns:
        The "metric", and "trials" and the "chosen" one of them: hyper-parameters with the metric on validation data.
    """
    folder = Path(args.training.output_dir)
    record = folder / RECORD
    if record.is_file():
        return json.loads(record.read_text(encoding="utf-8"))
    training = copy.copy(args.training)
    training.output_dir = str(folder / "search")
    training.save_strategy, training.load_best_model_at_end = SaveStrategy.NO, False
    if training.eval_strategy == IntervalStrategy.NO:
        raise ValueError("--hyperparameter_search chooses by validation data; give another --eval_strategy than no.")
    trainer, _ = build_trainer(args.model, args.data, training, data, base)
    if training.should_save:
        begin(folder, run_record)
    metric = training.metric_for_best_model
    trainer.model_init = lambda trial: build_model(args.model, training, data, base)[0]
    rate = training.learning_rate

    def space(trial) -> dict[str, float]:
        return {
            "learning_rate": trial.suggest_float(
                "learning_rate", rate / LEARNING_RATE_FACTOR, rate * LEARNING_RATE_FACTOR, log=True
            ),
            "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAY),
            "warmup_steps": trial.suggest_float("warmup_steps", *WARMUP_STEPS),
        }

    found = None
    if training.should_save:
        import optuna  # an extra

        kept = {"storage": f"sqlite:///{folder.resolve() / DATABASE}", "study_name": "search"}
        study = optuna.create_study(**kept, load_if_exists=True, direction=_direction(training))
        num_done = study.user_attrs.get(DONE, 0)  # Optuna takes an interrupted trial for a failed one
        kept["load_if_exists"] = True
    num_done = broadcast_object_list([num_done if training.should_save else None])[0]
    for number in range(num_done, args.run.hyperparameter_search):
        if training.should_save:  # a seed for each trial, so that an interrupted search draws what another would
            kept["sampler"] = optuna.samplers.TPESampler(seed=training.seed + number)
        trainer.hyperparameter_search(
            hp_space=space,
            compute_objective=lambda metrics: metrics[f"eval_{metric}"],
            n_trials=1,
            direction=_direction(training),
            backend="optuna",
            **(kept if training.should_save else {}),
        )
        if training.should_save:
            study.set_user_attr(DONE, number + 1)
    if training.should_save:
        trials = [
            {**trial.params, metric: trial.value}
            for trial in optuna.load_study(study_name="search", storage=kept["storage"]).trials
            if trial.value is not None  # a loss that is no number
        ]
        best = max(trials, key=lambda trial: trial[metric] * (1 if training.greater_is_better else -1), default=None)
        found = {"metric": metric, "chosen": best, "trials": trials}
        write_text(record, json.dumps(found, indent=2) + "\n")
    found = broadcast_object_list([found])[0]
    if found["chosen"] is None:
        raise ValueError(
            "--hyperparameter_search: every trial diverged; give a smaller --learning_rate to search around."
        )
    return found


def apply(found: dict[str, Any], training: TrainingArguments) -> None:
    """Set the hyper-parameters that `search` chose."""
    for name in ("learning_rate", "weight_decay", "warmup_steps"):
        setattr(training, name, found["chosen"][name])


def _direction(training: TrainingArguments) -> str:
    return "maximize" if training.greater_is_better else "minimize"
