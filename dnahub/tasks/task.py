"""What a model is trained for -> head, labels, batches, loss, scores, baseline and the lines of card and report."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerFast

from dnahub.metrics.names import LOWER_IS_BETTER
from dnahub.tasks.collators import label_batch

# A model whose outputs differ by less over all rows does not depend on its input. The unit is the largest logit, or 1,
# and in a regression the deviation of the labels. Measured with the tiny model: logits of random weights differ by
# 0.2; those of runs that collapsed at learning rates of 0.1 and 1 by 0 and, at logits of 31, by 8e-5.
SAME_OUTPUT = 1e-4

# Columns of predictions: what is predicted, and the probability of each class.
PREDICTED, PROBABILITY = "predicted", "p_{}"


@dataclass(frozen=True)
class Labels:
    """What the column `label` means, once `Task.encode` has made it."""

    names: list[str]  # in the order of their ids; empty for numbers and where a task takes no labels
    num_outputs: int  # of the model for a sequence, or for a token; 0 where the head is that of the base model


@dataclass(frozen=True)
class RowResults:
    """What a model gave for each sequence: names of classes, lists of names, numbers or lists of numbers."""

    label: Sequence[Any]
    predicted: Sequence[Any]
    probabilities: np.ndarray | None = None  # (rows, classes)
    has_label: np.ndarray | None = None  # bool, (rows, classes)


class Task(ABC):
    """A training objective. A new one is a subclass in its own file, its instance `TASK`, and an entry in `TASKS`."""

    head: str = "sequence"  # which model: a key of `dnahub.checkpoints.loading.HEADS`
    problem_type: str | None = None  # what config.json says of the labels, in transformers' words
    auto_class: str = "AutoModelForSequenceClassification"  # of transformers, which loads the checkpoint
    # That are one number, `loss` among them. The first is shown first, and chooses the best checkpoint by default.
    metrics: tuple[str, ...]
    takes_labels: bool = True  # whether rows have a label column; only without one can rows be streamed
    # Metrics that hardly fall where rare labels are missed -> the one that is compared beside each.
    beside: dict[str, str] = {}
    stratified: bool = False  # whether splits are stratified by label: whether `row_labels` gives pairs
    outputs_are_logits: bool = False  # of labels, which a temperature calibrates
    smooths_labels: bool = False  # whether the loss takes `--label_smoothing_factor`
    # Whether a k-mer baseline is a logistic regression on ids, or a ridge regression on numbers; None: no baseline.
    fits_classes: bool | None = None
    baselines_have_loss: bool = True  # whether `mean_loss` takes what a baseline gives
    pipeline: str = "dna-classification"  # for an NT checkpoint
    # Of transformers, for a checkpoint of another encoder; None: none gives what the task is for.
    native_pipeline: str | None = "text-classification"
    hub_tag: str | None = "text-classification"  # the Hub's name of what a checkpoint is for, if it has one
    item: str = "sequence"  # what has a label: a "sequence" or a "token"
    usage: tuple[str, str] | None = None  # a variable for the pipeline, and what it returns; None: it only embeds

    @abstractmethod
    def encode(self, splits: DatasetDict, column: str, separator: str | None = None) -> tuple[DatasetDict, Labels]:
        """
        Replace the column of labels by `label`, as the task takes it, by the labels of train.

        `separator` separates several labels in one string. Raises ValueError that names the first row at fault.
        """

    def row_labels(self, rows: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
        """Pairs of a row number and the id of a class of that row, (pairs,) each; None without classes."""
        return None

    def check_splits(self, splits: DatasetDict, labels: Labels) -> None:
        """Raises ValueError if the final splits cannot be trained on, such as a class that train has no row of."""
        return None

    def note_on_labels(self, rows: Dataset) -> str | None:
        """What to tell the user about the labels of train before the training."""
        return None

    def head_fields(self, labels: Labels) -> dict[str, Any]:
        """The fields of config.json that describe the head."""
        # Outputs without names get those that transformers gives; else the names of the base model's head would stay.
        names = labels.names or [f"LABEL_{i}" for i in range(labels.num_outputs)]
        return {
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
            "problem_type": self.problem_type,
            **dict.fromkeys(("decision_threshold", "window_nt", "stride_nt")),  # those of the base model's head
        }

    def collator(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> Callable[[Sequence[dict]], dict]:
        """What makes a batch of rows with `input_ids` and `label`; the Trainer calls one that is a TrainerCallback."""
        return partial(label_batch, tokenizer)

    def evaluation_rows(self, rows: Dataset, tokenizer: PreTrainedTokenizerFast, seed: int) -> Any:
        """The rows that evaluations take, the same in each: by default as they are."""
        return rows

    # What the Trainer keeps of the logits of an evaluation, given logits and labels; None to keep them as they are.
    outputs_kept: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None

    @abstractmethod
    def loss(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        class_weights: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        """
        The sum of the losses of all labels, which `step_loss` divides by their number in the whole step.

        Args:
            logits: (batch, outputs), or of tokens (batch, tokens, outputs).
            labels: As the collator makes them; -100 counts in no loss where they are ids.
            class_weights: What `class_weights` gave; None: all weigh 1.
            label_smoothing: Fraction of the probability spread over all classes; 0 unless `smooths_labels`.
        """

    def class_weights(self, rows: Dataset, num_labels: int) -> torch.Tensor:
        """Weights by which each class of train counts the same in the loss, and all rows together as before."""
        raise ValueError("--class_weights balanced is for classes; leave it out.")

    def classes(self, rows: Dataset) -> np.ndarray:
        """The class of each row, (rows,), for `--class_sampling balanced`."""
        raise ValueError("--class_sampling balanced is for one class per sequence; leave it out.")

    @abstractmethod
    def measure(self, outputs: np.ndarray, labels: np.ndarray, label_names: list[str]) -> dict[str, Any]:
        """
        The metrics of a model or a baseline, except the loss, and what the card shows beside them, for `json.dumps`.

        A metric that is undefined, by the labels or by outputs that are not finite, is None.

        Args:
            outputs: Logits or numbers, (rows, outputs) or (rows, tokens, outputs), or what `outputs_kept` made.
            labels: As the collator makes them, (rows, …).
            label_names: The labels in the order of their ids.
        """

    def measure_resamples(
        self, outputs: np.ndarray, labels: np.ndarray, label_names: list[str], counts: np.ndarray
    ) -> dict[str, np.ndarray]:
        """
        `metrics` of resamples of the rows, (resamples,) each, NaN where undefined; the loss of tasks with baselines,
        and where items have one class the "recall of" each.

        Args:
            outputs, labels, label_names: As of `measure`.
            counts: How often each row is in each resample, (resamples, rows).
        """
        values: dict[str, list[float | None]] = {}
        for of_rows in counts:
            rows = np.repeat(np.arange(len(of_rows)), of_rows)
            measured = self.measure(outputs[rows], labels[rows], label_names)
            if self.fits_classes is not None:
                measured["loss"] = self.mean_loss(outputs[rows], labels[rows])
            for metric in self.metrics:
                if metric in measured:
                    values.setdefault(metric, []).append(measured[metric])
        return {metric: np.array(of_metric, dtype=np.float64) for metric, of_metric in values.items()}

    def mean_loss(self, outputs: np.ndarray, labels: np.ndarray) -> float:
        """The loss over all labels, each weighing the same, unlike in the Trainer's mean over batches."""
        true = torch.tensor(labels)
        return float(self.loss(torch.tensor(outputs).double(), true)) / self.count_labels(labels)

    def count_labels(self, labels: np.ndarray) -> int:
        """How many labels count in the loss."""
        return labels.size

    def rows_of(self, outputs: np.ndarray, labels: np.ndarray, meaning: Labels) -> RowResults | None:
        """Outputs and labels as those of `measure` -> what stands in predictions.parquet; None: nothing."""
        return None

    def is_constant(self, outputs: np.ndarray, labels: np.ndarray) -> bool:
        """Whether no output differs by `SAME_OUTPUT` units over all rows; one class for all is not enough."""
        outputs = columns(outputs)
        if len(outputs) < 2 or not np.isfinite(outputs).all():
            return False
        return bool((np.ptp(outputs, axis=0) < SAME_OUTPUT * self.unit(outputs, labels)).all())

    def unit(self, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray | float:
        """The size of outputs that differ, for `is_constant`."""
        return max(1.0, np.abs(outputs).max())

    def greater_is_better(self, metric: str) -> bool:
        """Which direction of a metric is better."""
        return metric not in LOWER_IS_BETTER

    def compared_by(self, metric: str) -> list[str]:
        """The metrics by which model and baselines are compared, given the one that chose the checkpoint."""
        first = next(name for name in self.metrics if name != "loss")
        compared = [metric] if metric != "loss" else ["loss", first] if self.baselines_have_loss else [first]
        return compared + [self.beside[name] for name in compared if name in self.beside]

    def baseline_outputs(self, predicted: np.ndarray, classes: np.ndarray | None, labels: Labels) -> np.ndarray:
        """What `measure` takes of a baseline; `classes` are the ids of the columns of `predicted`."""
        return predicted

    def thresholds(self, outputs: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]] | None:
        """Of two classes what `best_thresholds` finds; None for any other labels."""
        return None

    def references(
        self, labels: np.ndarray, train: Dataset, vocabulary_size: int, special_ids: Sequence[int]
    ) -> dict[str, float]:
        """Scores without a model for comparison; `train` has `input_ids` and may be a stream."""
        return {}

    @abstractmethod
    def title(self, labels: Labels) -> str:
        """What the model was trained for, such as "fine-tuned to classify DNA sequences into 6 classes"."""

    @abstractmethod
    def summary(self, labels: Labels) -> str:
        """One sentence: what the model takes and gives."""


def columns(numbers: np.ndarray) -> np.ndarray:
    """(rows,) or (rows, outputs) -> (rows, outputs), in float64."""
    numbers = np.asarray(numbers, dtype=np.float64)
    return numbers[:, None] if numbers.ndim == 1 else numbers
