"""transformers' Trainer -> one whose steps and resumed runs are those of one undisturbed process, or an error."""

import zipfile
from pathlib import Path

import numpy as np
from datasets import Dataset
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch.utils.data import DataLoader, RandomSampler, Sampler, SequentialSampler
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import EvalLoopOutput

from dnahub.training.crops import Crops
from dnahub.training.sampling import EpochRows
from dnahub.training.tokens import num_tokens
from dnahub.training.windows import Windows

ADAPTER = "adapter_model.safetensors"


class SequenceTrainer(Trainer):
    """
    transformers' Trainer, whose steps are the same however many processes share them, and in a resumed run.

    Every step of an epoch has the same number of rows; rows that do not fill one are dropped, others in each epoch,
    unless train is smaller than a step. transformers' own last step is short with one process, and filled up with
    several.

    With `classes`, the class of each row of train, all classes come equally often in an epoch.

    Rows are evaluated in their order, by which predictions belong to ids and groups. With `windows` of validation and
    test, the rows of the datasets are windows, and what is measured and predicted are means for each sequence.
    """

    def __init__(self, *args, classes: np.ndarray | None = None, windows: dict[str, Windows] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.classes, self.windows = classes, windows or {}

    # Private: of a dataloader that the Trainer has divided among processes, nothing public changes the sampler.
    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        args = self.args
        rows_per_step = args.train_batch_size * args.world_size * args.gradient_accumulation_steps
        crops = self.train_dataset if isinstance(self.train_dataset, Crops) else None
        by_length = args.train_sampling_strategy == "group_by_length" and isinstance(self.train_dataset, Dataset)
        if crops or by_length or self.classes is not None:
            num_rows = len(crops.lengths if crops else self.train_dataset)
            lengths = num_tokens(self.train_dataset) if by_length else None
            return EpochRows(num_rows, rows_per_step, args.seed, crops, self.classes, lengths)
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, RandomSampler) and len(sampler.data_source) >= rows_per_step:
            return RandomSampler(
                sampler.data_source, num_samples=len(sampler.data_source) // rows_per_step * rows_per_step
            )
        return sampler

    # transformers' own puts rows of like length together there, too, if train has batches of like length.
    def _get_eval_sampler(self, eval_dataset: Dataset) -> Sampler:
        return SequentialSampler(eval_dataset)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        windows = self.windows.get("validation" if metric_key_prefix == "eval" else metric_key_prefix)
        arguments = (dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        if windows is None:
            return super().evaluation_loop(*arguments)
        compute, self.compute_metrics = self.compute_metrics, None
        try:
            output = super().evaluation_loop(*arguments)
        finally:
            self.compute_metrics = compute
        predictions, labels = windows.join(output.predictions), windows.first(output.label_ids)
        measured = compute(EvalPrediction(predictions, labels))
        metrics = output.metrics | {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        return EvalLoopOutput(predictions, labels, metrics, len(labels))


def check_point(trainer: Trainer, point: Path) -> None:
    """Raises ValueError unless a run can resume exactly; transformers would begin with new states."""
    alone = trainer.args.world_size == 1
    needed = ["rng_state.pth" if alone else f"rng_state_{trainer.args.process_index}.pth"]
    advice = f"remove {point} to resume from the checkpoint before it"
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):  # whose files are others
        needed += ["optimizer.pt", "scheduler.pt"]
        _check_weights(trainer, point, advice)
    for name in needed:
        if not zipfile.is_zipfile(point / name):  # as torch.save writes them
            raise ValueError(f"{point / name} is missing or damaged; restore it, or {advice}.")


def check_best(trainer: Trainer, point: Path) -> None:
    """Raises ValueError unless the best checkpoint so far has its weights, which are loaded at the end."""
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        _check_weights(trainer, point, f"remove all of {point.parent} to train again")


def _check_weights(trainer: Trainer, point: Path, advice: str) -> None:
    """Where a checkpoint lacks weights or has others, transformers and peft warn and go on."""
    model, file = trainer.model, point / "model.safetensors"
    expected = model.state_dict()
    if isinstance(model, PeftModel):
        expected, file = get_peft_model_state_dict(model, save_embedding_layers=False), point / ADAPTER
    try:
        with safe_open(file, "pt") as weights:
            shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} is missing or damaged; restore it, or {advice}.") from error
    saved = {expected[name].data_ptr() for name in shapes if name in expected}
    wrong = [name for name in shapes if name not in expected or shapes[name] != list(expected[name].shape)]
    # A tied weight is saved under one of its names.
    wrong += [name for name, each in expected.items() if name not in shapes and each.data_ptr() not in saved]
    if wrong:
        raise ValueError(f"{file}: {wrong[0]} does not fit the model of this run; restore the file, or {advice}.")
