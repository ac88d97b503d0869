"""Model, tokenizer, metrics, card -> a complete checkpoint folder, moved into place when it is complete."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForTokenClassification
from dnahub.machine.files import replacing_folder, write_text

HUB_CODE = Path(__file__).parent.parent / "hub_code"
HANDLER = "handler.py"  # of an Inference Endpoint of the Hub


def travelling_files() -> list[Path]:
    """The files of `hub_code/` that are saved beside the weights of every NT checkpoint, by name."""
    return sorted(path for path in HUB_CODE.glob("*.py") if path.name != "__init__.py")


def save_checkpoint(
    folder: Path,
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    metrics: dict[str, Any] | None,
    card: str,
) -> PreTrainedModel:
    """
    Write a checkpoint that every Auto class and, for an NT, its pipelines load; nothing in it is a pickle.

    LoRA weights are merged into the model (in place) and saved at the root, because `pipeline()` would load the bare
    base model if it found an adapter there; the adapter itself is saved in `adapter/`.

    An earlier checkpoint in `folder` is replaced only when the new one is complete. Returns the model that was saved.
    """
    with replacing_folder(folder) as whole:
        if isinstance(model, PeftModel):
            model.save_pretrained(whole / "adapter", save_embedding_layers=False)  # or it looks for the base model
            (whole / "adapter" / "README.md").unlink(missing_ok=True)  # peft's template; ours is at the root
            model = model.merge_and_unload()
        model.save_pretrained(whole)
        if isinstance(model.config, NucleotideTransformerConfig):
            shutil.copyfile(HUB_CODE / HANDLER, whole / HANDLER)  # transformers copies the other files
            tokenizer = deepcopy(tokenizer)
            # One more for labels of tokens, by which the model's forward recognises a sequence that was cut.
            is_of_tokens = isinstance(model, NucleotideTransformerForTokenClassification)
            tokenizer.model_max_length = model.config.max_tokens + is_of_tokens
        tokenizer.save_pretrained(whole)
        write_results(whole, metrics, card)
    return model


def write_results(folder: Path, metrics: dict[str, Any] | None, card: str) -> None:
    """Put other metrics, if any, and another card into a checkpoint; metrics.json last, each replaced as a whole."""
    write_text(folder / "README.md", card)
    if metrics is not None:
        write_text(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
