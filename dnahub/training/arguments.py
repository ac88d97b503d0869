"""Recipe (YAML) and command line -> the flags of train.py, checked; nothing heavy is imported."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from typing import Any, Literal

from dnahub.checkpoints.presets import PRESETS
from dnahub.machine.arguments import parse
from dnahub.tasks import TASKS

DEFAULT_BASE_MODEL = "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species"
TUNINGS = ("full", "frozen", "head", "lora", "ia3")

# For fields on which the result does not depend, so that an interrupted run can resume with another value.
FREE = {"decides": False}


@dataclass
class ModelArguments:
    """What is trained"""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": f"Folder or Hub id of the base model; default: {DEFAULT_BASE_MODEL}."}
    )
    model_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the base model on the Hub."}
    )
    allow_pickle: bool = field(
        default=False,
        metadata={"help": "Load weights in pickle format if there are no others; only from people you trust."},
    )
    from_scratch: Literal[tuple(PRESETS)] | None = field(
        default=None, metadata={"help": "Random weights of this size instead of a base model."}
    )
    task: str = field(
        default="classification",
        metadata={
            "help": f"{', '.join(TASKS)}: one class per sequence, any number of labels per sequence, numbers, one "
            "class per token, or masked language modelling."
        },
    )
    tuning: Literal[TUNINGS] = field(
        default="full",
        metadata={"help": "Train all weights, the last layers and the head, the head alone, or an adapter."},
    )
    trainable_layers: int = field(default=2, metadata={"help": "With --tuning frozen: number of last layers trained."})
    lora_r: int = field(default=8, metadata={"help": "Rank of the LoRA matrices."})
    lora_alpha: int = field(default=16, metadata={"help": "LoRA updates are scaled by alpha / rank."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the LoRA matrices."})
    lora_targets: list[str] | None = field(
        default=None,
        metadata={
            "help": "Linear layers with LoRA, by the end of their name, such as intermediate.dense; default: query "
            "and value."
        },
    )

    def __post_init__(self):
        if self.task not in TASKS:
            raise ValueError(f"--task {self.task}: give one of {', '.join(TASKS)}.")
        if self.from_scratch and self.model_name_or_path:
            raise ValueError("--from_scratch and --model_name_or_path are both given; give one of them.")
        if self.from_scratch and self.model_revision:
            raise ValueError("--model_revision needs a base model, and --from_scratch has none; leave one out.")
        if self.from_scratch and self.tuning != "full":
            raise ValueError(f"--tuning {self.tuning} would freeze the random weights of --from_scratch; give full.")
        if self.tuning == "frozen" and self.trainable_layers < 1:
            raise ValueError(f"--trainable_layers {self.trainable_layers}: give 1 or more, or --tuning head.")
        if self.lora_r < 1 or not 0 <= self.lora_dropout < 1:
            raise ValueError("--lora_r must be 1 or more, and --lora_dropout 0 or more and below 1.")
        if not self.from_scratch and not self.model_name_or_path:
            self.model_name_or_path = DEFAULT_BASE_MODEL


@dataclass
class DataArguments:
    """Training data: a data set, or files"""

    dataset_name: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a data set with a train split."}
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Configuration of the data set, if it has several."}
    )
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set on the Hub."}
    )
    train_file: list[str] | None = field(
        default=None, metadata={"help": "Files instead of a data set, in any format that embed.py reads."}
    )
    validation_file: list[str] | None = field(
        default=None, metadata={"help": "Files; default: a fraction of the training sequences."}
    )
    test_file: list[str] | None = field(
        default=None, metadata={"help": "Files; default: a fraction of the training sequences."}
    )
    dataset_filter: str | None = field(
        default=None,
        metadata={"help": "COLUMN=VALUE: use only these rows, of a data set or files of several tasks."},
    )
    sequence_column: str = field(default="sequence", metadata={"help": "Column of the DNA sequences."})
    sequence_format: Literal["letters", "kmers"] = field(
        default="letters",
        metadata={"help": "kmers: overlapping k-mers separated by spaces (ACG CGT GTA), which are joined (ACGTA)."},
    )
    label_column: str = field(
        default="label",
        metadata={"help": "Column of the labels; in a FASTA header NAME=... or NAME:... is the column NAME."},
    )
    label_separator: str | None = field(
        default=None, metadata={"help": "With --task multi_label: separates the labels of a row, such as ';'."}
    )
    group_column: str | None = field(
        default=None, metadata={"help": "Rows of one group, such as a gene, go to the same split."}
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "Fraction of train that becomes validation, if there is no such split."}
    )
    test_fraction: float = field(
        default=0.1, metadata={"help": "Fraction of train that becomes test, if there is no such split; 0 for none."}
    )
    class_weights: Literal["balanced"] | None = field(
        default=None,
        metadata={"help": "Weight the classes in the training loss so that all count the same, however rare."},
    )
    allow_overlap: bool = field(
        default=False, metadata={"help": "Allow the same sequence in train and in validation or test."}
    )
    streaming: bool = field(
        default=False,
        metadata={
            "help": "With --task mlm: read train while training, for data larger than the disk; see --max_steps."
        },
    )
    max_length: int | None = field(
        default=None,
        metadata={
            "help": "Truncate sequences to this many tokens, <cls> included; default: a longer one is an error."
        },
    )

    def check(self) -> None:
        """
        Raises:
            ValueError: If there is neither a data set nor a file, or both.
        """
        if not self.dataset_name and not self.train_file:
            raise ValueError("--dataset_name or --train_file is required, such as --dataset_name data/nt-species.")
        if self.dataset_name:
            for name in ("train_file", "validation_file", "test_file"):
                if getattr(self, name):
                    raise ValueError(f"--dataset_name and --{name} are both given; give one of them.")
        elif self.dataset_config_name or self.dataset_revision:
            raise ValueError("--dataset_config_name and --dataset_revision need --dataset_name.")


@dataclass
class TrainerArguments:
    """Training"""

    output_dir: str = field(metadata={"help": "Folder of the run, such as runs/my-run.", **FREE})
    seed: int = field(default=42, metadata={"help": "Seed of new weights, the order of rows, dropout and masks."})
    num_train_epochs: float = field(default=3.0, metadata={"help": "Passes over the training data."})
    max_steps: int | None = field(default=None, metadata={"help": "Optimizer steps, instead of epochs."})
    per_device_train_batch_size: int = field(default=8, metadata={"help": "Sequences per batch and process."})
    per_device_eval_batch_size: int = field(
        default=64, metadata={"help": "Sequences per batch and process in evaluations.", **FREE}
    )
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Batches per optimizer step."})
    learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate; default by tuning and model size, 1e-5 to 3e-3."}
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = field(
        default="linear", metadata={"help": "How the learning rate changes after the warm-up."}
    )
    warmup_steps: float = field(default=0.1, metadata={"help": "Warm-up in steps; below 1: a fraction of all steps."})
    weight_decay: float = field(default=0.0, metadata={"help": "Weight decay of AdamW."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Gradients are clipped to this norm; 0: not clipped."})
    label_smoothing_factor: float = field(default=0.0, metadata={"help": "Label smoothing, for one class each."})
    train_sampling_strategy: Literal["random", "group_by_length"] | None = field(
        default=None, metadata={"help": "Order of the rows; default: by length if the lengths differ much."}
    )
    save_strategy: Literal["epoch", "steps", "no"] | None = field(
        default=None,
        metadata={"help": "When to evaluate and save; default: after each epoch, or by --save_steps."},
    )
    save_steps: int | None = field(default=None, metadata={"help": "Evaluate and save every so many steps."})
    save_total_limit: int = field(
        default=2, metadata={"help": "Checkpoints kept to resume from, the best one among them.", **FREE}
    )
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "Keep the best weights by validation, not the last."}
    )
    metric_for_best_model: str | None = field(
        default=None, metadata={"help": "What the best weights are best by; default: the first metric of the task."}
    )
    early_stopping_patience: int = field(
        default=3, metadata={"help": "Stop after so many evaluations without improvement; 0: never."}
    )
    bf16: bool | None = field(
        default=None, metadata={"help": "Train in bfloat16 mixed precision; default: on GPUs that support it."}
    )
    fp16: bool = field(default=False, metadata={"help": "Train in float16 mixed precision."})
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "Recompute activations: less memory, a third more time."}
    )
    torch_compile: bool = field(default=False, metadata={"help": "Compile the model: a minute or more, then faster."})
    use_cpu: bool = field(default=False, metadata={"help": "Train on the CPU although there is a GPU.", **FREE})
    dataloader_num_workers: int = field(default=0, metadata={"help": "Processes that prepare batches.", **FREE})
    logging_steps: float = field(
        default=0.02, metadata={"help": "Log every so many steps; below 1: a fraction of all steps.", **FREE}
    )
    report_to: Literal["none", "tensorboard", "wandb"] = field(
        default="none", metadata={"help": "Where else to log.", **FREE}
    )
    disable_tqdm: bool = field(default=False, metadata={"help": "No progress bars.", **FREE})

    def __post_init__(self):
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: give 1 or more.")
        for name in ("max_steps", "save_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: give 1 or more, or leave it out.")
        if not (0 < self.num_train_epochs < math.inf):
            raise ValueError(f"--num_train_epochs {self.num_train_epochs}: give a number above 0, or --max_steps.")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ValueError(f"--learning_rate {self.learning_rate}: give a number above 0, such as 1e-4.")
        for name in ("warmup_steps", "logging_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{name} {getattr(self, name)}: give 0 or more.")
        if self.early_stopping_patience < 0:
            raise ValueError(f"--early_stopping_patience {self.early_stopping_patience}: give 0 or more.")
        if self.report_to != "none" and find_spec(self.report_to) is None:
            raise ValueError(f"--report_to {self.report_to} needs that package: pip install {self.report_to}.")
        if self.save_strategy is None:
            self.save_strategy = "epoch" if self.save_steps is None else "steps"
        if self.save_strategy == "steps" and self.save_steps is None:
            self.save_steps = 500
        if self.save_strategy == "no":
            self.load_best_model_at_end = False


@dataclass
class RunArguments:
    """Several runs and baselines"""

    seeds: int = field(
        default=1, metadata={"help": "Number of runs, with --seed, --seed + 1, ...; mean and deviation are reported."}
    )
    hyperparameter_search: int = field(
        default=0,
        metadata={"help": "Trials over learning rate, weight decay and warm-up by Optuna, before the run."},
    )
    baselines: bool = field(
        default=True, metadata={"help": "Measure k-mer baselines on the test split as well.", **FREE}
    )

    def __post_init__(self):
        for name, least in (("seeds", 1), ("hyperparameter_search", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} {getattr(self, name)}: give {least} or more.")
        if self.hyperparameter_search and find_spec("optuna") is None:
            raise ValueError("--hyperparameter_search needs Optuna: pip install -r requirements-extra.txt.")


@dataclass
class HubArguments:
    """Publishing"""

    push_to_hub: bool = field(default=False, metadata={"help": "Publish the finished checkpoint, as one commit."})
    hub_model_id: str | None = field(default=None, metadata={"help": "Where, such as user/nt-species-classifier."})
    hub_private_repo: bool = field(default=False, metadata={"help": "Make the repository private, if it is new."})
    hub_revision: str = field(default="main", metadata={"help": "Branch to commit to."})
    push_only: bool = field(
        default=False, metadata={"help": "Publish the finished checkpoint in --output_dir without training."}
    )

    def __post_init__(self):
        publishing = self.push_to_hub or self.push_only
        if not publishing and (self.hub_model_id or self.hub_private_repo or self.hub_revision != "main"):
            raise ValueError("--hub_model_id, --hub_private_repo and --hub_revision need --push_to_hub.")
        if publishing and not self.hub_model_id:
            raise ValueError("--hub_model_id is required with --push_to_hub, such as user/nt-species-classifier.")


@dataclass(frozen=True)
class Arguments:
    """All flags of train.py; `training` are transformers' TrainingArguments, once `training_arguments` made them."""

    model: ModelArguments
    data: DataArguments
    trainer: TrainerArguments
    run: RunArguments
    hub: HubArguments
    training: Any = None


