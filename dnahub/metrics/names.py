"""Name of a metric in metrics.json -> its name and number as card, terminal and probe print them."""

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "mcc": "MCC",
    "f1": "F1",
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


def number(value: float | None, decimals: int = 4) -> str:
    """Four decimals, or four digits where these say nothing; None, an undefined metric, in words."""
    if value is None:
        return "undefined"
    value = float(f"{value:.9g}")  # two scores that differ in their last bits alone are shown alike
    return f"{value:.{decimals}f}" if value == 0 or 0.001 <= abs(value) < 100_000 else f"{value:.{decimals}g}"


def interval(scores: dict, metric: str) -> str:
    """The interval of a metric, such as "0.3881 to 0.4130"; empty without one."""
    return " to ".join(map(number, scores.get("intervals", {}).get(metric, ())))
