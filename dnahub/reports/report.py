"""What was measured -> the table that the terminal shows at the end."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from dnahub.machine.text import printable
from dnahub.metrics.names import interval, name_of, number
from dnahub.reports.card import metrics_of
from dnahub.reports.comparison import describe
from dnahub.tasks import TASKS


def render_report(results: dict[str, Any], folder: Path) -> str:
    """
    Metrics of the test split with 95 % intervals, baselines below them, what the training took, and what to do next.

    Args:
        results: `dnahub.training.results.describe` with `measure_all`.
        folder: The checkpoint's folder.
    """
    task, dataset = TASKS[results["task"]], results["dataset"]
    split = "test" if results["test"] else "validation"
    measured = results[split]
    of_intervals = "95 % bootstrap interval" if "intervals" in measured else ""  # of the test split only
    table = [(f"{dataset['name']}, {split} split, {dataset['rows'][split]:,} rows", "value", of_intervals)]
    for name in metrics_of(measured, task):
        table.append((f"  {name_of(name)}", number(measured[name]), interval(measured, name)))
    if results["validation"].get("constant"):
        table.append(("  warning: the outputs do not depend on the input; lower --learning_rate", "", ""))
    for name, best in (results["training"].get("thresholds") or {}).items():
        scores = f"on validation {number(best['score'])}, at 0.5 {number(best['at_half'])}"
        used = ", which is used" if best["threshold"] == results["training"]["decision_threshold"] else ""
        second = results["model"]["label_names"][1]
        table.append((f"  threshold of {second}, best {name_of(name)}{used}", number(best["threshold"]), scores))
    missing = [name for name, value in (measured.get("recall_per_label") or {}).items() if value is None]
    if missing:
        table.append((f"  no rows of: {', '.join(missing)}", "", ""))
    comparison = results.get("comparison")
    if comparison:
        for metric in comparison["metrics"]:
            table.append((f"{name_of(metric)} of the baselines", "", ""))
            for name, scores in results["baselines"].items():
                table.append((f"  {name}", number(scores[metric]), interval(scores, metric)))
            if metric == "accuracy" and dataset["bayes_optimal_accuracy"] is not None:
                table.append(("  best possible", number(dataset["bayes_optimal_accuracy"]), ""))
    if seeds := results.get("seeds"):
        table.append((f"{split}, mean and standard deviation of seeds {', '.join(map(str, seeds['seeds']))}", "", ""))
        for name, spread in seeds[split].items():
            table.append((f"  {name_of(name)}", number(spread["mean"]), f"± {number(spread['deviation'])}"))
    table = [(printable(name), *numbers) for name, *numbers in table]
    first, second = (max(len(row[i]) for row in table) for i in (0, 1))
    lines = [f"{name:<{first}}  {value:>{second}}  {ends}".rstrip() for name, value, ends in table]
    lines += ["", describe(comparison)] if comparison else []
    return "\n".join([*lines, "", *(f"{name:<11}  {fact}" for name, fact in _facts(results, folder).items())])


def _facts(results: dict[str, Any], folder: Path) -> dict[str, str]:
    task, training = TASKS[results["task"]], results["training"]
    resumed_at = training["resumed_at_step"]
    time = timedelta(seconds=round(training["seconds_since_then" if resumed_at else "seconds"]))
    facts = {"time": f"{time}" + (f" since step {resumed_at:,}" if resumed_at else "")}
    if training["tokens_per_second"] is not None:
        facts["speed"] = f"{training['tokens_per_second']:,.0f} tokens/s"
    if training["peak_memory_mib"] is not None:
        facts["peak memory"] = f"{training['peak_memory_mib']:,.0f} MiB"
    facts["checkpoint"] = str(folder)
    model = json.dumps(str(folder), ensure_ascii=False)
    if results["model"]["type"] == "nucleotide_transformer":
        facts["use it"] = f'pipeline("{task.pipeline}", model={model}, trust_remote_code=True)'
    elif task.native_pipeline:
        facts["use it"] = f'pipeline("{task.native_pipeline}", model={model})'
    else:
        facts["use it"] = f"{task.auto_class}.from_pretrained({model})"
    return facts