def parse_arguments(description: str, argv: Sequence[str]) -> Arguments:
    """
    The flags of train.py: our defaults, overridden by the recipe, overridden by the command line.

    Args:
        description: Docstring of train.py.
        argv: The command line without the program's name: first a recipe, if any, then flags.

    Raises:
        SystemExit: With status 2 and one sentence, for anything that is not a flag or not a value of it.
        ValueError: If flags contradict each other.
    """
    classes = (ModelArguments, DataArguments, TrainerArguments, RunArguments, HubArguments)
    args = Arguments(*parse("train.py", description, classes, argv, recipe=True))
    if args.hub.push_only:
        return args
    args.data.check()
    if args.data.streaming:
        _check_streaming(args)
    return args


def _check_streaming(args: Arguments) -> None:
    if args.trainer.max_steps is None:
        raise ValueError("--streaming needs --max_steps, for the length of the stream is not known.")
    if args.data.group_column:
        raise ValueError("--group_column: nothing can be cut off a stream; leave it out, or --streaming.")
    if args.data.train_file and not args.data.validation_file:
        raise ValueError("--streaming needs --validation_file, for nothing can be cut off a stream.")
    if args.trainer.save_strategy == "epoch":
        args.trainer.save_strategy, args.trainer.save_steps = "steps", args.trainer.save_steps or 500


def deciding(args: Arguments) -> dict[str, Any]:
    """The flags on which the result depends, by name: an interrupted run resumes only with the same."""
    found = {}
    for part in (args.model, args.data, args.trainer, args.run):
        free = {each.name for each in fields(part) if not each.metadata.get("decides", True)}
        found |= {name: value for name, value in asdict(part).items() if name not in free}
    return found
