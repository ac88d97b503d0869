"""Data set, base model and arguments -> transformers' Trainer, ready to train."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from accelerate.utils import DistributedType
from datasets import DatasetDict, IterableDataset
from peft import PeftModel
from transformers import EvalPrediction, PreTrainedModel, PreTrainedTokenizerFast, Trainer, TrainingArguments, set_seed

from dnahub.checkpoints.loading import CheckpointFiles, build_from_scratch, load_for_task, max_tokens
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from dnahub.machine.processes import share_cores
from dnahub.tasks import TASKS
from dnahub.tasks.losses import StepLoss
from dnahub.tasks.task import Task
from dnahub.training import defaults, tuning
from dnahub.training.arguments import Arguments, DataArguments, ModelArguments
from dnahub.training.dataset import SequenceData
from dnahub.training.features import features_computed_once, has_fixed_features
from dnahub.training.sequence_trainer import SequenceTrainer
from dnahub.training.tokens import num_tokens, tokenize


def build_model(
    model_args: ModelArguments, training_args: TrainingArguments, data: SequenceData, base: CheckpointFiles | None
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """The model for the task, from a checkpoint or with random weights, tuned as asked for, and its tokenizer."""
    set_seed(training_args.seed)  # before weights are drawn
    task = TASKS[model_args.task]
    head_fields = task.head_fields(data.labels)
    if base is None:
        model, tokenizer = build_from_scratch(model_args.from_scratch, task.head, head_fields)
    else:
        model, tokenizer = load_for_task(task.head, base, head_fields)
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
    The Trainer for the task, and the splits as token ids.

    Raises:
        ValueError: If data, model and arguments do not fit together.
    """
    task = TASKS[model_args.task]
    defaults.settle_for_task(training_args, task)
    model, tokenizer = build_model(model_args, training_args, data, base)
    limit = max_tokens(model)
    if data_args.max_length is not None and not 2 <= data_args.max_length <= limit:
        raise ValueError(f"--max_length {data_args.max_length}: this model takes 2 to {limit} tokens.")
    defaults.settle_for_model(training_args, model_args, model.config)
    with training_args.main_process_first(desc="tokenising"):  # of each node; the others take it from the cache
        tokenised = tokenize(data.splits, tokenizer, limit, data_args.max_length, data.place)
    lengths = None if data_args.streaming else num_tokens(tokenised["train"])
    defaults.settle_for_lengths(training_args, model_args, lengths)
    if training_args.ddp_find_unused_parameters is None and isinstance(model, NucleotideTransformerPreTrainedModel):
        training_args.ddp_find_unused_parameters = False  # all are used, and looking for others costs time
    if training_args.label_smoothing_factor and not task.smooths_labels:
        raise ValueError("--label_smoothing_factor is for labels of one class each; leave it out.")
    weights = task.class_weights(data.splits["train"], data.labels.num_outputs) if data_args.class_weights else None
    collator = task.collator(tokenizer, training_args.seed)
    trainer = SequenceTrainer(
        model=model,
        args=training_args,
        train_dataset=tokenised["train"],
        eval_dataset=task.evaluation_rows(tokenised["validation"], tokenizer, training_args.seed),
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=task.callbacks(collator),
        compute_loss_func=StepLoss(task, weights, training_args.label_smoothing_factor),
        compute_metrics=_compute_metrics(task, data.labels.names),
        preprocess_logits_for_metrics=task.outputs_kept,
    )
    return trainer, tokenised


def _compute_metrics(task: Task, label_names: list[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    What the Trainer calls after an evaluation: the loss and the metrics that are one number, each of which it logs,
    and `constant`.

    An undefined one is NaN here, not missing: the Trainer ends with a KeyError where it lacks the metric that chooses
    the best checkpoint, and NaN is never chosen.
    """

    def compute(evaluation: EvalPrediction) -> dict[str, float]:
        outputs, labels = evaluation.predictions, evaluation.label_ids
        measured = task.measure(outputs, labels, label_names) | {"loss": task.mean_loss(outputs, labels)}
        numbers = {name: float("nan") if measured[name] is None else measured[name] for name in task.metrics}
        return numbers | {"constant": float(measured.get("constant", False))}

    return compute


def whole_model(
    trainer: Trainer, args: Arguments, data: SequenceData, base: CheckpointFiles | None
) -> PreTrainedModel | PeftModel | None:
    """The trained model in one piece, on the first process; to be called by all."""
    if trainer.accelerator.distributed_type not in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        return trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # from all processes, to the first
    if not trainer.is_world_process_zero():
        return None
    # Built again, for FSDP changed the classes of the model's parts: their code could not be saved, nor LoRA merged.
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
