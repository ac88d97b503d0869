"""Recipe (YAML) and command line -> typed arguments; flags go over the recipe."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from dnahub.hub.publishing import Target
from dnahub.hub_code.configuration_nucleotide_transformer import PRESETS
from dnahub.machine.processes import num_launched
from dnahub.tasks import TASKS
from dnahub.training.tokens import NUM_TOKENS
from dnahub.training.tuning import TUNINGS

BY_PROBLEM = "by_problem"  # the first metric of the problem that the labels make: see `dnahub.tasks.evaluation`
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
    allow_pickle: bool = field(
        default=False,
        metadata={"help": "Load weights in pickle format, where the base model has no others: trust who made them."},
    )
    from_scratch: Literal[tuple(PRESETS)] | None = field(
        default=None, metadata={"help": "Random weights of this size, instead of a base model."}
    )
    task: str = field(
        default="classification",
        metadata={
            "help": "One class of each sequence (classification), any number of labels (multi_label), numbers "
            "(regression), one class of each token (token_classification), or masked language modelling (mlm)."
        },
    )
    tuning: Literal[TUNINGS] = field(
        default="full",
        metadata={
            "help": "Train all weights; the last layers and the head (frozen); the head alone; a LoRA or IA3 adapter "
            "(merged at the end) and a classification head."
        },
    )
    trainable_layers: int = field(
        default=2, metadata={"help": "With --tuning frozen: how many of the last layers are trained."}
    )
    lora_r: int = field(default=8, metadata={"help": "Rank of the LoRA matrices."})
    lora_alpha: int = field(default=16, metadata={"help": "LoRA updates are scaled by alpha / rank."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Share of the inputs of LoRA left out at random."})
    lora_targets: list[str] | None = field(
        default=None,
        metadata={
            "help": "Ends of the names of linear layers, as intermediate.dense for the gated feed-forward; not given: "
            "query and value."
        },
    )


@dataclass
class DataArguments:
    """What it is trained on: a data set, or files."""

    dataset_name: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of a data set with the split train and, if any, validation and test."},
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Which configuration of the data set, where it has several."}
    )
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set on the Hub."}
    )
    train_file: list[str] | None = field(
        default=None, metadata={"help": "Instead of a data set: CSV, TSV, JSON (Lines), Parquet or FASTA files."}
    )
    validation_file: list[str] | None = field(default=None, metadata={"help": "Files; not given: cut off train."})
    test_file: list[str] | None = field(default=None, metadata={"help": "Files; not given: cut off train."})
    sequence_column: str = field(default="sequence", metadata={"help": "Which column holds the DNA."})
    label_column: str = field(
        default="label",
        metadata={"help": "Which column holds the labels; in FASTA, NAME=… or NAME:… in the header is column NAME."},
    )
    label_separator: str | None = field(
        default=None, metadata={"help": "What stands between several labels of one row, such as ';': multi-label."}
    )
    group_column: str | None = field(
        default=None, metadata={"help": "Rows of one group, as a gene, stay together when splits are cut off train."}
    )
    validation_share: float = field(default=0.1, metadata={"help": "Of train, where there is no validation split."})
    test_share: float = field(default=0.1, metadata={"help": "Of train, where there is no test split; 0 for none."})
    class_weights: Literal["balanced"] | None = field(
        default=None,
        metadata={
            "help": "Weigh classes in the training loss so that each counts the same, however rare it is; evaluation "
            "stays unweighted."
        },
    )
    allow_repeats: bool = field(
        default=False, metadata={"help": "Let one sequence stand in train and in validation or test."}
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "Read train as it is used, never as a whole, for data larger than the disk; see --max_steps."
        },
    )
    max_length: int | None = field(
        default=None,
        metadata={"help": "Tokens to keep of a sequence, <cls> included; not given: a longer one is an error."},
    )


@dataclass
class RunArguments:
    """What is done beside one training."""

    seeds: int = field(
        default=1, metadata={"help": "How many runs, with --seed, --seed + 1 …: mean and deviation are reported."}
    )
    hyperparameter_search: int = field(
        default=0, metadata={"help": "Trials by Optuna over learning rate, weight decay and warm-up, before the run."}
    )
    early_stopping_patience: int = field(
        default=3, metadata={"help": "Stop after so many evaluations that are no better than the best; 0: never."}
    )
    baselines: bool = field(
        default=True, metadata={"help": "Measure k-mer baselines on the test split, beside the model."}
    )
    push_only: bool = field(
        default=False,
        metadata={"help": "Publish the finished checkpoint in --output_dir as --hub_model_id, without training."},
    )


@dataclass(frozen=True)
class Arguments:
    """What is trained, on what, how, and what is done beside one training."""

    model: ModelArguments
    data: DataArguments
    training: TrainingArguments
    run: RunArguments


class RecipeParser(HfArgumentParser):
    """`HfArgumentParser` that says what is wrong in one sentence, without two pages of usage."""

    def error(self, message: str) -> None:
        self.exit(2, f"train.py: error: {message} (train.py --help lists the arguments)\n")


def parse_arguments(
    argv: Sequence[str],
) -> tuple[ModelArguments, DataArguments, TrainingArguments, RunArguments]:
    """
    Arguments of a run: our defaults, over them the recipe, over it the flags.

    Args:
        argv: The command line without the program's name: first a recipe, if any, then flags.

    Returns:
        What is trained, on what, how (transformers' own arguments), and what is done beside one training. What depends
        on the base model and the labels is None still: see `dnahub.training.defaults`.

    Raises:
        SystemExit: With status 2 and one sentence, for anything that is not an argument or not a value of it.
        ValueError: If arguments do not go together.
    """
    parser = RecipeParser(
        (ModelArguments, DataArguments, TrainingArguments, RunArguments), prog="train.py", allow_abbrev=False
    )
    parser.add_argument("recipe", nargs="?", help="YAML file with any of the arguments below; flags go over it.")
    # None: not given, and settled by `_settle` from what is given.
    parser.set_defaults(
        save_strategy=None,
        save_steps=None,
        eval_strategy=None,
        eval_steps=None,
        load_best_model_at_end=None,
        metric_for_best_model=BY_PROBLEM,
        learning_rate=None,
        bf16=None,
        train_sampling_strategy=None,
        warmup_steps=0.1,  # a share of all steps
        save_total_limit=2,
        logging_steps=0.02,  # of all steps
        logging_nan_inf_filter=False,  # or it would hide that the training diverges
        length_column_name=NUM_TOKENS,
        hub_strategy="end",
    )
    recipe = parser.parse_args(argv).recipe
    values = parser.parse_args(_recipe_flags(Path(recipe), parser)) if recipe else None
    values = vars(parser.parse_args(argv, values))  # over those of the recipe
    del values["recipe"]
    _settle(values)
    model_args, data_args, training_args, run_args = parser.parse_dict(values)
    if data_args.streaming and training_args.accelerator_config.dispatch_batches is None:
        # Each process takes every n-th batch of the stream; by default the first would read for all.
        training_args.accelerator_config.dispatch_batches = False
    return model_args, data_args, training_args, run_args


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
    _settle_publishing(values)
    if not values["push_only"]:
        _check_data(values)
    if values["from_scratch"] and values["model_name_or_path"]:
        raise ValueError("--from_scratch and --model_name_or_path are both given; give the one that you mean.")
    if values["from_scratch"] and values["model_revision"]:
        raise ValueError("--model_revision is of a base model, and --from_scratch has none; leave one out.")
    if values["from_scratch"] and values["tuning"] != "full":
        raise ValueError(f"--tuning {values['tuning']} would keep the random weights of --from_scratch; use full.")
    if values["task"] not in TASKS:
        raise ValueError(f"--task {values['task']}: give one of {', '.join(TASKS)}.")
    if values["tuning"] == "frozen" and values["trainable_layers"] < 1:
        raise ValueError(f"--trainable_layers {values['trainable_layers']}: give 1 or more, or --tuning head.")
    if values["lora_r"] < 1 or not 0 <= values["lora_dropout"] < 1:
        raise ValueError("--lora_r is 1 or more, and --lora_dropout 0 or more and below 1; set them so.")
    if not values["from_scratch"] and not values["model_name_or_path"]:
        values["model_name_or_path"] = DEFAULT_BASE_MODEL
    if values["save_strategy"] is None:
        values["save_strategy"] = "steps" if values["streaming"] or values["save_steps"] is not None else "epoch"
    if values["save_steps"] is None:
        values["save_steps"] = 500
    if values["eval_strategy"] is None:
        values["eval_strategy"] = "epoch" if values["save_strategy"] == "best" else values["save_strategy"]
    if values["eval_steps"] is None:
        values["eval_steps"] = values["save_steps"]
    if values["load_best_model_at_end"] is None:
        values["load_best_model_at_end"] = values["save_strategy"] != "no" and values["eval_strategy"] != "no"
    if values["bf16"] is None:  # where the hardware has it, and no other precision was asked for
        on_gpu = torch.cuda.is_available() and not values["use_cpu"]
        values["bf16"] = on_gpu and not values["fp16"] and torch.cuda.is_bf16_supported(including_emulation=False)
    strategies = {values["save_strategy"], values["eval_strategy"]} - {"best"}
    if values["load_best_model_at_end"] and len(strategies) > 1:
        raise ValueError(
            f"--save_strategy {values['save_strategy']} and --eval_strategy {values['eval_strategy']}: the best "
            "checkpoint could not be told; give the same strategy for both, or --load_best_model_at_end false."
        )
    if values["learning_rate"] is not None and not 0 < values["learning_rate"] < float("inf"):
        raise ValueError(f"--learning_rate {values['learning_rate']}: give a number above 0, as 1e-4.")
    if values["num_train_epochs"] <= 0 and values["max_steps"] < 1:
        raise ValueError(f"--num_train_epochs {values['num_train_epochs']}: give a number above 0, or --max_steps.")
    if values["max_steps"] == 0:
        raise ValueError("--max_steps 0: give a number above 0, or leave it out.")
    if values["report_to"] in ("tensorboard", "wandb") and find_spec(values["report_to"]) is None:
        raise ValueError(
            "--report_to {0} needs the package of that name: pip install {0}.".format(values["report_to"])
        )
    if values["resume_from_checkpoint"] is not None:
        raise ValueError(
            "--resume_from_checkpoint: the same command goes on where the run was interrupted; leave it out."
        )
    for name, value, reason in (
        ("save_only_model", False, "an interrupted run could not go on"),
        ("ignore_data_skip", False, "a resumed run would see other rows"),
        ("average_tokens_across_devices", True, "the result would depend on the number of processes"),
    ):
        if values[name] != value:
            raise ValueError(f"--{name} {str(values[name]).lower()}: {reason}; leave it out.")
    for name, least in (("seeds", 1), ("hyperparameter_search", 0), ("early_stopping_patience", 0)):
        if values[name] < least:
            raise ValueError(f"--{name} {values[name]}: give {least} or more.")
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if values[name] < 1:
            raise ValueError(f"--{name} {values[name]}: give 1 or more.")
    values["remove_unused_columns"] = False  # the collators read the columns
    values["label_names"] = ["labels"]  # peft hides them from the Trainer


def _check_data(values: dict[str, Any]) -> None:
    """A data set or files, and what goes with which."""
    if not values["dataset_name"] and not values["train_file"]:
        raise ValueError(
            "--dataset_name is not given, nor --train_file; name a data set's folder or Hub id, as data/nt-species, "
            "or files."
        )
    if values["dataset_name"]:
        for name in ("train_file", "validation_file", "test_file"):
            if values[name]:
                raise ValueError(f"--dataset_name and --{name} are both given; give the one that you mean.")
    elif values["dataset_config_name"] or values["dataset_revision"]:
        raise ValueError("--dataset_config_name and --dataset_revision are of a data set; leave them out with files.")
    if values["streaming"]:
        if values["max_steps"] < 1:
            raise ValueError("--streaming: how long train is, is not known; give --max_steps.")
        if values["group_column"]:
            raise ValueError("--group_column: nothing can be cut off a stream; leave it out, or --streaming.")
        if values["train_file"] and not values["validation_file"]:
            raise ValueError("--streaming: nothing can be cut off a stream; give --validation_file, and --test_file.")


def _settle_publishing(values: dict[str, Any]) -> None:
    """One commit, at the end: a half-trained model never stands on the Hub."""
    if values["hub_token"] is not None:
        raise ValueError(
            "--hub_token would be seen in the list of processes and written to files; log in with `hf auth login`, or "
            "set HF_TOKEN."
        )
    if values["hub_strategy"] != "end" or values["hub_always_push"]:
        raise ValueError("--hub_strategy and --hub_always_push: there is one commit, at the end; leave them out.")
    publishing = values["push_to_hub"] or values["push_only"]
    if not publishing and (values["hub_model_id"] or values["hub_private_repo"] or values["hub_revision"]):
        raise ValueError("--hub_model_id and the like are about publishing; give --push_to_hub, or leave them out.")
    if publishing and not values["hub_model_id"]:
        raise ValueError("--hub_model_id is not given; say where to publish, as user/nt-species-clf.")


def hub_target(args: TrainingArguments) -> Target:
    """Where `--hub_model_id` and the like say that the checkpoint shall be published."""
    return Target(args.hub_model_id, "model", bool(args.hub_private_repo), args.hub_revision or "main")


def check_processes(args: TrainingArguments) -> None:
    """
    Raises:
        ValueError: If several processes were launched, but each would train on its own and write to the same folder:
            so it is on a machine without GPU.
    """
    launched = num_launched()
    if args.world_size != launched:
        raise ValueError(
            f"{launched} processes were launched, but there is no GPU for them and each would train alone; give "
            "--use_cpu to share the work among CPU processes, or launch one."
        )
