"""What was measured -> the checkpoint's README.md, by `model_card.md`."""

import hashlib
import math
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from dnahub.checkpoints.loading import CheckpointFiles
from dnahub.checkpoints.publishing import THIS_CHECKPOINT
from dnahub.checkpoints.saving import travelling_files
from dnahub.tasks.evaluation import METRICS, greater_is_better

TAGS_OF_NT = ["nucleotide-transformer", "dna-embedding"]
TEMPLATE = Path(__file__).parents[2] / "model_card.md"
CITATION_DOI = "10.1038/s41592-024-02523-z"
METRIC_NAMES = {
    "accuracy": "Accuracy",
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
}
# The Hub's names of what a checkpoint is for.
PIPELINE_TAGS = {"token_classification": "token-classification", "masked_lm": "fill-mask"}


def inherited_licence(base: CheckpointFiles | None) -> dict[str, str]:
    """
    The licence of a checkpoint is that of the weights it began from.

    Args:
        base: The base model; `None` for random weights.

    Returns:
        `license`, and where that is "other" `license_name` and `license_link`, as the Hub's metadata have them:
        Apache-2.0 for random weights, else what the base model's card says, and "unknown" where it says nothing.
    """
    if base is None:
        return {"license": "apache-2.0"}
    if base.name.startswith("InstaDeepAI/"):
        return {"license": "cc-by-nc-sa-4.0"}
    card = base.folder / "README.md"
    if not card.is_file():
        return {"license": "unknown"}
    data = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict()
    found = {name: data[name] for name in ("license", "license_name", "license_link") if data.get(name)}
    return found if "license" in found else {"license": "unknown"}


def render_card(results: dict[str, Any]) -> str:
    """
    The card of a checkpoint.

    Args:
        results: `dnahub.training.results.describe` with `measure_all`.

    Returns:
        Markdown with the Hub's metadata in front; the checkpoint is called `THIS_CHECKPOINT` in it.
    """
    pipeline_tag = PIPELINE_TAGS.get(results["problem"], "text-classification")
    dataset, base = results["dataset"], results["model"]
    eval_results = [
        EvalResult(
            task_type=pipeline_tag,
            dataset_type=dataset["name"],
            dataset_name=f"{Path(dataset['name']).name}, test split",
            dataset_config=dataset["config"],
            dataset_split="test",
            dataset_revision=dataset["revision"],
            metric_type=name,
            metric_name=label,
            metric_value=round(results["test"][name], 4),
        )
        for name, label in METRIC_NAMES.items()
        if results["test"] and results["test"].get(name) is not None
    ]
    data = ModelCardData(
        library_name="transformers",
        **results["licence"],
        base_model=base["base"] if base["revision"] else None,
        datasets=[dataset["name"]] if dataset["revision"] else None,
        pipeline_tag=pipeline_tag,
        tags=["biology", "genomics", "dna", *TAGS_OF_NT * (base["type"] == "nucleotide_transformer")],
        model_name=Path(dataset["name"]).name + "-classifier" if eval_results else None,
        eval_results=eval_results or None,
    )
    code = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in travelling_files()}
    baselines = results["baselines"] or {}
    chosen_by = results["training"]["chosen_by"]  # the loss is not measured of baselines
    main_metric = chosen_by if chosen_by in METRIC_NAMES else METRICS[results["problem"]][0]

    def goodness(scores: dict[str, Any]) -> float:
        value = scores[main_metric]
        if value is None:  # the worst
            return -math.inf
        return value if greater_is_better(main_metric) else -value

    best = max(baselines, key=lambda name: goodness(baselines[name]), default=None)
    return str(
        ModelCard.from_template(
            data,
            template_path=str(TEMPLATE),
            repo_id=THIS_CHECKPOINT,
            code=code,
            doi=CITATION_DOI,
            best_baseline=best,
            beaten=best is not None and goodness(results["test"]) < goodness(baselines[best]),
            main_metric=main_metric,
            only_class=_only_class(results["test"] or results["validation"] or {}),
            metric_names=METRIC_NAMES,
            number=_number,
            **{"seeds": None, "search": None, **results},
        )
    )


def _only_class(measured: dict[str, Any]) -> str | None:
    """The class that is predicted for every sequence or token, if there is one."""
    if "confusion_matrix" not in measured:
        return None
    columns = zip(measured["recall_per_label"], zip(*measured["confusion_matrix"], strict=True), strict=True)
    predicted = [name for name, counts in columns if any(counts)]
    return predicted[0] if len(predicted) == 1 else None


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
