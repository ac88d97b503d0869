"""Name of a metric in metrics.json -> its name and number as card, terminal and probe print them."""

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "mcc": "MCC",
    "micro_f1": "Micro F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "subset_accuracy": "Subset accuracy",
    "spearman": "Spearman correlation",
    "pearson": "Pearson correlation",
    "r2": "R2",
    "rmse": "RMSE",
    "mae": "MAE",
    "masked_accuracy": "Masked-token accuracy",
    "unigram_loss": "Loss of token frequencies alone",
    "uniform_loss": "Loss of the uniform distribution",
}
LOWER_IS_BETTER = ("loss", "rmse", "mae", "perplexity")


def name_of(metric: str) -> str:
    """Such as "Macro F1" for `macro_f1`; one that is not in the table by its own name."""
    return NAMES.get(metric, metric.replace("_", " ").capitalize())


def number(value: float | None) -> str:
    """Four decimals, or four digits where these say nothing; None, an undefined metric, in words."""
    if value is None:
        return "undefined"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 100_000 else f"{value:.4g}"


def interval(scores: dict, metric: str) -> str:
    """The interval of a metric, such as "0.3881 to 0.4130"; empty without one."""
    return " to ".join(map(number, scores.get("intervals", {}).get(metric, ())))
