"""Sequences and labels of three splits -> scores of the baselines that a model should beat, and the best of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict
from scipy.sparse import csr_array, hstack, vstack
from tqdm.auto import tqdm

from dnahub.reports.fitting import Features, Fit, Fitting, Folds, Rows, folds_of
from dnahub.reports.forest import fit_forest
from dnahub.reports.intervals import Predictions, bootstrap_intervals
from dnahub.reports.kmers import count_kmers, gc_content, one_hot
from dnahub.reports.linear_probe import fit_linear
from dnahub.reports.naive_bayes import count_codon_pairs, fit_codon_pairs
from dnahub.tasks.task import Labels, Task

# Most rows of train, and of validation, that are used.
MAX_ROWS = 250_000
MAX_NT = 100_000_000  # 8,333 rows of 12,000 nt
NT_AT_ONCE = 1_000_000  # counting takes about 40 bytes for each
ROWS_AT_ONCE = 1_000  # `datasets` takes 40 µs for one row alone
MAX_LETTERS = 300  # of sequences of one length whose letters are features


@dataclass(frozen=True)
class Baseline:
    name: str
    features: Callable[[Sequence[str]], Features]
    fit: Fitting


FRAME_WISE = Baseline("frame-wise 3-mers", lambda sequences: count_kmers(sequences, 3), fit_linear)
CODON_PAIRS = Baseline("codon pairs, naive Bayes", count_codon_pairs, fit_codon_pairs)
SELF_TRAINED = "self-trained"  # as a split: the rows of train, and those that self-training labelled


@dataclass(frozen=True)
class MeasuredBaselines:
    scores: dict[str, dict[str, Any]]  # by name, for JSON
    best: str | None  # by validation; None without any
    outputs: np.ndarray | None  # of the best, for the rows of test


def choose_baselines(task: Task, one_length: bool) -> list[Baseline]:
    """
    Those that suit a task, simplest first.

    Codons and frame-wise k-mers take sequences to begin with the first letter of a codon. Letters at each place are
    for sequences of one length. Unless the name says something else, a model is linear, see `fit_linear`.
    """
    constant = "majority class" if task.fits_classes else "mean of train"
    found = [
        Baseline(constant, lambda sequences: csr_array((len(sequences), 1)), fit_constant),
        Baseline("GC content", gc_content, fit_linear),
        Baseline("3-mer counts", _count_3mers, fit_linear),
        Baseline("in-frame codons", lambda sequences: count_kmers(sequences, 3, frames=1), fit_linear),
        FRAME_WISE,
        Baseline("frame-wise 3+4-mers", _count_3_and_4_mers, fit_linear),
    ]
    if task.fits_classes:
        found.append(CODON_PAIRS)
    if one_length:
        found += [Baseline("letters", one_hot, fit_linear), Baseline("letters, random forest", one_hot, fit_forest)]
    return found


def measure_baselines(
    task: Task,
    splits: DatasetDict,
    meaning: Labels,
    metric: str,
    groups: dict[str, pa.Array],
    show_progress: bool = False,
) -> MeasuredBaselines:
    """
    Fit each baseline on train, choose its settings on validation, and measure it on test.

    Train and validation are sampled at random where they have more than `MAX_ROWS` rows or `MAX_NT` nt; test is used
    whole, as it is for the model.

    Args:
        splits: train, test and, unless train is to be cross-validated, validation, with `sequence` and `label`. With
            `SELF_TRAINED`, codon pairs are also fitted on these rows: they learn from pseudo-labels in a second.
        metric: Of the task; by it, on held-out rows, the best baseline is chosen, and for each whether classes have
            the frequencies of train or are equally frequent.
        groups: Split -> the group of each row; empty without groups.

    Returns:
        None is there where the rows used of train have one label only, or validation has none of train's labels.
    """
    kept = {split: _sample(splits[split]) for split in splits if split != "test"}
    rows = {split: splits[split].select(kept[split]) for split in kept} | {"test": splits["test"]}
    labels = {split: np.array(rows[split]["label"]) for split in rows}
    if task.fits_classes and (
        len(np.unique(labels["train"])) < 2
        or ("validation" in rows and not np.isin(labels["validation"], labels["train"]).any())
    ):
        return MeasuredBaselines({}, None, None)
    lengths = [_num_nt(splits[split]) for split in splits if split != SELF_TRAINED]
    one_length = lengths[0].max() <= MAX_LETTERS and all((each == lengths[0][0]).all() for each in lengths)
    scores, outputs_of_best, best = {}, None, None
    fitted = {baseline.name: (baseline, "train") for baseline in choose_baselines(task, one_length)}
    if SELF_TRAINED in splits:
        fitted[f"{CODON_PAIRS.name}, {SELF_TRAINED}"] = (CODON_PAIRS, SELF_TRAINED)
    for name, (baseline, split) in tqdm(fitted.items(), desc="baselines", disable=not show_progress):
        of_train, held = (
            Rows(count_all(baseline, rows[each]), labels[each]) if each in rows else None
            for each in (split, "validation")
        )
        folds = folds_of(of_train, held, groups[split].take(pa.array(kept[split])) if split in groups else None)
        fit = baseline.fit(of_train, folds, task, meaning)
        outputs = np.concatenate([fit.predict(baseline.features(block)) for block in _blocks(rows["test"])])
        test = Predictions(outputs, labels["test"], groups.get("test"))
        scores[name], outputs = score_fit(task, meaning, metric, fit, labels[split], folds, test)
        if best is None or goodness(task, metric, scores[name]["validation"]) > goodness(
            task, metric, scores[best]["validation"]
        ):
            best, outputs_of_best = name, outputs
    return MeasuredBaselines(scores, best, outputs_of_best)


def score_fit(
    task: Task,
    meaning: Labels,
    metric: str,
    fit: Fit,
    train_labels: np.ndarray,
    folds: Folds,
    test: Predictions,
) -> tuple[dict[str, Any], np.ndarray]:
    """
    What a fit is, its metrics on held-out rows and on test with intervals, for JSON; and its outputs for test.

    Class frequencies are those of `choose_prior`.
    """
    prior, shift, of_held = choose_prior(task, meaning, metric, fit, train_labels, folds)
    outputs = test.outputs + shift
    scores = {
        **fit.facts,
        **({"class_frequencies": prior} if task.fits_classes else {}),
        "validation": {name: of_held[name] for name in task.metrics if name in of_held},
        **_measure(task, meaning, outputs, test.labels),
        "intervals": bootstrap_intervals(task, Predictions(outputs, test.labels, test.groups), meaning.names),
    }
    return scores, outputs


def choose_prior(
    task: Task, meaning: Labels, metric: str, fit: Fit, train_labels: np.ndarray, folds: Folds
) -> tuple[str, np.ndarray | float, dict[str, Any]]:
    """
    "train" or "equal", what is added to the outputs for it, and the metrics on held-out rows with it.

    Where classes are unbalanced in train, the held-out metric chooses whether they are taken to be equally frequent:
    what is best by accuracy or loss hardly ever predicts a rare class.
    """
    held_labels = np.concatenate([held.labels for _, held in folds])
    shifts = {"train": 0.0}
    if task.fits_classes:
        counts = np.bincount(train_labels, minlength=meaning.num_outputs)
        if len(np.unique(counts[counts > 0])) > 1:
            shifts["equal"] = -np.log(np.maximum(counts, 1) / len(train_labels))
    held = {prior: _measure(task, meaning, fit.held_out + shift, held_labels) for prior, shift in shifts.items()}
    prior = max(held, key=lambda prior: goodness(task, metric, held[prior]))
    return prior, shifts[prior], held[prior]


def goodness(task: Task, metric: str, measured: dict[str, Any]) -> float:
    """More is better; what is undefined is worst."""
    if measured.get(metric) is None:
        return -np.inf
    return measured[metric] if task.greater_is_better(metric) else -measured[metric]


def count_all(baseline: Baseline, rows: Dataset) -> Features:
    """The features of all rows, counted in blocks."""
    return vstack([baseline.features(block) for block in _blocks(rows)], format="csr")


def _measure(task: Task, meaning: Labels, outputs: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    loss = {"loss": task.mean_loss(outputs, labels)} if task.baselines_have_loss else {}
    return loss | task.measure(outputs, labels, meaning.names)


def fit_constant(train: Rows, folds: Folds, task: Task, meaning: Labels) -> Fit:
    """The frequencies of the classes, or the mean of the labels."""
    if task.fits_classes:
        classes, counts = np.unique(train.labels, return_counts=True)
        output = task.baseline_outputs(np.log(counts / counts.sum())[None], classes, meaning)
    else:
        output = task.baseline_outputs(train.labels.mean(axis=0, keepdims=True), None, meaning)
    num_held = sum(len(held.labels) for _, held in folds)

    def predict(features: Features) -> np.ndarray:
        return np.repeat(output, features.shape[0], axis=0)

    return Fit(predict, np.repeat(output, num_held, axis=0), {"rows": len(train.labels)})


def _count_3mers(sequences: Sequence[str]) -> csr_array:
    frames = count_kmers(sequences, 3)
    return frames[:, :64] + frames[:, 64:128] + frames[:, 128:]


def _count_3_and_4_mers(sequences: Sequence[str]) -> csr_array:
    return hstack([count_kmers(sequences, 3), count_kmers(sequences, 4)], format="csr")


def _sample(rows: Dataset) -> np.ndarray:
    """Which rows: as many random ones as `MAX_ROWS` and `MAX_NT` allow, in their order; at least one."""
    drawn = np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS]
    num_fitting = np.searchsorted(_num_nt(rows)[drawn].cumsum(dtype=np.int64), MAX_NT, side="right")
    return np.sort(drawn[: max(1, num_fitting)])


def _num_nt(rows: Dataset) -> np.ndarray:
    batches = rows.select_columns("sequence").with_format("arrow").iter(ROWS_AT_ONCE)
    return np.concatenate([pc.binary_length(batch["sequence"]).to_numpy() for batch in batches])


def _blocks(rows: Dataset) -> Iterator[list[str]]:
    """Sequences of about `NT_AT_ONCE` nt."""
    block, num_nt = [], 0
    for batch in rows.select_columns("sequence").iter(ROWS_AT_ONCE):
        for sequence in batch["sequence"]:
            block.append(sequence)
            num_nt += len(sequence)
            if num_nt >= NT_AT_ONCE:
                yield block
                block, num_nt = [], 0
    if block:
        yield block
