"""Recipe (YAML) and command line -> the flags of train.py, checked; nothing heavy is imported."""

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib.util import find_spec
from typing import Any, Literal

from dnahub.checkpoints.presets import INITS, PRESETS
from dnahub.machine.arguments import parse
from dnahub.tasks import TASKS

PATIENCE = 3  # evaluations
WARMUP = 0.1  # of all steps
DEFAULT_BASE_MODEL = "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species"
TUNINGS = ("full", "frozen", "head", "lora", "ia3")


def flag(
    default: Any,
    help: str,
    decides: bool = True,
    least: int | None = None,
    most: float = math.inf,
    tuning: str | None = None,
) -> Any:
    """
    A field of the dataclasses below; `least` and `most` are the smallest and the largest number that it takes.

    If `decides` is false, the result does not depend on it, and an interrupted run may resume with another value. With
    another `--tuning` than `tuning` it has no effect, and is refused.
    """
    metadata = {"help": help, "decides": decides, "least": least, "most": most, "tuning": tuning}
    return field(default=default, metadata=metadata)


def check_numbers(arguments: Any) -> None:
    for each in fields(arguments):
        value, least, most = getattr(arguments, each.name), each.metadata["least"], each.metadata["most"]
        if value is None or least is None or (least <= value <= most and value < math.inf):  # NaN is not
            continue
        raise ValueError(f"--{each.name} {value}: give {least} {'or more' if most == math.inf else f'to {most}'}.")


@dataclass
class ModelArguments:
    """What is trained"""

    model_name_or_path: str | None = flag(None, f"Folder or Hub id of the base model; default: {DEFAULT_BASE_MODEL}.")
    model_revision: str | None = flag(None, "Branch, tag or commit of the base model on the Hub.")
    allow_pickle: bool = flag(
        False, "Load weights in pickle format if there are no others; only from people you trust."
    )
    from_scratch: Literal[tuple(PRESETS)] | None = flag(None, "Random weights of this size instead of a base model.")
    init: Literal[INITS] | None = flag(
        None,
        "With --from_scratch: 6-mers begin similar where they share letters (composed, the default), or unrelated.",
    )
    task: str = flag(
        "classification",
        f"{', '.join(TASKS)}: one class per sequence, any number of labels per sequence, numbers, one "
        "class per token, or masked language modelling.",
    )
    tuning: Literal[TUNINGS] = flag(
        "full", "Train all weights, the last layers and the head, the head alone, or an adapter."
    )
    trainable_layers: int = flag(2, "With --tuning frozen: number of last layers trained.", tuning="frozen")
    lora_r: int = flag(8, "Rank of the LoRA matrices.", least=1, tuning="lora")
    lora_alpha: int = flag(16, "LoRA updates are scaled by alpha / rank.", least=1, tuning="lora")
    lora_dropout: float = flag(0.0, "Dropout on the input of the LoRA matrices.", tuning="lora")
    lora_targets: list[str] | None = flag(
        None,
        "Linear layers with LoRA, by the end of their name, such as intermediate.dense; default: query and value.",
        tuning="lora",
    )

    def __post_init__(self):
        if self.task not in TASKS:
            raise ValueError(f"--task {self.task}: give one of {', '.join(TASKS)}.")
        check_numbers(self)
        for each in fields(self):
            value, needed = getattr(self, each.name), each.metadata["tuning"]
            if needed not in (None, self.tuning) and value != each.default:
                raise ValueError(f"--{each.name} has no effect without --tuning {needed}; give it, or leave that out.")
        if self.from_scratch and (self.model_name_or_path or self.model_revision):
            raise ValueError(
                "--from_scratch stands in place of --model_name_or_path and --model_revision; give one of them."
            )
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"--lora_dropout {self.lora_dropout}: give 0 or more, and less than 1.")
        if self.init is not None and not self.from_scratch:
            raise ValueError(f"--init {self.init} has no effect without --from_scratch; leave it out.")
        if self.from_scratch and self.init is None:
            self.init = INITS[0]
        if self.from_scratch and self.tuning != "full":
            raise ValueError(f"--tuning {self.tuning} would freeze the random weights of --from_scratch; give full.")
        if self.tuning == "frozen" and self.trainable_layers < 1:
            raise ValueError(f"--trainable_layers {self.trainable_layers}: give 1 or more, or --tuning head.")
        if not self.from_scratch and not self.model_name_or_path:
            self.model_name_or_path = DEFAULT_BASE_MODEL


