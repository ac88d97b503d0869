"""One class of each sequence: `--task classification`."""

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict

from dnahub.metrics.thresholds import best_thresholds
from dnahub.tasks.classes import ClassTask, balanced_weights, softmax_of
from dnahub.tasks.labels import as_ids, label_array, read_columns, refuse_separator, with_labels
from dnahub.tasks.task import Labels, RowResults

# Logit of a class that the rows of a baseline's train lack: its probability is 0 for every sequence.
NEVER = float(np.finfo(np.float32).min)


class Classification(ClassTask):
    """`label` is an id: of a ClassLabel, or of a string, boolean or whole number."""

    problem_type = "single_label_classification"
    fits_classes = True
    usage = ("classify", "label, score, scores of all classes")

    def encode(self, splits: DatasetDict, column: str, separator: str | None = None) -> tuple[DatasetDict, Labels]:
        refuse_separator(separator)
        expected = (
            "classification takes one label a row; name another --label_column, or give any number of labels a row to "
            "train.py with --task multi_label, one a token with --task token_classification"
        )
        ids, names = as_ids(read_columns(splits, column, in_lists=False, expected=expected), column, fewest=2)
        feature = ClassLabel(names=names)
        encoded = {split: with_labels(rows, column, ids[split].values, feature) for split, rows in splits.items()}
        return DatasetDict(encoded), Labels(names, len(names))

    def row_labels(self, rows: Dataset) -> tuple[np.ndarray, np.ndarray]:
        ids = label_array(rows).to_numpy()
        return np.arange(len(ids)), ids

    def check_splits(self, splits: DatasetDict, labels: Labels) -> None:
        in_train = set(label_array(splits["train"]).unique().to_pylist())
        for split, rows in splits.items():
            for label in set(label_array(rows).unique().to_pylist()) - in_train:
                raise ValueError(
                    f"split {split}: no row of train has its label {labels.names[label]!r}; give train such rows, or "
                    "leave those out."
                )

    def class_weights(self, rows: Dataset, num_labels: int) -> torch.Tensor:
        return balanced_weights(label_array(rows).to_numpy(), num_labels)

    def classes(self, rows: Dataset) -> np.ndarray:
        return label_array(rows).to_numpy()

    def rows_of(self, outputs, labels, meaning):
        has_label = labels[:, None] == np.arange(meaning.num_outputs)
        names = np.array(meaning.names, dtype=object)
        return RowResults(names[labels], names[outputs.argmax(axis=1)], softmax_of(outputs), has_label)

    def baseline_outputs(self, predicted: np.ndarray, classes: np.ndarray | None, labels: Labels) -> np.ndarray:
        logits = np.full((len(predicted), labels.num_outputs), NEVER)
        logits[:, classes] = predicted
        return logits

    def thresholds(self, outputs, labels):
        return best_thresholds(softmax_of(outputs)[:, 1], labels == 1) if outputs.shape[1] == 2 else None

    def title(self, labels: Labels) -> str:
        return f"fine-tuned to classify DNA sequences into {len(labels.names)} classes"

    def summary(self, labels: Labels) -> str:
        return f"It takes a DNA sequence and gives one of: {', '.join(labels.names)}."


TASK = Classification()
