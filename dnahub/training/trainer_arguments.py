"""Flags of train.py -> transformers' TrainingArguments, with all that is decided here."""

import os
import shutil
import sys
from typing import Any

import torch
from accelerate.utils import patch_environment, str_to_bool
from transformers import TrainingArguments

from dnahub.machine.processes import num_launched
from dnahub.training.arguments import Arguments
from dnahub.training.tokens import NUM_TOKENS

# Replaced by the first metric of the task when that is known: transformers would fill in "loss".
BY_TASK = "by_task"
PRECISIONS = ("no", "bf16", "fp16")


def training_arguments(args: Arguments) -> TrainingArguments:
    """Switches of the library that are not flags keep their default or are set here."""
    flags = vars(args.trainer) | {"max_steps": args.trainer.max_steps or -1}
    for name in ("warmup_steps", "logging_steps"):  # a float below 1 is a fraction of all steps
        flags[name] = flags[name] if flags[name] < 1 else int(flags[name])
    flags["save_steps"] = flags["save_steps"] or 500
    flags["metric_for_best_model"] = flags["metric_for_best_model"] or BY_TASK
    flags["use_cpu"] |= str_to_bool(os.environ.get("ACCELERATE_USE_CPU") or "false") == 1
    _check_launcher(flags)
    flags["bf16"], flags["fp16"] = _precision(flags["bf16"], flags["fp16"], flags["use_cpu"])
    del flags["early_stopping_patience"]  # of our own callback
    # None is not among the values that TrainingArguments takes.
    later = {name: flags.pop(name) for name in ("learning_rate", "train_sampling_strategy")}
    # What accelerate would compute in, whatever the Trainer is told.
    precision = "bf16" if flags["bf16"] else "fp16" if flags["fp16"] else "no"
    with patch_environment(ACCELERATE_MIXED_PRECISION=precision):
        training = TrainingArguments(
            activation_checkpointing=flags.pop("gradient_checkpointing"),  # its new name
            **flags,
            eval_strategy=flags["save_strategy"],  # the best checkpoint is one that was evaluated and saved
            eval_steps=flags["save_steps"],
            logging_nan_inf_filter=False,  # or it would hide that the training diverges
            length_column_name=NUM_TOKENS,
            remove_unused_columns=False,  # the collators read them
            label_names=["labels"],  # which peft hides from the Trainer
            # Of a stream each process reads its own part; by default the first would read for all.
            accelerator_config={"dispatch_batches": False} if args.data.streaming else None,
        )
    for name, value in later.items():
        setattr(training, name, value)
    # Private: nothing public keeps a process to one GPU, and a batch of each would be another batch in all.
    training._n_gpu = min(training.n_gpu, 1)
    launched = num_launched()
    if training.world_size != launched:
        raise ValueError(
            f"{launched} processes were launched, but there is no GPU for them and each would train alone; give "
            "--use_cpu to share the work among CPU processes, or launch one."
        )
    if training.device.type == "cpu":
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch chooses it
        if training.torch_compile and shutil.which(compiler) is None:
            raise ValueError(
                f"--torch_compile needs a C++ compiler on a CPU ({compiler}); install it, or leave it out."
            )
        if training.fp16:
            raise ValueError(
                "--fp16, or accelerate launch --mixed_precision fp16, needs a GPU; give bf16, or neither."
            )
        training.dataloader_pin_memory = False  # there is no device to pin for, of which torch warns
    return training


def _check_launcher(flags: dict[str, Any]) -> None:
    """Raises ValueError for what accelerate launch asks for, by its variables, and we would not do, or not record."""
    given = os.environ.get
    precision = given("ACCELERATE_MIXED_PRECISION", "no").lower()
    if precision not in PRECISIONS:
        raise ValueError(f"accelerate launch --mixed_precision {precision}: give one of {', '.join(PRECISIONS)}.")
    if given("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no":
        raise ValueError("accelerate launch --dynamo_backend: leave it out, and give train.py --torch_compile.")
    for name in ("MEGATRON_LM", "PARALLELISM_CONFIG"):
        if str_to_bool(given(f"ACCELERATE_USE_{name}", "false")):
            raise ValueError(f"accelerate launch --use_{name.lower()}: leave it out; see accelerate_configs/.")
    steps = given("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "auto")
    if steps not in ("auto", str(flags["gradient_accumulation_steps"])):
        raise ValueError(f"accelerate's gradient_accumulation_steps {steps}: give it to train.py instead.")


def _precision(bf16: bool | None, fp16: bool, use_cpu: bool) -> tuple[bool, bool]:
    """The flag, else what accelerate launch was asked for, else bfloat16 on a GPU that has it."""
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    if bf16 is None and not fp16 and launched in ("bf16", "fp16"):
        return launched == "bf16", launched == "fp16"
    if bf16 is None:
        on_gpu = torch.cuda.is_available() and not use_cpu
        bf16 = on_gpu and not fp16 and torch.cuda.is_bf16_supported(including_emulation=False)
    return bf16, fp16
