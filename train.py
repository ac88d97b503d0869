"""Data set + base model -> fine-tuned checkpoint, and the Hub.

    accelerate launch --config_file accelerate_config.yaml train.py recipes/demo.yaml
    accelerate launch --config_file accelerate_config.yaml train.py recipes/species_nt_v2_50m_lora.yaml \
        --dataset_name data/nt-species --output_dir runs/my-run --learning_rate 1e-4
    accelerate launch --config_file accelerate_config.yaml train.py \
        --dataset_name data/nt-species --from_scratch tiny --task mlm --output_dir runs/tiny

    python train.py --push_only --output_dir runs/my-run --hub_model_id user/nt-species-clf

OUTPUT_DIR/checkpoint/ is the result: weights, configuration, tokenizer, code, metrics.json and card. OUTPUT_DIR/
checkpoint-STEP/ are the Trainer's own, to resume from with --resume_from_checkpoint last.
"""

import math
import os
import shlex
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, NoReturn

import torch
from accelerate.utils import broadcast_object_list
from datasets import DatasetDict
from datasets.exceptions import DatasetsError
from transformers import Trainer, TrainingArguments, set_seed

from checkpoints.loading import CheckpointFiles, find_checkpoint, load_checkpoint
from checkpoints.publishing import check_model, checkpoint_files, push_checkpoint
from checkpoints.saving import save_checkpoint
from hub_client.downloading import download
from hub_client.publishing import Target
from hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
)
from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary
from training import evaluation, tuning
from training.arguments import DataArguments, ModelArguments, check_processes, hub_target, parse_arguments
from training.card import render_card
from training.collators import LabelCollator, MaskingCollator
from training.dataset import SequenceData, load_sequences
from training.frozen_prefix import activations_reused, num_frozen_layers
from training.results import Timing, collect_results
from training.run_folder import CHECKPOINT, best_checkpoint, resume_point, state_at
from training.tokens import tokenize


def build_model(args: ModelArguments, base: CheckpointFiles | None, label_names: list[str]):
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
    if base is None:
        config = NucleotideTransformerConfig.from_preset(args.from_scratch, **labels)
        return model_class(config), build_tokenizer(nt_vocabulary(), config.max_tokens)
    return load_checkpoint(model_class, base, **labels)


def build_trainer(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: TrainingArguments,
    data: SequenceData,
    base: CheckpointFiles | None,
) -> tuple[Trainer, DatasetDict]:
    """transformers' Trainer for the task, and the splits as token ids."""
    set_seed(training_args.seed)  # before weights are drawn
    model, tokenizer = build_model(model_args, base, data.label_names)
    limit = model.config.max_tokens
    if data_args.max_length is not None and not 2 <= data_args.max_length <= limit:
        raise ValueError(f"--max_length {data_args.max_length}: this model takes 2 to {limit} tokens.")
    with training_args.main_process_first(desc="tokenising"):  # the others take it from the cache
        tokenised = tokenize(data.splits, tokenizer, limit, data_args.max_length)
    model = tuning.prepare(model, model_args, base and base.commit)
    for_task = {
        "eval_dataset": tokenised["validation"],
        "data_collator": LabelCollator(tokenizer),
        "compute_metrics": evaluation.compute_classification(data.label_names),
    }
    if model_args.task == "mlm":
        for_task = {
            "eval_dataset": MaskingCollator(tokenizer, seed=training_args.seed).mask_once(tokenised["validation"]),
            "data_collator": MaskingCollator(tokenizer),
            "compute_metrics": evaluation.compute_masked_lm,
            "preprocess_logits_for_metrics": evaluation.most_likely_token,
        }
    trainer = Trainer(
        model=model, args=training_args, train_dataset=tokenised["train"], processing_class=tokenizer, **for_task
    )
    return trainer, tokenised


def training_context(trainer: Trainer, args: ModelArguments) -> AbstractContextManager:
    """Within which the training happens: on activations of the frozen layers, where that gives the same."""
    one_process = trainer.args.world_size == 1
    if args.reuse_activations and args.tuning in ("frozen", "head") and args.task != "mlm" and one_process:
        if num_frozen_layers(trainer.model):
            return activations_reused(trainer, Path(trainer.args.output_dir))
    return nullcontext()