@dataclass
class DataArguments:
    """Training data: a data set, or files"""

    dataset_name: str | None = flag(None, "Folder or Hub id of a data set with a train split.")
    dataset_config_name: str | None = flag(None, "Configuration of the data set, if it has several.")
    dataset_revision: str | None = flag(None, "Branch, tag or commit of the data set on the Hub.")
    train_file: list[str] | None = flag(None, "Files instead of a data set, in any format that embed.py reads.")
    validation_file: list[str] | None = flag(None, "Files; default: a fraction of the training sequences.")
    test_file: list[str] | None = flag(None, "Files; default: a fraction of the training sequences.")
    dataset_filter: str | None = flag(
        None, "COLUMN=VALUE: use only these rows, of a data set or files of several tasks."
    )
    unlabelled_file: list[str] | None = flag(
        None,
        "Files of further sequences for train, labelled by a classifier of k-mers that is fitted on train: "
        "self-training, by group where there is a --group_column.",
    )
    sequence_column: str = flag("sequence", "Column of the DNA sequences.")
    sequence_format: Literal["letters", "kmers"] = flag(
        "letters", "kmers: overlapping k-mers separated by spaces (ACG CGT GTA), which are joined (ACGTA)."
    )
    bad_records: Literal["error", "skip"] = flag(
        "error",
        "skip: leave out records that cannot be read, and list them in OUTPUT_DIR/skipped.tsv; see the card.",
    )
    label_column: str = flag(
        "label", "Column of the labels; in a FASTA header NAME=... or NAME:... is the column NAME."
    )
    label_separator: str | None = flag(None, "With --task multi_label: separates the labels of a row, such as ';'.")
    group_column: str | None = flag(None, "Rows of one group, such as a gene, go to the same split.")
    validation_fraction: float = flag(0.1, "Fraction of train that becomes validation, if there is no such split.")
    test_fraction: float = flag(0.1, "Fraction of train that becomes test, if there is no such split; 0 for none.")
    class_weights: Literal["balanced"] | None = flag(
        None, "Weight the classes in the training loss so that all count the same, however rare."
    )
    class_sampling: Literal["balanced"] | None = flag(
        None, "Draw the rows of train so that all classes come equally often in an epoch, however rare."
    )
    crop_nt: int | None = flag(
        None, "Train on windows of this length, drawn from the rows of train anew in every epoch.", least=6
    )
    crop_step: int | None = flag(
        None, "With --crop_nt: windows start at multiples of this, in nt, of their row; default: 3, a codon.", least=1
    )
    mask_fraction: float = flag(
        0.0, "Mask this fraction of the tokens in training, at random in each step, against overfitting.", least=0
    )
    max_train_samples: int | None = flag(None, "Use at most this many rows of train, drawn at random.", least=1)
    allow_overlap: bool = flag(False, "Allow the same sequence in train and in validation or test.")
    streaming: bool = flag(
        False, "With --task mlm: read train while training, for data larger than the disk; see --max_steps."
    )
    max_length: int | None = flag(
        None, "Most tokens of a sequence or window, <cls> included; default: all positions of the model."
    )
    long: Literal["error", "truncate", "windows"] | None = flag(
        None,
        "Sequences of more tokens. truncate: use their beginnings. windows: train on windows, each with the label of "
        "its sequence, and evaluate the means of their logits. Default: truncate with --max_length, else error.",
    )
    window_nt: int | None = flag(
        None, "With --long windows: length of a window in nt; default: --max_length tokens.", least=6
    )
    stride_nt: int | None = flag(
        None, "With --long windows: distance between the starts of two windows; default: three quarters.", least=1
    )

    def __post_init__(self):
        check_numbers(self)
        if self.crop_nt is None and self.crop_step is not None:
            raise ValueError("--crop_step has no effect without --crop_nt; give it, or leave that out.")
        if self.crop_nt is not None and self.crop_step is None:
            self.crop_step = 3
        if self.crop_nt is not None and self.crop_step > self.crop_nt:
            raise ValueError(
                f"--crop_step {self.crop_step}: windows of --crop_nt {self.crop_nt} would leave out what lies between "
                f"them; give 1 to {self.crop_nt}."
            )
        if self.long is None:
            self.long = "error" if self.max_length is None else "truncate"
        for name in ("window_nt", "stride_nt"):
            if getattr(self, name) is not None and self.long != "windows":
                raise ValueError(f"--{name} has no effect without --long windows; give it, or leave that out.")
        if self.mask_fraction >= 1:
            raise ValueError(f"--mask_fraction {self.mask_fraction}: give 0 or more, and less than 1.")
        if self.class_sampling and self.class_weights:
            raise ValueError("--class_sampling and --class_weights would both balance the classes; give one of them.")

    def check(self) -> None:
        """Raises ValueError if there is neither a data set nor a file, or both; --push_only needs none."""
        if not self.dataset_name and not self.train_file:
            raise ValueError("--dataset_name or --train_file is required, such as --dataset_name data/nt-species.")
        if self.dataset_filter is not None and "=" not in self.dataset_filter[1:]:
            raise ValueError(f"--dataset_filter {self.dataset_filter}: give COLUMN=VALUE, such as task=enhancers.")
        if self.dataset_name:
            for name in ("train_file", "validation_file", "test_file"):
                if getattr(self, name):
                    raise ValueError(f"--dataset_name and --{name} are both given; give one of them.")
        elif self.dataset_config_name or self.dataset_revision:
            raise ValueError("--dataset_config_name and --dataset_revision need --dataset_name.")


