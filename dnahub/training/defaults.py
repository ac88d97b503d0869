"""Base model, tuning and labels -> the hyper-parameters that were not given."""

import numpy as np
import torch
from transformers import PretrainedConfig, TrainingArguments
from transformers.utils import is_flash_attn_2_available

from dnahub.tasks.task import Task
from dnahub.training.arguments import ModelArguments
from dnahub.training.trainer_arguments import BY_TASK

# Wider models than this (NT-v2-250m and 500m, NT-v1) are trained at the smaller rates.
SMALL_HIDDEN_SIZE = 512
# Peak learning rate: of models up to 512 wide, of wider ones.
LEARNING_RATES = {
    # BERT (arXiv:1810.04805, A.3) takes 2e-5 to 5e-5; larger models collapse more often at the upper end.
    "full": (5e-5, 1e-5),
    "frozen": (5e-5, 5e-5),
    "head": (1e-3, 1e-3),
    # LoRA (arXiv:2106.09685, table 9) takes 2e-4 to 5e-4 for RoBERTa-base; wider models bear up to 1e-4.
    "lora": (5e-4, 1e-4),
    # NT, https://doi.org/10.1038/s41592-024-02523-z, Methods: IA3 at 3e-3.
    "ia3": (3e-3, 3e-3),
    # Random weights: our own runs of the tiny model; NT's pre-training peaks at 1e-4.
    "from_scratch": (5e-4, 1e-4),
}
# Where the longest tenth of the sequences is longer than the shortest tenth by this factor, batches are made of
# sequences of like length.
UNEQUAL = 1.25


def settle_for_model(args: TrainingArguments, model_args: ModelArguments, config: PretrainedConfig) -> None:
    """The learning rate, by how much of which model is trained."""
    if args.learning_rate is None:
        rates = LEARNING_RATES["from_scratch" if model_args.from_scratch else model_args.tuning]
        args.learning_rate = rates[config.hidden_size > SMALL_HIDDEN_SIZE]


def settle_for_task(args: TrainingArguments, task: Task) -> None:
    """
    Which metric chooses the best checkpoint.

    Raises:
        ValueError: If the task does not measure the metric that was given.
    """
    given = args.metric_for_best_model
    metric = task.metrics[0] if given == BY_TASK else given.removeprefix("eval_")
    if metric not in task.metrics:
        raise ValueError(f"--metric_for_best_model {given}: for this task it is one of {', '.join(task.metrics)}.")
    args.metric_for_best_model = metric
    args.greater_is_better = task.greater_is_better(metric)


def settle_for_lengths(args: TrainingArguments, model_args: ModelArguments, lengths: np.ndarray | None) -> None:
    """
    Whether batches are made of sequences of like length, so that little is padded.

    Args:
        lengths: Of the sequences of train in tokens; None for a stream.
    """
    if args.train_sampling_strategy is None:
        args.train_sampling_strategy = "random"
        if lengths is not None and model_args.tuning != "head":  # whose features have no length
            shortest, longest = np.percentile(lengths, [10, 90])
            if longest > UNEQUAL * shortest:
                args.train_sampling_strategy = "group_by_length"


def attention(args: TrainingArguments) -> str:
    """Flash attention where its package, a GPU and 16-bit numbers are there, else PyTorch's own choice."""
    if torch.cuda.is_available() and not args.use_cpu and (args.bf16 or args.fp16) and is_flash_attn_2_available():
        return "flash_attention_2"
    return "sdpa"