def use_all_cores(args: TrainingArguments) -> None:
    """On a CPU, share its cores among the processes: accelerate launch leaves one to each, unless told otherwise."""
    if args.device.type == "cpu":
        args.dataloader_pin_memory = False  # there is no device to pin for, of which torch warns at every evaluation
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        torch.set_num_threads(max(1, cores // args.world_size))


def is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def fail(error: Exception | str, status: int = 2) -> NoReturn:
    """One sentence, by the first process alone, and the status."""
    if is_first_process():
        print(f"train.py: error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(status)


def push(folder: Path, target: Target) -> None:
    """Publish a finished checkpoint, which is on the disk whatever comes of it."""
    try:
        published = push_checkpoint(folder, target)
    except (ValueError, OSError) as error:
        fail(f"{error} {not_pushed(folder, target)}")
    except KeyboardInterrupt:
        fail(f"interrupted. {not_pushed(folder, target)}", status=130)
    print(f"{'published' if published.changed else 'already there, unchanged'}: {published.address}")
    print(f"commit: {published.commit}")


def not_pushed(folder: Path, target: Target) -> str:
    """What to do when the checkpoint is there, but not on the Hub."""
    command = ["python", "train.py", "--push_only", "--output_dir", str(folder.parent)]
    command += ["--hub_model_id", target.repo_id, *["--hub_private_repo", "true"] * target.private]
    command += ["--hub_revision", target.branch] if target.branch != "main" else []
    return f"The checkpoint is whole in {folder}; to publish it later: {shlex.join(command)}"


def resolved(name: str, kind: Literal["model", "dataset"], revision: str | None) -> str | None:
    """The commit on the Hub that all processes shall take, whatever is pushed meanwhile; a folder has none."""
    commits = [revision]
    if not Path(name).is_dir() and is_first_process():
        commits = [download(name, kind, revision, ("README.md",))[1]]
    return broadcast_object_list(commits)[0]


def main() -> None:
    try:
        model_args, data_args, training_args, publishing_args = parse_arguments(sys.argv[1:])
        folder = Path(training_args.output_dir) / CHECKPOINT
        target = None
        if training_args.push_to_hub or publishing_args.push_only:
            if publishing_args.push_only:
                checkpoint_files(folder)
            target = check_model(hub_target(training_args)) if is_first_process() else hub_target(training_args)
            training_args.push_to_hub = False  # the Trainer's own, which also pushes what is not finished
    except (ValueError, OSError) as error:
        fail(error)
    if publishing_args.push_only:
        if is_first_process():
            push(folder, target)
        return

    try:
        check_processes(training_args)
        use_all_cores(training_args)
        resume_from = resume_point(training_args.output_dir, training_args.resume_from_checkpoint)
        data = load_sequences(
            data_args.dataset_name,
            data_args.dataset_config_name,
            resolved(data_args.dataset_name, "dataset", data_args.dataset_revision),
            with_labels=model_args.task == "classification",
        )
        base = None
        if model_args.model_name_or_path:
            revision = resolved(model_args.model_name_or_path, "model", model_args.model_revision)
            base = find_checkpoint(model_args.model_name_or_path, revision, model_args.allow_pickle)
        trainer, tokenised = build_trainer(model_args, data_args, training_args, data, base)
    except (ValueError, OSError, DatasetsError) as error:
        fail(error)

    state = resume_from and state_at(resume_from)
    started = time.perf_counter()
    if is_first_process():
        print("parameters: {:,} trained, {:,} in all".format(*tuning.count_parameters(trainer.model)))
    try:
        with training_context(trainer, model_args):
            if state and state.global_step >= state.max_steps:  # cut off after its last step; no further one is made
                trainer._load_from_checkpoint(str(best_checkpoint(resume_from)))
                trainer.state = state
            else:
                trainer.train(resume_from_checkpoint=resume_from and str(resume_from))
    except KeyboardInterrupt:
        fail(f"interrupted; what {folder.parent} holds goes on with --resume_from_checkpoint last.", status=130)
    timing = Timing(time.perf_counter() - started, state and state.global_step)
    results = collect_results(trainer, model_args, data_args, data, tokenised, base, timing)
    if not math.isfinite(results["validation"]["loss"]):
        fail("The training diverged: the validation loss is no number; give a smaller --learning_rate, or bf16 off.")
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model)
        save_checkpoint(folder, model, trainer.processing_class, results, render_card(results))
        print(f"checkpoint: {folder}")
        if target is not None:
            push(folder, target)


if __name__ == "__main__":
    main()
