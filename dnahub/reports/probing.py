"""Embeddings, labels and groups -> scores of a linear probe, nearest neighbours and baselines on the same rows."""

from typing import Any

import numpy as np
from tqdm.auto import tqdm

from dnahub.metrics.calibration import calibration
from dnahub.reports.baselines import (
    MeasuredBaselines,
    choose_baselines,
    count_all,
    fit_constant,
    measure_baselines,
    score_fit,
)
from dnahub.reports.comparison import compare
from dnahub.reports.embeddings import LabelledEmbeddings
from dnahub.reports.fitting import Rows, folds_of
from dnahub.reports.intervals import Predictions
from dnahub.reports.labelled_rows import METRICS, measure_by_rows
from dnahub.reports.linear_probe import fit_linear
from dnahub.reports.neighbours import fit_neighbours
from dnahub.tasks import TASKS
from dnahub.tasks.classes import softmax_of

METRIC = "accuracy"  # which chooses the best baseline on held-out rows; balanced accuracy is compared beside it
IN_CURVE = 2  # of the baselines, the best ones
PROBE = "linear probe on embeddings"


def measure_embeddings(data: LabelledEmbeddings, show_progress: bool) -> tuple[dict[str, Any], np.ndarray]:
    """
    Fit on train, choose settings on validation or by a cross-validation of train, measure on test.

    Returns:
        For JSON: `baselines`, `linear_probe` and `nearest_neighbours` as of `score_fit`, `comparison` of the probe
        with the best baseline as of `compare`, `learning_curve` of the probe and the best baselines as of
        `measure_by_rows`, and `calibration` of the probe.
    """
    task, labels, groups = TASKS["classification"], data.labels, data.groups
    rows = {split: Rows(vectors, labels[split]) for split, vectors in data.vectors.items()}
    train, validation, test = (rows.get(split) for split in ("train", "validation", "test"))
    if (train.features == train.features[0]).all():
        raise ValueError(
            f"{data.name}: all embeddings of train are equal; embed with a model whose outputs depend on its input."
        )
    folds = folds_of(train, validation, groups.get("train"))

    def measure(fitting) -> tuple[dict[str, Any], np.ndarray]:
        fit = fitting(train, folds, task, data.meaning)
        predictions = Predictions(fit.predict(test.features), test.labels, groups.get("test"))
        return score_fit(task, data.meaning, METRIC, fit, train.labels, folds, predictions)

    fitted = (measure(fitting) for fitting in (fit_linear, fit_neighbours))
    (probe, outputs), (neighbours, _) = tqdm(fitted, "probe, neighbours", 2, disable=not show_progress)
    if "sequence" in data.rows["train"].features:
        baselines = measure_baselines(task, data.rows, data.meaning, METRIC, groups, show_progress)
    else:
        scores, of_constant = measure(fit_constant)
        baselines = MeasuredBaselines({"majority class": scores}, "majority class", of_constant)
    predictions = Predictions(outputs, test.labels, groups.get("test"))
    names = data.meaning.names
    measured = {
        "baselines": baselines.scores,
        "linear_probe": probe,
        "nearest_neighbours": neighbours,
        "comparison": compare(task, METRIC, probe, predictions, baselines, names, data.group_column),
        "learning_curve": _learning_curve(data, rows, probe, baselines, show_progress),
        "calibration": calibration(softmax_of(outputs), test.labels[:, None] == np.arange(len(names))),
    }
    return measured, outputs


def _learning_curve(
    data: LabelledEmbeddings,
    rows: dict[str, Rows],
    probe: dict[str, Any],
    baselines: MeasuredBaselines,
    show_progress: bool,
) -> dict[str, list[dict[str, Any]]]:
    """Name of the probe and of each of the best baselines -> points by the number of rows, all rows last."""
    task, groups = TASKS["classification"], data.groups.get("train")
    by_validation = sorted(
        baselines.scores, key=lambda name: baselines.scores[name]["validation"][METRIC], reverse=True
    )[:IN_CURVE]
    fitted = {PROBE: (fit_linear, rows, probe)}
    for baseline in choose_baselines(task, one_length=True):
        if baseline.name in by_validation and "sequence" in data.rows["train"].features:
            counted = {split: Rows(count_all(baseline, each), data.labels[split]) for split, each in data.rows.items()}
            fitted[baseline.name] = (baseline.fit, counted, baselines.scores[baseline.name])
    curve = {}
    shown = tqdm(fitted.items(), "learning curve", disable=not show_progress)
    for name, (fitting, of_split, whole) in shown:
        test = (of_split["test"].features, of_split["test"].labels)
        curve[name] = measure_by_rows(
            fitting, of_split["train"], of_split.get("validation"), test, groups, task, data.meaning, METRIC
        )
        of_all = {metric: dict.fromkeys(("mean", "lowest", "highest"), whole[metric]) for metric in METRICS}
        curve[name].append({"rows": whole["rows"], "draws": 1, **of_all})
    return curve
