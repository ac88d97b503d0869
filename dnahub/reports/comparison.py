"""Predictions of a model and of the best baseline for test -> differences, their intervals and a verdict."""

from typing import Any

import numpy as np

from dnahub.metrics.names import name_of, number
from dnahub.reports.baselines import MeasuredBaselines
from dnahub.reports.intervals import Predictions, group_numbers, paired_differences
from dnahub.tasks.task import Task

# Groups of test, below which no difference is called one: the intervals of few groups are too narrow. Of two equal
# models, the bootstrap calls one better in 14 % of cases with 6 groups, in 9 % with 20, and in 7 % with 50.
FEWEST_GROUPS = 20
BETTER, WORSE, NO_DIFFERENCE, MIXED = "better", "worse", "no difference", "mixed"


def compare(
    task: Task,
    metric: str,
    model: dict[str, Any],
    predictions: Predictions,
    baselines: MeasuredBaselines,
    label_names: list[str],
    group_column: str | None,
) -> dict[str, Any] | None:
    """
    Compare a model with the baseline that was best on validation, on the same rows of test.

    Args:
        metric: By which the model was chosen; `Task.compared_by` says which metrics are compared.
        model: Its metrics of test.
        predictions: Of the model, for test.
        group_column: Whose values `predictions.groups` are.

    Returns:
        `baseline` (its name), `groups` (the column, or None), `metrics` (of each, its `difference`, model minus
        baseline, the 95 % `interval` of that by a paired bootstrap, both None where undefined, and the `verdict`),
        `verdict`: of the model, "better" or "worse" if it is so by all these metrics, "mixed" if it is better by one
        and worse by another, else "no difference". None without baselines.
    """
    if baselines.best is None:
        return None
    names, theirs = task.compared_by(metric), baselines.scores[baselines.best]
    intervals = paired_differences(task, predictions, baselines.outputs, names, label_names)
    num_groups = len(np.unique(group_numbers(predictions.groups, len(predictions.labels))))
    metrics = {}
    for name in names:
        ours, other = model[name], theirs[name]
        metrics[name] = {
            "difference": None if None in (ours, other) else ours - other,
            "interval": intervals[name],
            "verdict": NO_DIFFERENCE,
        }
        if num_groups >= FEWEST_GROUPS and intervals[name] is not None:
            low, high = intervals[name] if task.greater_is_better(name) else [-end for end in intervals[name]][::-1]
            metrics[name]["verdict"] = BETTER if low > 0 else WORSE if high < 0 else NO_DIFFERENCE
        elif num_groups >= FEWEST_GROUPS and ours is None and other is not None:  # outputs that are not finite
            metrics[name]["verdict"] = WORSE
    verdicts = {each["verdict"] for each in metrics.values()}
    verdict = verdicts.pop() if len(verdicts) == 1 else MIXED if {BETTER, WORSE} <= verdicts else NO_DIFFERENCE
    return {"baseline": baselines.best, "groups": group_column, "metrics": metrics, "verdict": verdict}


def describe(comparison: dict[str, Any], subject: str = "This model") -> str:
    """The verdict in a sentence, with all differences."""
    best = f"the baseline that was best on validation, {comparison['baseline']}"
    verdict = {
        BETTER: f"{subject} is better than {best}",
        WORSE: f"{subject} is worse than {best}",
        NO_DIFFERENCE: f"{subject} and {best}: no clear difference",
        MIXED: f"{subject} is better than {best}, by one score and worse by another",
    }[comparison["verdict"]]
    scores = []
    for name, each in comparison["metrics"].items():
        if each["difference"] is None:
            scores.append(f"{name_of(name)} undefined")
            continue
        score = f"{name_of(name)} {number(abs(each['difference']))} {'lower' if each['difference'] < 0 else 'higher'}"
        if each["interval"]:
            ends = " to ".join(f"{'+' * (end > 0)}{number(end)}" for end in each["interval"])
            score += f" (95 % interval of the difference {ends})"
        scores.append(score)
    return f"{verdict}; {', '.join(scores)}."
