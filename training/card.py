"""What was measured -> the checkpoint's README.md, by `model_card.md`."""

import hashlib
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers.utils import cached_file

from checkpoints.saving import travelling_files

TEMPLATE = Path(__file__).parent.parent / "model_card.md"
CITATION_DOI = "10.1038/s41592-024-02523-z"
METRIC_NAMES = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "mcc": "MCC"}


def inherited_licence(base: str | None, revision: str | None = None) -> str:
    """
    The licence of a checkpoint is that of the weights it began from.

    Args:
        base: Folder or Hub id of the base model; `None` for random weights.
        revision: Branch, tag or commit on the Hub.

    Returns:
        The licence as the Hub writes it: Apache-2.0 for random weights, else what the base model's card says, and
        `"unknown"` where it has no card or the card names none.
    """
    if base is None:
        return "apache-2.0"
    if base.startswith("InstaDeepAI/"):
        return "cc-by-nc-sa-4.0"
    try:
        card = cached_file(base, "README.md", revision=revision)
    except OSError:
        return "unknown"
    return ModelCard.load(card, ignore_metadata_errors=True).data.license or "unknown"


def render_card(results: dict[str, Any]) -> str:
    """
    The card of a checkpoint.

    Args:
        results: What `training.results.collect_results` measured.

    Returns:
        Markdown with the Hub's metadata in front.
    """
    classifies = results["task"] == "classification"
    dataset = results["dataset"]
    eval_results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=dataset["name"],
            dataset_name=f"{dataset['name']}, test",
            dataset_split="test",
            dataset_revision=dataset["revision"],
            metric_type=name,
            metric_name=label,
            metric_value=round(results["test"][name], 4),
        )
        for name, label in METRIC_NAMES.items()
        if classifies and results["test"]
    ]
    data = ModelCardData(
        library_name="transformers",
        license=results["licence"],
        pipeline_tag="text-classification" if classifies else "fill-mask",
        tags=["biology", "genomics", "dna", "nucleotide-transformer", "dna-embedding"],
        model_name=Path(dataset["name"]).name + "-classifier" if eval_results else None,
        eval_results=eval_results or None,
    )
    code = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in travelling_files()}
    return str(ModelCard.from_template(data, template_path=str(TEMPLATE), code=code, doi=CITATION_DOI, **results))
