"""Model -> the same model with the weights that shall not be trained frozen, or LoRA around it."""

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel

# Queries and values as in the LoRA paper (arXiv:2106.09685), and the feed-forward, which is two thirds of a layer.
LORA_TARGETS = ["query", "value", "intermediate.dense"]


def prepare(model: PreTrainedModel, tuning: str, lora_r: int = 8, lora_alpha: int = 16) -> PreTrainedModel | PeftModel:
    """
    Settle which weights are trained.

    Args:
        model: A model of `hub_code` with a task head.
        tuning: `"full"`, `"frozen"` (the head alone) or `"lora"` (low-rank updates of the encoder, and a
            classification head whole).
        lora_r: Rank of the LoRA matrices.
        lora_alpha: LoRA updates are scaled by alpha / rank.

    Returns:
        The model, for `"lora"` in a `PeftModel`.
    """
    if tuning == "frozen":
        model.base_model.requires_grad_(False)
    if tuning == "lora":
        classifies = "classifier" in dict(model.named_children())
        config = LoraConfig(
            task_type=TaskType.SEQ_CLS if classifies else None,
            r=lora_r,
            lora_alpha=lora_alpha,
            target_modules=LORA_TARGETS,
            modules_to_save=["classifier"] if classifies else None,
        )
        return get_peft_model(model, config)
    return model


def count_parameters(model: PreTrainedModel | PeftModel) -> tuple[int, int]:
    """Numbers of parameters that are trained, and of all."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)
