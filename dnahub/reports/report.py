"""What was measured -> the table that the terminal shows at the end."""

import json
from pathlib import Path
from typing import Any

# What a checkpoint is used by, where it is neither of classes nor of numbers.
PIPELINES = {"masked_lm": "dna-embedding", "token_classification": "token-classification"}
NATIVE_PIPELINES = {"masked_lm": "fill-mask", "token_classification": "token-classification"}
NAMES = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "mcc": "MCC",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "r2": "R2",
    "rmse": "RMSE",
    "mae": "MAE",
}


def render_report(results: dict[str, Any], folder: Path) -> str:
    """
    Metrics of the test split with 95 % intervals, baselines below them, what the training took, and what to do next.

    Args:
        results: `dnahub.training.results.describe` with `measure_all`.
        folder: The checkpoint's folder.

    Returns:
        About fifteen lines, the last one without an end.
    """
    split = "test" if results["test"] else "validation"
    measured, training, dataset = results[split], results["training"], results["dataset"]
    intervals = measured.get("intervals", {})  # of the test split only
    head = f"{dataset['name']}, {split} split, {dataset['rows'][split]:,} rows"
    table = [(head, "value", "95 % interval" if intervals else "")]
    metrics = [name for name, value in measured.items() if value is None or isinstance(value, float)]
    for name in sorted(metrics, key=lambda name: name == "loss"):  # last, as what says least
        ends = " to ".join(map(_number, intervals.get(name, ())))
        table.append((f"  {NAMES.get(name, name.replace('_', ' '))}", _number(measured[name]), ends))
    if results["validation"].get("constant"):
        table.append(("  warning: the outputs do not depend on the input; lower --learning_rate", "", ""))
    missing = [name for name, value in (measured.get("recall_per_label") or {}).items() if value is None]
    if missing:
        table.append((f"  no rows of: {', '.join(missing)}", "", ""))
    metric = training["chosen_by"]
    if metric not in metrics or metric == "loss":  # which is not measured of baselines
        metric = next(name for name in metrics if name != "loss")
    others = {name: scores[metric] for name, scores in (results["baselines"] or {}).items()}
    of_classes = results["problem"] == "single_label_classification"
    if of_classes and metric == "accuracy" and dataset["bayes_optimal_accuracy"] is not None:
        others["best possible"] = dataset["bayes_optimal_accuracy"]
    if others:
        table.append((f"{NAMES.get(metric, metric.replace('_', ' '))}, for comparison", "", ""))
        table += [(f"  {name}", _number(value), "") for name, value in others.items()]
    if results.get("seeds"):
        seeds = results["seeds"]
        table.append((f"{split}, mean and deviation of seeds {', '.join(map(str, seeds['seeds']))}", "", ""))
        for name, spread in seeds[split].items():
            mean, deviation = _number(spread["mean"]), _number(spread["deviation"])
            table.append((f"  {NAMES.get(name, name.replace('_', ' '))}", mean, f"± {deviation}"))

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
        task = PIPELINES.get(results["problem"], "dna-classification")
        facts["use it"] = f'pipeline("{task}", model={model}, trust_remote_code=True)'
    else:
        task = NATIVE_PIPELINES.get(results["problem"], "text-classification")
        facts["use it"] = f'pipeline("{task}", model={model})'

    first, second = (max(len(row[i]) for row in table) for i in (0, 1))
    lines = [f"{name:<{first}}  {value:>{second}}  {interval}".rstrip() for name, value, interval in table]
    label = max(map(len, facts))
    return "\n".join([*lines, "", *(f"{name:<{label}}  {fact}" for name, fact in facts.items())])


def _number(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 100_000 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
