"""Data set, base model and arguments -> transformers' Trainer, ready to train."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate.utils import DistributedType
from datasets import DatasetDict, IterableDataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer, TrainingArguments, set_seed

from dnahub.checkpoints.loading import CheckpointFiles, build_from_scratch, load_for_task, max_tokens
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from dnahub.machine.processes import share_cores
from dnahub.tasks import evaluation
from dnahub.tasks.collators import LabelCollator, MaskingCollator
from dnahub.tasks.losses import StepLoss, balanced_weights
from dnahub.training import defaults, tuning
from dnahub.training.arguments import Arguments, DataArguments, ModelArguments
from dnahub.training.callbacks import NewMasksEachEpoch
from dnahub.training.dataset import SequenceData
from dnahub.training.features import features_computed_once, has_fixed_features
from dnahub.training.sequence_trainer import SequenceTrainer
from dnahub.training.tokens import num_tokens, tokenize


def problem_of(data: SequenceData) -> str:
    """What kind of problem the labels make; see `dnahub.tasks.evaluation`."""
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
    if training_args.ddp_find_unused_parameters is None and isinstance(model, NucleotideTransformerPreTrainedModel):
        training_args.ddp_find_unused_parameters = False  # all are used, and looking for others costs time
    trainer = SequenceTrainer(
        model=model,
        args=training_args,
        train_dataset=tokenised["train"],
        processing_class=tokenizer,
        compute_loss_func=StepLoss(problem, _class_weights(data_args, data), _label_smoothing(training_args, problem)),
        compute_metrics=evaluation.compute_metrics(problem, data.label_names),
        **_data_for(problem, tokenised, tokenizer, training_args.seed),
    )
    return trainer, tokenised


def _data_for(problem: str, tokenised: DatasetDict, tokenizer: PreTrainedTokenizerFast, seed: int) -> dict[str, Any]:
    """Arguments of the Trainer: what makes batches, what is kept of their logits, what is evaluated."""
    if problem != "masked_lm":
        return {"data_collator": LabelCollator(tokenizer, problem), "eval_dataset": tokenised["validation"]}
    masking = MaskingCollator(tokenizer, seed)
    return {
        "data_collator": masking,
        "eval_dataset": MaskingCollator(tokenizer, seed).mask_once(tokenised["validation"]),
        "callbacks": [NewMasksEachEpoch(masking)],
        "preprocess_logits_for_metrics": evaluation.most_likely,
    }


def _class_weights(data_args: DataArguments, data: SequenceData) -> torch.Tensor | None:
    if data_args.class_weights is None:
        return None
    if data.targets is None or not data.label_names:
        raise ValueError("--class_weights balanced is for classes; leave it out.")
    if data_args.streaming:
        raise ValueError("--class_weights balanced: the rows of a stream cannot be counted before; leave one out.")
    return balanced_weights(data.targets.problem, data.splits["train"], len(data.label_names))


def _label_smoothing(training_args: TrainingArguments, problem: str) -> float:
    if training_args.label_smoothing_factor and problem in ("regression", "multi_label_classification"):
        raise ValueError("--label_smoothing_factor is for labels of one class each; leave it out.")
    return training_args.label_smoothing_factor


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
    """Within which the training happens: where the head alone is trained, on features that are computed once."""
    alone = trainer.args.world_size == 1 and not isinstance(trainer.train_dataset, IterableDataset)
    alone &= trainer.args.train_sampling_strategy == "random"  # features have no length
    if args.tuning == "head" and alone and has_fixed_features(trainer.model):
        return features_computed_once(trainer)
    return nullcontext()


def use_all_cores(args: TrainingArguments) -> None:
    """On a CPU, share its cores among the processes."""
    if args.device.type == "cpu":
        args.dataloader_pin_memory = False  # there is no device to pin for, of which torch warns at every evaluation
        share_cores(args.world_size)