@dataclass
class TrainerArguments:
    """Training"""

    output_dir: str = flag(MISSING, "Folder of the run, such as runs/my-run.", decides=False)
    seed: int = flag(42, "Seed of new weights, the order of rows, dropout and masks.", least=0)
    num_train_epochs: float = flag(3.0, "Passes over the training data.")
    max_steps: int | None = flag(None, "Optimizer steps, instead of epochs.", least=1)
    per_device_train_batch_size: int = flag(8, "Sequences per batch and process.", least=1)
    per_device_eval_batch_size: int = flag(
        64, "Sequences per batch and process in evaluations.", decides=False, least=1
    )
    gradient_accumulation_steps: int = flag(1, "Batches per optimizer step.", least=1)
    learning_rate: float | None = flag(None, "Peak learning rate; default by tuning and model size, 1e-5 to 3e-3.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = flag(
        "linear", "How the learning rate changes after the warm-up."
    )
    warmup_steps: float = flag(WARMUP, "Warm-up in steps; below 1: a fraction of all steps.", least=0)
    weight_decay: float = flag(0.0, "Weight decay of AdamW.", least=0)
    max_grad_norm: float = flag(1.0, "Gradients are clipped to this norm; 0: not clipped.", least=0)
    label_smoothing_factor: float = flag(0.0, "Label smoothing, for one class each.", least=0, most=1)
    train_sampling_strategy: Literal["random", "group_by_length"] | None = flag(
        None, "Order of the rows; default: by length if the lengths differ much."
    )
    save_strategy: Literal["epoch", "steps", "no"] | None = flag(
        None, "When to evaluate and save; default: after each epoch, or by --save_steps."
    )
    save_steps: int | None = flag(None, "Evaluate and save every so many steps.", least=1)
    save_total_limit: int = flag(
        2, "Checkpoints kept to resume from, the best one among them.", decides=False, least=1
    )
    load_best_model_at_end: bool = flag(True, "Keep the best weights by validation, not the last.")
    metric_for_best_model: str | None = flag(
        None, "What the best weights are best by; default: the first metric of the task."
    )
    early_stopping_patience: int = flag(
        PATIENCE, "Stop after so many evaluations without improvement; 0: never.", least=0
    )
    bf16: bool | None = flag(None, "Train in bfloat16 mixed precision; default: on GPUs that support it.")
    fp16: bool = flag(False, "Train in float16 mixed precision.")
    gradient_checkpointing: bool = flag(False, "Recompute activations: less memory, a third more time.")
    torch_compile: bool = flag(False, "Compile the model: a minute or more, then faster.")
    use_cpu: bool = flag(False, "Train on the CPU although there is a GPU.", decides=False)
    dataloader_num_workers: int = flag(0, "Processes that prepare batches.", decides=False, least=0)
    logging_steps: float = flag(0.02, "Log every so many steps; below 1: a fraction of all steps.", decides=False)
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = flag("none", "Where else to log.", decides=False)
    disable_tqdm: bool = flag(False, "No progress bars.", decides=False)

    def __post_init__(self):
        check_numbers(self)
        for name in ("num_train_epochs", "learning_rate", "logging_steps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"--{name} {value}: give a number above 0.")
        for name in ("warmup_steps", "logging_steps"):
            value = getattr(self, name)
            if value > 1 and value % 1:
                raise ValueError(f"--{name} {value}: give a whole number of steps, or a fraction of them below 1.")
        if self.lr_scheduler_type == "constant":
            if self.warmup_steps not in (WARMUP, 0):
                raise ValueError("--warmup_steps has no effect on a constant rate; give constant_with_warmup.")
            self.warmup_steps = 0
        if self.report_to != "none" and find_spec(self.report_to) is None:
            raise ValueError(f"--report_to {self.report_to} needs that package: pip install {self.report_to}.")
        if self.save_strategy in ("epoch", "no") and self.save_steps is not None:
            raise ValueError(
                f"--save_steps has no effect with --save_strategy {self.save_strategy}; give one of them."
            )


@dataclass
class RunArguments:
    """Several runs and baselines"""

    seeds: int = flag(1, "Number of runs, with --seed, --seed + 1, ...; mean and deviation are reported.", least=1)
    hyperparameter_search: int = flag(
        0, "Trials over learning rate, weight decay and warm-up by Optuna, before the run.", least=0
    )
    report: bool = flag(
        False,
        "Write checkpoint/report/report.html: curves, and UMAPs before and after training; it shows ids and labels of "
        "test sequences, and is published with the checkpoint.",
        decides=False,
    )
    baselines: bool = flag(True, "Measure baselines, such as k-mers, on the test split as well.", decides=False)

    def __post_init__(self):
        check_numbers(self)
        if self.hyperparameter_search and find_spec("optuna") is None:
            raise ValueError("--hyperparameter_search needs Optuna: pip install -r requirements-extra.txt.")


@dataclass
class HubArguments:
    """Publishing"""

    push_to_hub: bool = flag(False, "Publish the finished checkpoint, as one commit.")
    hub_model_id: str | None = flag(None, "Where, such as user/nt-species-classifier.")
    hub_private_repo: bool = flag(False, "Make the repository private, if it is new.")
    hub_revision: str = flag("main", "Branch to commit to.")
    push_only: bool = flag(False, "Publish the finished checkpoint in --output_dir without training.")

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
    """Our defaults, overridden by the recipe, overridden by the command line; raises as `parse` does."""
    classes = (ModelArguments, DataArguments, TrainerArguments, RunArguments, HubArguments)
    args = Arguments(*parse("train.py", description, classes, argv, recipe=True))
    if not args.hub.push_only:
        args.data.check()
    trainer, run = args.trainer, args.run
    if trainer.save_strategy is None:
        trainer.save_strategy = "epoch" if trainer.save_steps is None and not args.data.streaming else "steps"
    if trainer.save_strategy == "steps" and trainer.save_steps is None:
        trainer.save_steps = 500
    if trainer.save_strategy == "no":
        trainer.load_best_model_at_end = False
    if trainer.metric_for_best_model and not (
        trainer.load_best_model_at_end or run.seeds > 1 or run.hyperparameter_search
    ):
        raise ValueError("--metric_for_best_model needs evaluations and --load_best_model_at_end; leave it out.")
    if trainer.early_stopping_patience not in (PATIENCE, 0) and not trainer.load_best_model_at_end:
        raise ValueError("--early_stopping_patience needs evaluations and --load_best_model_at_end; leave it out.")
    if trainer.lr_scheduler_type == "constant" and run.hyperparameter_search:
        raise ValueError("--hyperparameter_search tries warm-ups; give --lr_scheduler_type constant_with_warmup.")
    if trainer.seed + max(run.seeds, run.hyperparameter_search) > 2**32:  # numpy takes no larger one
        raise ValueError(
            f"--seed {trainer.seed} is too large; give less than {2**32} for it and those that follow it."
        )
    if args.data.crop_nt is not None and trainer.train_sampling_strategy == "group_by_length":
        raise ValueError(
            "--train_sampling_strategy group_by_length: with --crop_nt all lengths are equal; leave it out."
        )
    if args.data.streaming:
        if args.data.long == "windows":
            raise ValueError("--long windows: a stream cannot be cut into windows; leave it out, or --streaming.")
        if args.data.crop_nt is not None:
            raise ValueError("--crop_nt: of a stream no rows are known to draw from; leave it out, or --streaming.")
        if trainer.train_sampling_strategy == "group_by_length":
            raise ValueError(
                "--train_sampling_strategy group_by_length: lengths in a stream are not known; leave it out."
            )
        if trainer.max_steps is None:
            raise ValueError("--streaming needs --max_steps, for the length of the stream is not known.")
        if args.data.group_column:
            raise ValueError("--group_column: nothing can be cut off a stream; leave it out, or --streaming.")
        if args.data.train_file and not args.data.validation_file:
            raise ValueError("--streaming needs --validation_file, for nothing can be cut off a stream.")
        if trainer.save_strategy == "epoch":
            raise ValueError("--save_strategy epoch: a stream has no epochs; give --save_steps.")
    return args


def deciding(args: Arguments) -> dict[str, Any]:
    """The flags on which the result depends, by name: an interrupted run resumes only with the same."""
    found = {}
    for part in (args.model, args.data, args.trainer, args.run):
        found |= {each.name: getattr(part, each.name) for each in fields(part) if each.metadata["decides"]}
    if args.data.streaming:  # which they share, a file each
        found["dataloader_num_workers"] = args.trainer.dataloader_num_workers
    return found
