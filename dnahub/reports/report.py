"""What was measured -> the table that the terminal shows at the end."""

import json
from pathlib import Path
from typing import Any

from dnahub.metrics.names import name_of, number
from dnahub.reports.card import compare, metrics_of
from dnahub.tasks import TASKS


def render_report(results: dict[str, Any], folder: Path) -> str:
    """
    Metrics of the test split with 95 % intervals, baselines below them, what the training took, and what to do next.

    Args:
        results: `dnahub.training.results.describe` with `measure_all`.
        folder: The checkpoint's folder.

    Returns:
        About fifteen lines, the last one without a line break.
    """
    task = TASKS[results["task"]]
    split = "test" if results["test"] else "validation"
    measured, dataset = results[split], results["dataset"]
    intervals = measured.get("intervals", {})  # of the test split only
    heading = f"{dataset['name']}, {split} split, {dataset['rows'][split]:,} rows"
    table = [(heading, "value", "95 % bootstrap interval" if intervals else "")]
    for name in metrics_of(measured, task):
        ends = " to ".join(map(number, intervals.get(name, ())))
        table.append((f"  {name_of(name)}", number(measured[name]), ends))
    if results["validation"].get("constant"):
        table.append(("  warning: the outputs do not depend on the input; lower --learning_rate", "", ""))
    missing = [name for name, value in (measured.get("recall_per_label") or {}).items() if value is None]
    if missing:
        table.append((f"  no rows of: {', '.join(missing)}", "", ""))
    table += _comparison(results, compare(results, task))
    if results.get("seeds"):
        seeds = results["seeds"]
        table.append((f"{split}, mean and standard deviation of seeds {', '.join(map(str, seeds['seeds']))}", "", ""))
        for name, spread in seeds[split].items():
            table.append((f"  {name_of(name)}", number(spread["mean"]), f"± {number(spread['deviation'])}"))
    first, second = (max(len(row[i]) for row in table) for i in (0, 1))
    lines = [f"{name:<{first}}  {value:>{second}}  {interval}".rstrip() for name, value, interval in table]
    facts = _facts(results, folder)
    label = max(map(len, facts))
    return "\n".join([*lines, "", *(f"{name:<{label}}  {fact}" for name, fact in facts.items())])


def _comparison(results: dict[str, Any], verdict: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """The baselines by the metric that they are compared by."""
    if verdict is None:
        return []
    metric = verdict["metric"]
    rows = [(f"{name_of(metric)}, for comparison", "", "")]
    for name, scores in results["baselines"].items():
        ends = " to ".join(map(number, scores.get("intervals", {}).get(metric, ())))
        rows.append((f"  {name}", number(scores[metric]), ends))
    best_possible = results["dataset"]["bayes_optimal_accuracy"]
    if metric == "accuracy" and best_possible is not None:
        rows.append(("  best possible", number(best_possible), ""))
    return rows


def _facts(results: dict[str, Any], folder: Path) -> dict[str, str]:
    task, training = TASKS[results["task"]], results["training"]
    resumed_at = training["resumed_at_step"]
    seconds = training["seconds_since_then" if resumed_at else "seconds"]
    facts = {"time": _duration(seconds) + (f" since step {resumed_at:,}" if resumed_at else "")}
    if training["tokens_per_second"] is not None:
        facts["speed"] = f"{training['tokens_per_second']:,.0f} tokens/s"
    if training["peak_memory_mib"] is not None:
        facts["peak memory"] = f"{training['peak_memory_mib']:,.0f} MiB"
    facts["checkpoint"] = str(folder)
    model = json.dumps(str(folder), ensure_ascii=False)
    if results["model"]["type"] == "nucleotide_transformer":
        facts["use it"] = f'pipeline("{task.pipeline}", model={model}, trust_remote_code=True)'
    else:
        facts["use it"] = f'pipeline("{task.native_pipeline}", model={model})'
    return facts


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
