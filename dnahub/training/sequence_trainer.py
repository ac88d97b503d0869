"""transformers' Trainer -> one whose steps and resumed runs are those of one undisturbed process, or an error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError
from torch.utils.data import RandomSampler, Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices

from dnahub.machine.faults import LONGEST_SHOWN
from dnahub.training.tokens import num_tokens

# What peft says of an adapter that does not fit the model, and goes on.
MISSING_IN_ADAPTER = "Found missing adapter keys"


class SequenceTrainer(Trainer):
    """
    transformers' Trainer, whose steps are the same however many processes share them, and in a resumed run.

    A checkpoint from which the run cannot resume exactly is an error: where weights or the state of the optimizer or
    of the random generators are missing, transformers only logs a warning.

    Every step of an epoch has the same number of rows; rows that do not fill a step are dropped, which ones varies by
    epoch.
    transformers' own last step is short with one process, and filled up with rows of the first step with several; its
    `dataloader_drop_last` would leave rows out of evaluations, too. A training split that is smaller than one step
    stays as it is. The order of batches of like length is the same in a resumed run.
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

    def _get_num_items_in_batch(self, batch_samples: list[dict], device: torch.device) -> torch.Tensor | int | None:
        """Labels that are numbers count, each of them; transformers does not count those that happen to be -100."""
        counted = [
            {"labels": torch.ones_like(batch["labels"])} if batch["labels"].is_floating_point() else batch
            for batch in batch_samples
        ]
        return super()._get_num_items_in_batch(counted, device)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        with _fitting(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        point = Path(self.state.best_model_checkpoint)
        if not point.is_dir():
            raise ValueError(
                f"{point} is missing, the best checkpoint by validation; put it back, or remove all of "
                f"{point.parent} to train again."
            )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_best_model()
        else:  # transformers' own goes on with the last weights where those of the best are missing
            self._load_from_checkpoint(str(point))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Raises RuntimeError for weights that do not fit, of which transformers' own method warns."""
        state = self.model.state_dict()
        loaded = {tensor.data_ptr() for name, tensor in state.items() if name not in load_result.missing_keys}
        # A tied weight is saved under one of its names.
        missing = [name for name in load_result.missing_keys if state[name].data_ptr() not in loaded]
        if missing or load_result.unexpected_keys:
            wrong = [f"{name} is missing" for name in missing]
            wrong += [f"{name} is not of this model" for name in load_result.unexpected_keys]
            raise RuntimeError(f"{', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''}")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled  # whose files are others
        with _fitting(checkpoint, *() if sharded else ("optimizer.pt", "scheduler.pt")):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        alone = self.args.world_size == 1
        with _fitting(checkpoint, "rng_state.pth" if alone else f"rng_state_{self.args.process_index}.pth"):
            super()._load_rng_state(checkpoint)


@contextmanager
def _fitting(point: Path | str | None, *needed: str) -> Iterator[None]:
    """
    Within it, a checkpoint is read; what is missing, damaged or of another model is a ValueError that names it.

    Args:
        point: The checkpoint; None where none is read.
        needed: Files without which transformers goes on from the beginning of a state.
    """
    missing = [name for name in needed if point and not (Path(point) / name).is_file()]
    try:
        if missing:
            raise RuntimeError(f"there is no {', '.join(missing)}")
        with warnings.catch_warnings():
            warnings.filterwarnings("error", MISSING_IN_ADAPTER)
            yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, SafetensorError, UnpicklingError, EOFError, UserWarning) as error:
        reason = " ".join(str(error).split())[:LONGEST_SHOWN]
        raise ValueError(
            f"{point}: what was saved there does not fit this run, or is damaged ({reason}); remove that folder to go "
            "on from the checkpoint before it."
        ) from error


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
        kept = torch.randperm(len(self.lengths), generator=generator)[: len(self)].tolist()
        lengths = [self.lengths[row] for row in kept]
        order = get_length_grouped_indices(lengths, self.rows_per_step, generator=generator)
        return iter([kept[place] for place in order])
