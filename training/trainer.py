"""Data set, base model and arguments -> transformers' Trainer, ready to train."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from accelerate.utils import DistributedType
from datasets import Dataset, DatasetDict
from peft import PeftModel
from torch.utils.data import RandomSampler, Sampler
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer, TrainingArguments, set_seed
from transformers.trainer_pt_utils import get_length_grouped_indices

from checkpoints.loading import CheckpointFiles, build_from_scratch, load_for_task, max_tokens
from hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from machine.processes import share_cores
from training import defaults, evaluation, tuning
from training.arguments import Arguments, DataArguments, ModelArguments
from training.callbacks import NewMasksEachEpoch
from training.collators import LabelCollator, MaskingCollator
from training.dataset import SequenceData
from training.frozen_prefix import activations_reused, num_frozen_layers
from training.tokens import num_tokens, tokenize


class SequenceTrainer(Trainer):
    """
    transformers' Trainer, whose steps are the same however many processes share them, and in a resumed run.

    Every step of an epoch has the same number of rows; the few that are left over, others in each epoch, are left out.
    transformers' own last step is short with one process, and filled up with rows of the first step with several; its
    `dataloader_drop_last` would leave rows out of evaluations, too. A training split that is smaller than one step
    stays as it is. Batches of like length come in an order that a resumed run finds again.
    """

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        args = self.args
        rows_per_step = args.train_batch_size * args.world_size * args.gradient_accumulation_steps
        if args.train_sampling_strategy == "group_by_length" and isinstance(self.train_dataset, Dataset):
            return LengthGroups(num_tokens(self.train_dataset).tolist(), rows_per_step, args.seed)
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, RandomSampler) and len(sampler.data_source) >= rows_per_step:
            return RandomSampler(
                sampler.data_source, num_samples=len(sampler.data_source) // rows_per_step * rows_per_step
            )
        return sampler


class LengthGroups(Sampler):
    """
    Rows of like length in one step, in an order that the seed and the epoch alone decide.

    transformers' own sampler draws from the process's generator, whose state is another in each process, and after a
    resume; the grouping itself is transformers'.

    Args:
        lengths: Of each row.
        rows_per_step: Of all processes together.
        seed: Seed of the order.
    """

    def __init__(self, lengths: list[int], rows_per_step: int, seed: int):
        self.lengths = lengths
        self.rows_per_step = rows_per_step
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate when an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths) // self.rows_per_step * self.rows_per_step or len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = get_length_grouped_indices(self.lengths, self.rows_per_step, generator=generator)
        return iter(order[: len(self)])


def problem_of(data: SequenceData) -> str:
    """What kind of problem the labels make; see `training.evaluation`."""
    return data.targets.problem if data.targets else "masked_lm"


def build_model(
    model_args: ModelArguments, training_args: TrainingArguments, data: SequenceData, base: CheckpointFiles | None
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """The model for the problem, from a checkpoint or with random weights, tuned as asked for, and its tokenizer."""
    set_seed(training_args.seed)  # before weights are drawn
    num_outputs = data.targets.num_outputs if data.targets else 0
    if base is None:
        model, tokenizer = build_from_scratch(model_args.from_scratch, problem_of(data), data.label_names, num_outputs)
    else:
        model, tokenizer = load_for_task(problem_of(data), base, data.label_names, num_outputs)
    model.set_attn_implementation(defaults.attention(training_args))
    return tuning.prepare(model, model_args, base and base.commit), tokenizer


def build_trainer(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: TrainingArguments,
    data: SequenceData,
    base: CheckpointFiles | None,
) -> tuple[SequenceTrainer, DatasetDict]:
    """
    The Trainer for the problem, and the splits as token ids.

    Raises:
        ValueError: If the data, the model and the arguments do not go together.
    """
    problem = problem_of(data)
    defaults.settle_for_problem(training_args, problem)
    model, tokenizer = build_model(model_args, training_args, data, base)
    limit = max_tokens(model)
    if data_args.max_length is not None and not 2 <= data_args.max_length <= limit:
        raise ValueError(f"--max_length {data_args.max_length}: this model takes 2 to {limit} tokens.")
    defaults.settle_for_model(training_args, model_args, model.config)
    with training_args.main_process_first(desc="tokenising"):  # of each node; the others take it from the cache
        tokenised = tokenize(data.splits, tokenizer, limit, data_args.max_length)
    lengths = None if data_args.streaming else num_tokens(tokenised["train"])
    defaults.settle_for_lengths(training_args, model_args, lengths)
    for_problem = {
        "eval_dataset": tokenised["validation"],
        "data_collator": LabelCollator(tokenizer, problem),
        "compute_metrics": evaluation.compute_metrics(problem, data.label_names),
    }
    if problem in ("token_classification", "masked_lm"):
        for_problem |= {
            "preprocess_logits_for_metrics": evaluation.most_likely,
            "compute_loss_func": evaluation.mean_over_tokens,
        }
    if problem == "masked_lm":
        for_problem |= {
            "eval_dataset": MaskingCollator(tokenizer, training_args.seed).mask_once(tokenised["validation"]),
            "data_collator": (masking := MaskingCollator(tokenizer, training_args.seed)),
            "callbacks": [NewMasksEachEpoch(masking)],
        }
    if problem in ("token_classification", "masked_lm"):
        for_problem |= {
            "preprocess_logits_for_metrics": evaluation.most_likely,
            "compute_loss_func": evaluation.mean_over_tokens,
        }
    if training_args.ddp_find_unused_parameters is None and isinstance(model, NucleotideTransformerPreTrainedModel):
        training_args.ddp_find_unused_parameters = False  # all are used, and looking for others costs time
    trainer = SequenceTrainer(
        model=model,
        args=training_args,
        train_dataset=tokenised["train"],
        processing_class=tokenizer,
        **for_problem,
    )
    return trainer, tokenised


def whole_model(
    trainer: Trainer, args: Arguments, data: SequenceData, base: CheckpointFiles | None
) -> PreTrainedModel | PeftModel | None:
    """The trained model in one piece, on the first process; to be called by all."""
    if trainer.accelerator.distributed_type not in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        return trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # from all processes, to the first
    if not trainer.is_world_process_zero():
        return None
    # Made anew, for FSDP changed the classes of the model's parts: their code could not be saved, nor LoRA be merged.
    model, _ = build_model(args.model, args.training, data, base)
    model.load_state_dict(weights)
    return model


def training_context(trainer: Trainer, args: ModelArguments) -> AbstractContextManager:
    """Within which the training happens: on activations of the frozen layers, where that gives the same."""
    settings = trainer.args
    same = settings.world_size == 1 and settings.train_sampling_strategy == "random"
    if args.reuse_activations and args.tuning in ("frozen", "head") and args.task != "mlm" and same:
        if num_frozen_layers(trainer.model) and isinstance(trainer.train_dataset, Dataset):
            return activations_reused(trainer, Path(settings.output_dir))
    return nullcontext()


def use_all_cores(args: TrainingArguments) -> None:
    """On a CPU, share its cores among the processes."""
    if args.device.type == "cpu":
        args.dataloader_pin_memory = False  # there is no device to pin for, of which torch warns at every evaluation
        share_cores(args.world_size)
