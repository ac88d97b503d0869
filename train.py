"""Data set + base model -> fine-tuned checkpoint.

    accelerate launch --config_file accelerate_config.yaml train.py recipes/demo.yaml
    accelerate launch --config_file accelerate_config.yaml train.py recipes/species_nt_v2_50m_lora.yaml \
        --dataset_name data/nt-species --output_dir runs/my-run --learning_rate 1e-4
    accelerate launch --config_file accelerate_config.yaml train.py \
        --dataset_name data/nt-species --from_scratch tiny --task mlm --output_dir runs/tiny

OUTPUT_DIR/checkpoint/ is the result: weights, configuration, tokenizer, code, metrics.json and card. OUTPUT_DIR/
checkpoint-STEP/ are the Trainer's own, to resume from with --resume_from_checkpoint last.
"""

import math
import os
import sys
from pathlib import Path
from typing import NoReturn

import torch
from datasets.exceptions import DatasetsError
from transformers import Trainer, TrainingArguments, set_seed

from checkpoints.loading import load_checkpoint
from checkpoints.saving import save_checkpoint
from hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
)
from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary
from training import evaluation, tuning
from training.arguments import DataArguments, ModelArguments, check_processes, parse_arguments
from training.card import render_card
from training.collators import ClassificationCollator, MaskingCollator
from training.dataset import SequenceData, check_lengths, load_sequences
from training.results import collect_results
from training.run_folder import CHECKPOINT, best_checkpoint, resume_point, state_at


def build_model(args: ModelArguments, label_names: list[str]):
    """The model for the task, from a checkpoint or from scratch, and its tokenizer."""
    model_class = NucleotideTransformerForMaskedLM
    labels = {}
    if args.task == "classification":
        model_class = NucleotideTransformerForSequenceClassification
        labels = {
            "id2label": dict(enumerate(label_names)),
            "label2id": {name: i for i, name in enumerate(label_names)},
            "problem_type": "single_label_classification",
        }
    if args.from_scratch:
        config = NucleotideTransformerConfig.from_preset(args.from_scratch, **labels)
        return model_class(config), build_tokenizer(nt_vocabulary(), config.max_tokens)
    return load_checkpoint(model_class, args.model_name_or_path, args.model_revision, **labels)


def build_trainer(
    model_args: ModelArguments, data_args: DataArguments, training_args: TrainingArguments, data: SequenceData
) -> Trainer:
    """transformers' Trainer for the task."""
    set_seed(training_args.seed)  # before weights are drawn
    model, tokenizer = build_model(model_args, data.label_names)
    limit = model.config.max_tokens
    if data_args.max_length is None:
        check_lengths(data.splits, tokenizer, limit)
    elif not 2 <= data_args.max_length <= limit:
        raise ValueError(f"--max_length {data_args.max_length}: this model takes 2 to {limit} tokens.")
    model = tuning.prepare(model, model_args.tuning, model_args.lora_r, model_args.lora_alpha)
    if model_args.task == "classification":
        return Trainer(
            model=model,
            args=training_args,
            train_dataset=data.splits["train"],
            eval_dataset=data.splits["validation"],
            data_collator=ClassificationCollator(tokenizer, data_args.max_length),
            compute_metrics=evaluation.compute_classification(data.label_names),
            processing_class=tokenizer,
        )
    masked_once = MaskingCollator(tokenizer, data_args.max_length, seed=training_args.seed)
    return Trainer(
        model=model,
        args=training_args,
        train_dataset=data.splits["train"],
        eval_dataset=masked_once.mask_once(data.splits["validation"]),
        data_collator=MaskingCollator(tokenizer, data_args.max_length),
        compute_metrics=evaluation.compute_masked_lm,
        preprocess_logits_for_metrics=evaluation.most_likely_token,
        processing_class=tokenizer,
    )


def use_all_cores(args: TrainingArguments) -> None:
    """On a CPU, share its cores among the processes: accelerate launch leaves one to each, unless told otherwise."""
    if args.device.type == "cpu":
        args.dataloader_pin_memory = False  # there is no device to pin for, of which torch warns at every evaluation
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        torch.set_num_threads(max(1, cores // args.world_size))


def fail(error: Exception | str) -> NoReturn:
    """One sentence, by the first process alone, and status 2."""
    if os.environ.get("RANK", "0") == "0":
        print(f"train.py: error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    try:
        model_args, data_args, training_args = parse_arguments(sys.argv[1:])
        check_processes(training_args)
        use_all_cores(training_args)
        resume_from = resume_point(training_args.output_dir, training_args.resume_from_checkpoint)
        data = load_sequences(
            data_args.dataset_name,
            data_args.dataset_config_name,
            data_args.dataset_revision,
            with_labels=model_args.task == "classification",
        )
        trainer = build_trainer(model_args, data_args, training_args, data)
    except (ValueError, OSError, DatasetsError) as error:
        fail(error)

    state = resume_from and state_at(resume_from)
    if state and state.global_step >= state.max_steps:  # cut off after its last step: the Trainer would make one more
        trainer._load_from_checkpoint(str(best_checkpoint(resume_from)))
        trainer.state = state
    else:
        trainer.train(resume_from_checkpoint=resume_from and str(resume_from))
    results = collect_results(trainer, model_args, data_args, data)
    if not math.isfinite(results["validation"]["loss"]):
        fail("The training diverged: the validation loss is no number; give a smaller --learning_rate, or bf16 off.")
    if trainer.is_world_process_zero():
        folder = Path(training_args.output_dir) / CHECKPOINT
        model = trainer.accelerator.unwrap_model(trainer.model)
        save_checkpoint(folder, model, trainer.processing_class, results, render_card(results))
        print(f"checkpoint: {folder}")


if __name__ == "__main__":
    main()
