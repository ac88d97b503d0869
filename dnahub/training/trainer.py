"""Data set, base model and arguments -> transformers' Trainer, ready to train."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from accelerate.utils import DistributedType
from datasets import Dataset, DatasetDict
from peft import PeftModel
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import is_flash_attn_2_available

from dnahub.checkpoints.loading import CheckpointFiles, build_from_scratch, load_for_task, max_tokens
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from dnahub.hub_code.pipeline_dna_embedding import UNLIMITED_NT, Cutting, added_ids, check_whole, kmer_of
from dnahub.tasks import TASKS
from dnahub.tasks.losses import step_loss
from dnahub.tasks.task import Task
from dnahub.training import tuning
from dnahub.training.arguments import Arguments, DataArguments, ModelArguments
from dnahub.training.crops import Crops
from dnahub.training.dataset import SequenceData
from dnahub.training.features import features_computed_once, has_fixed_features
from dnahub.training.sequence_trainer import SequenceTrainer
from dnahub.training.token_masking import mask_in_training
from dnahub.training.tokens import num_tokens, tokenize
from dnahub.training.trainer_arguments import BY_TASK
from dnahub.training.windows import Windows, cut_rows

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


def build_model(
    model_args: ModelArguments, training_args: TrainingArguments, data: SequenceData, base: CheckpointFiles | None
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerFast]:
    """The model for the task, from a checkpoint or with random weights, tuned as asked for, and its tokenizer."""
    set_seed(training_args.seed)  # before weights are drawn
    task = TASKS[model_args.task]
    head_fields = task.head_fields(data.labels)
    if base is None:
        model, tokenizer = build_from_scratch(model_args.from_scratch, task.head, head_fields, model_args.init)
    else:
        model, tokenizer = load_for_task(task.head, base, head_fields)
    half = torch.cuda.is_available() and not training_args.use_cpu and (training_args.bf16 or training_args.fp16)
    model.set_attn_implementation("flash_attention_2" if half and is_flash_attn_2_available() else "sdpa")
    return tuning.prepare(model, model_args, base and base.commit), tokenizer


def build_trainer(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: TrainingArguments,
    data: SequenceData,
    base: CheckpointFiles | None,
) -> tuple[SequenceTrainer, DatasetDict]:
    """The Trainer for the task, and the splits as token ids; ValueError if data, model and flags do not fit."""
    task = TASKS[model_args.task]
    choose_metric(training_args, task)
    if training_args.label_smoothing_factor and not task.smooths_labels:
        raise ValueError("--label_smoothing_factor is for labels of one class each; leave it out.")
    if data_args.crop_nt is not None and task.takes_labels and task.item == "token":
        raise ValueError("--crop_nt is for labels of whole sequences, not of tokens; leave it out.")
    classes = task.classes(data.splits["train"]) if data_args.class_sampling else None
    model, tokenizer = build_model(model_args, training_args, data, base)
    if data_args.mask_fraction:
        if not task.takes_labels or model_args.tuning == "head" or tokenizer.mask_token is None:
            raise ValueError(
                f"--mask_fraction {data_args.mask_fraction} is not for --task mlm, which masks tokens itself, nor for "
                "--tuning head, nor for a tokenizer without a mask token; leave it out."
            )
        mask_in_training(model, data_args.mask_fraction, tokenizer.mask_token_id, tokenizer.all_special_ids)
    limit = max_tokens(model)
    if data_args.max_length is not None and not 2 <= data_args.max_length <= limit:
        raise ValueError(f"--max_length {data_args.max_length}: this model takes 2 to {limit} tokens.")
    if training_args.learning_rate is None:
        rates = LEARNING_RATES["from_scratch" if model_args.from_scratch else model_args.tuning]
        training_args.learning_rate = rates[model.config.hidden_size > SMALL_HIDDEN_SIZE]
    rows, crops = data.splits, None
    if data_args.crop_nt is not None:
        rows = {split: each for split, each in data.splits.items() if split != "train"}
        taken = data_args.max_length or limit
        crops = Crops(data.splits["train"], tokenizer, data_args.crop_nt, data_args.crop_step, taken)
    windows: dict[str, Windows] = {}
    if data_args.long == "windows":
        if task.item == "token" and task.takes_labels:
            raise ValueError("--long windows is for labels of whole sequences, not of tokens; leave it out.")
        cutting, tokenised = _cutting(data_args, tokenizer, limit), DatasetDict()
        for split, each in rows.items():
            tokenised[split], windows[split] = cut_rows(each, tokenizer, cutting)
        if classes is not None and crops is None:
            classes = classes[windows["train"].of_row]
    else:
        cut_at = (data_args.max_length or limit) if data_args.long == "truncate" else None
        with training_args.main_process_first(desc="tokenising"):  # of each node; the others take it from the cache
            tokenised = tokenize(rows, tokenizer, data_args.max_length or limit, cut_at, data.place)
    if crops is not None:
        tokenised["train"] = crops
    if training_args.train_sampling_strategy is None:
        # Features of --tuning head and windows have none.
        has_lengths = not data_args.streaming and model_args.tuning != "head" and crops is None
        unequal = has_lengths and are_unequal(num_tokens(tokenised["train"]))
        training_args.train_sampling_strategy = "group_by_length" if unequal else "random"
    if training_args.ddp_find_unused_parameters is None and isinstance(model, NucleotideTransformerPreTrainedModel):
        training_args.ddp_find_unused_parameters = False  # all are used, and looking for others costs time
    weights = None
    if data_args.class_weights:
        weighed = data.splits["train"] if crops is None else crops.rows_of_windows(data.splits["train"])
        if "train" in windows:
            weighed = weighed.select(windows["train"].of_row)
        weights = task.class_weights(weighed, data.labels.num_outputs)
    collator = task.collator(tokenizer, training_args.seed)
    trainer = SequenceTrainer(
        model=model,
        args=training_args,
        train_dataset=tokenised["train"],
        eval_dataset=task.evaluation_rows(tokenised["validation"], tokenizer, training_args.seed),
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=[collator] if isinstance(collator, TrainerCallback) else None,
        compute_loss_func=partial(
            step_loss, task, class_weights=weights, label_smoothing=training_args.label_smoothing_factor
        ),
        compute_metrics=_compute_metrics(task, data.labels.names),
        preprocess_logits_for_metrics=task.outputs_kept,
        classes=classes,
        windows=windows if task.takes_labels else {},
    )
    return trainer, tokenised


def _cutting(args: DataArguments, tokenizer: PreTrainedTokenizerFast, limit: int) -> Cutting:
    """--long windows; ValueError if it is more than the model takes."""
    kmer, num_added = kmer_of(tokenizer), sum(map(len, added_ids(tokenizer)))
    most = args.max_length or limit
    reach = kmer * (most - num_added) if kmer else UNLIMITED_NT
    check_whole("--window_nt", args.window_nt, 1, reach)
    check_whole("--stride_nt", args.stride_nt, 1, args.window_nt or reach)
    return Cutting(most, "windows", args.window_nt, args.stride_nt, kmer, num_added)


def choose_metric(args: TrainingArguments, task: Task) -> None:
    """Set the metric that chooses the best checkpoint, and its direction."""
    given = args.metric_for_best_model
    metric = task.metrics[0] if given == BY_TASK else given.removeprefix("eval_")
    if metric not in task.metrics:
        raise ValueError(f"--metric_for_best_model {given}: for this task it is one of {', '.join(task.metrics)}.")
    args.metric_for_best_model, args.greater_is_better = metric, task.greater_is_better(metric)


def are_unequal(lengths: np.ndarray) -> bool:
    """Whether sequences, (rows,), differ so much in length that batches of like ones are worth it."""
    shortest, longest = np.percentile(lengths, [10, 90])
    return bool(longest > UNEQUAL * shortest)


def _compute_metrics(task: Task, label_names: list[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    """An undefined metric is NaN, never chosen; without it, the Trainer would end with a KeyError."""

    def compute(evaluation: EvalPrediction) -> dict[str, float]:
        outputs, labels = evaluation.predictions, evaluation.label_ids
        measured = task.measure(outputs, labels, label_names) | {"loss": task.mean_loss(outputs, labels)}
        numbers = {name: float("nan") if measured[name] is None else measured[name] for name in task.metrics}
        return numbers | {"constant": float(measured.get("constant", False))}

    return compute


def is_sharded(trainer: Trainer) -> bool:
    """Whether no process has the whole model."""
    return trainer.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def whole_model(
    trainer: Trainer, args: Arguments, data: SequenceData, base: CheckpointFiles | None
) -> PreTrainedModel | PeftModel | None:
    """The trained model in one piece, on the first process; to be called by all."""
    if not is_sharded(trainer):
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
    alone = trainer.args.world_size == 1 and isinstance(trainer.train_dataset, Dataset)  # not a stream, nor windows
    alone &= trainer.args.train_sampling_strategy == "random"  # features have no length
    if args.tuning == "head" and alone and has_fixed_features(trainer.model):
        return features_computed_once(trainer)
    return nullcontext()
