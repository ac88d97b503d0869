"""Recipe (YAML) and command line -> typed arguments; flags go over the recipe."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from transformers import HfArgumentParser, TrainingArguments

from hub_code.configuration_nucleotide_transformer import PRESETS

DEFAULT_BASE_MODEL = "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species"


@dataclass
class ModelArguments:
    """What is trained, and how much of it."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": f"Folder or Hub id of the base model; not given: {DEFAULT_BASE_MODEL}."}
    )
    model_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the base model on the Hub."}
    )
    from_scratch: Literal[tuple(PRESETS)] | None = field(
        default=None, metadata={"help": "Random weights of this size, instead of a base model."}
    )
    task: Literal["classification", "mlm"] = field(
        default="classification", metadata={"help": "Classes of whole sequences, or masked language modelling."}
    )
    tuning: Literal["full", "frozen", "lora"] = field(
        default="full",
        metadata={"help": "Train all weights, the task head alone, or LoRA (merged at the end) and the head."},
    )
    lora_r: int = field(default=8, metadata={"help": "Rank of the LoRA matrices."})
    lora_alpha: int = field(default=16, metadata={"help": "LoRA updates are scaled by alpha / rank."})


@dataclass
class DataArguments:
    """What it is trained on."""

    dataset_name: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of a data set with the splits train, validation and, if any, test."},
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Which configuration of the data set, where it has several."}
    )
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set on the Hub."}
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "Tokens to keep of a sequence, <cls> included; not given: a longer one is an error."},
    )


# What an evaluation measures, for each task: see training/evaluation.py.
METRICS = {"classification": ("accuracy", "macro_f1", "mcc", "loss"), "mlm": ("loss", "masked_accuracy")}


class RecipeParser(HfArgumentParser):
    """`HfArgumentParser` that says what is wrong in one sentence, without two pages of usage."""

    def error(self, message: str) -> None:
        self.exit(2, f"train.py: error: {message} (train.py --help lists the arguments)\n")


def parse_arguments(argv: Sequence[str]) -> tuple[ModelArguments, DataArguments, TrainingArguments]:
    """
    Arguments of a run: our defaults, over them the recipe, over it the flags.

    Args:
        argv: The command line without the program's name: first a recipe, if any, then flags.

    Returns:
        What is trained, on what, and how (transformers' own arguments).

    Raises:
        SystemExit: With status 2 and one sentence, for anything that is not an argument or not a value of it.
        ValueError: If arguments do not go together.
    """
    parser = RecipeParser((ModelArguments, DataArguments, TrainingArguments), prog="train.py", allow_abbrev=False)
    parser.add_argument("recipe", nargs="?", help="YAML file with any of the arguments below; flags go over it.")
    # None: not given, and settled by `_settle` from what is given.
    parser.set_defaults(
        save_strategy=None,
        save_steps=None,
        eval_strategy=None,
        eval_steps=None,
        load_best_model_at_end=None,
        metric_for_best_model=None,
        save_total_limit=2,
        logging_steps=50,
    )
    recipe = parser.parse_args(argv).recipe
    values = parser.parse_args(_recipe_flags(Path(recipe), parser)) if recipe else None
    values = vars(parser.parse_args(argv, values))  # over those of the recipe
    del values["recipe"]
    _settle(values)
    return parser.parse_dict(values)


def _recipe_flags(path: Path, parser: RecipeParser) -> list[str]:
    """The recipe as flags, so that argparse checks both alike."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        parser.error(f"recipe {path}: {' '.join(str(error).split())}")
    if not isinstance(recipe, dict):
        parser.error(f"recipe {path}: it holds a {type(recipe).__name__}; write one `argument: value` a line")
    known = {action.dest for action in parser._actions} - {"recipe", "help"}
    unknown = [str(key) for key in recipe if key not in known]
    if unknown:
        parser.error(f"recipe {path}: no such argument: {', '.join(unknown)}")
    take_lists = {action.dest for action in parser._actions if action.nargs in ("+", "*")}
    flags = []
    for key, value in recipe.items():
        if isinstance(value, list):
            if key not in take_lists:
                parser.error(f"recipe {path}: {key} is one value, not a list")
            flags += [f"--{key}", *map(str, value)]
        elif value is not None:
            flags.append(f"--{key}={json.dumps(value) if isinstance(value, dict) else value}")
    return flags


def _settle(values: dict[str, Any]) -> None:
    """Fill in what depends on what was given: evaluation follows saving, and the best model follows evaluation."""
    if not values["output_dir"]:
        raise ValueError("--output_dir is not given; name the folder that this run shall fill, as runs/my-run.")
    if not values["dataset_name"]:
        raise ValueError("--dataset_name is not given; name a data set folder or a Hub id, as data/nt-species.")
    if values["from_scratch"] and values["model_name_or_path"]:
        raise ValueError("--from_scratch and --model_name_or_path are both given; give the one that you mean.")
    if values["from_scratch"] and values["tuning"] != "full":
        raise ValueError(f"--tuning {values['tuning']} would keep the random weights of --from_scratch; use full.")
    if values["task"] == "mlm" and values["tuning"] == "frozen":
        raise ValueError("--tuning frozen trains the head alone, which teaches --task mlm little; use full or lora.")
    if not values["from_scratch"] and not values["model_name_or_path"]:
        values["model_name_or_path"] = DEFAULT_BASE_MODEL
    if values["save_strategy"] is None:
        values["save_strategy"] = "epoch" if values["save_steps"] is None else "steps"
    if values["save_steps"] is None:
        values["save_steps"] = 500
    if values["eval_strategy"] is None:
        values["eval_strategy"] = "epoch" if values["save_strategy"] == "best" else values["save_strategy"]
    if values["eval_steps"] is None:
        values["eval_steps"] = values["save_steps"]
    if values["load_best_model_at_end"] is None:
        values["load_best_model_at_end"] = values["save_strategy"] != "no" and values["eval_strategy"] != "no"
    if values["metric_for_best_model"] is None:
        values["metric_for_best_model"] = METRICS[values["task"]][0]
    if values["metric_for_best_model"].removeprefix("eval_") not in METRICS[values["task"]]:
        raise ValueError(
            f"--metric_for_best_model {values['metric_for_best_model']}: for --task {values['task']} it is one of "
            f"{', '.join(METRICS[values['task']])}."
        )
    if not 0 < values["learning_rate"] < float("inf"):
        raise ValueError(f"--learning_rate {values['learning_rate']}: give a number above 0, as 1e-4.")
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if values[name] < 1:
            raise ValueError(f"--{name} {values[name]}: give 1 or more.")
    values["remove_unused_columns"] = False  # the collators read the text columns
    values["label_names"] = ["labels"]  # peft hides them from the Trainer


def check_processes(args: TrainingArguments) -> None:
    """
    Raises:
        ValueError: If several processes were launched, but each would train on its own and write to the same folder:
            so it is on a machine without GPU.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))  # by accelerate launch, torchrun
    if args.world_size != launched:
        raise ValueError(
            f"{launched} processes were launched, but there is no GPU for them and each would train alone; give "
            "--use_cpu to share the work among CPU processes, or launch one."
        )
