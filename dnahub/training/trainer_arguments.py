"""Flags of train.py -> transformers' TrainingArguments, with all that is decided here."""

import os

import torch
from transformers import TrainingArguments

from dnahub.machine.processes import num_launched
from dnahub.training.arguments import Arguments
from dnahub.training.tokens import NUM_TOKENS

# Replaced by the first metric of the task when that is known: transformers would fill in "loss".
BY_TASK = "by_task"


def training_arguments(args: Arguments) -> TrainingArguments:
    """
    What the Trainer takes.

    Only the flags of `TrainerArguments` vary; every other switch of the library keeps its default or is set here, so
    that none changes a result unnoticed.

    Raises:
        ValueError: If several processes were launched which cannot work together.
    """
    flags = args.trainer
    bf16, fp16 = _precision(flags.bf16, flags.fp16, flags.use_cpu)
    # What accelerate would compute in, whatever the Trainer is told.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if bf16 else "fp16" if fp16 else "no"
    training = TrainingArguments(
        output_dir=flags.output_dir,
        seed=flags.seed,
        num_train_epochs=flags.num_train_epochs,
        max_steps=flags.max_steps or -1,
        per_device_train_batch_size=flags.per_device_train_batch_size,
        per_device_eval_batch_size=flags.per_device_eval_batch_size,
        gradient_accumulation_steps=flags.gradient_accumulation_steps,
        lr_scheduler_type=flags.lr_scheduler_type,
        warmup_steps=_steps(flags.warmup_steps),
        weight_decay=flags.weight_decay,
        max_grad_norm=flags.max_grad_norm,
        label_smoothing_factor=flags.label_smoothing_factor,
        save_strategy=flags.save_strategy,
        save_steps=flags.save_steps or 500,
        eval_strategy=flags.save_strategy,  # the best checkpoint is one that was evaluated and saved
        eval_steps=flags.save_steps,
        save_total_limit=flags.save_total_limit,
        load_best_model_at_end=flags.load_best_model_at_end,
        metric_for_best_model=flags.metric_for_best_model or BY_TASK,
        bf16=bf16,
        fp16=fp16,
        torch_compile=flags.torch_compile,
        use_cpu=flags.use_cpu,
        dataloader_num_workers=flags.dataloader_num_workers,
        logging_steps=_steps(flags.logging_steps),
        report_to=flags.report_to,
        disable_tqdm=flags.disable_tqdm,
        logging_nan_inf_filter=False,  # or it would hide that the training diverges
        length_column_name=NUM_TOKENS,
        remove_unused_columns=False,  # the collators read them
        label_names=["labels"],  # which peft hides from the Trainer
        # Of a stream each process reads its own part; by default the first would read for all.
        accelerator_config={"dispatch_batches": False} if args.data.streaming else None,
    )
    # Set now, for None and what depends on the model are not among the values that TrainingArguments takes.
    training.learning_rate = flags.learning_rate
    training.gradient_checkpointing = flags.gradient_checkpointing
    training.train_sampling_strategy = flags.train_sampling_strategy
    launched = num_launched()
    if training.world_size != launched:
        raise ValueError(
            f"{launched} processes were launched, but there is no GPU for them and each would train alone; give "
            "--use_cpu to share the work among CPU processes, or launch one."
        )
    if training.device.type == "cpu":
        training.dataloader_pin_memory = False  # there is no device to pin for, of which torch warns
    return training


def _precision(bf16: bool | None, fp16: bool, use_cpu: bool) -> tuple[bool, bool]:
    """The flag, else what accelerate launch was asked for, else bfloat16 on a GPU that has it."""
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if bf16 is None and not fp16 and launched in ("bf16", "fp16"):
        return launched == "bf16", launched == "fp16"
    if bf16 is None:
        on_gpu = torch.cuda.is_available() and not use_cpu
        bf16 = on_gpu and not fp16 and torch.cuda.is_bf16_supported(including_emulation=False)
    return bf16, fp16


def _steps(value: float) -> float | int:
    """transformers takes a float for a fraction of all steps."""
    return value if value < 1 else int(value)
