"""Model -> the same model with the weights that are not trained frozen, or an adapter around it."""

import re
from collections.abc import Sequence

from peft import IA3Config, LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from dnahub.training.arguments import ModelArguments

# As in the LoRA paper (arXiv:2106.09685). The gated feed-forward, two thirds of a layer, is "intermediate.dense".
LORA_TARGETS = ("query", "value")
# As in the IA3 paper (arXiv:2205.05638): keys, values, and what goes into the feed-forward's second product.
IA3_FEEDFORWARD = r".*\.layer\.\d+\.output\.dense"
IA3_TARGETS = rf".*\.attention\.self\.(key|value)|{IA3_FEEDFORWARD}"


def prepare(model: PreTrainedModel, args: ModelArguments, revision: str | None = None) -> PreTrainedModel | PeftModel:
    """Settle which weights are trained; `revision` is the base model's, for an adapter's configuration."""
    if args.tuning == "head" and _head(model) is None:
        raise ValueError("--tuning head trains the head alone, which teaches this task little; use full or lora.")
    if args.tuning in ("frozen", "head"):
        return freeze(model, args.trainable_layers if args.tuning == "frozen" else 0)
    if args.tuning == "lora":
        return add_lora(model, args.lora_r, args.lora_alpha, args.lora_dropout, args.lora_targets, revision)
    if args.tuning == "ia3":
        return add_ia3(model, revision)
    return model


def freeze(model: PreTrainedModel, trainable_layers: int) -> PreTrainedModel:
    """Freeze the encoder but for its last layers (0: none) and the norm after them; head and pooler are trained."""
    encoder = model.base_model
    _, layers = encoder_layers(model)
    if trainable_layers >= len(layers):
        raise ValueError(
            f"--trainable_layers {trainable_layers}: this model has {len(layers)} layers; give 1 to {len(layers) - 1},"
            " --tuning head to train none of them, or --tuning full."
        )
    encoder.requires_grad_(False)
    for module in _pooler(model).values():
        module.requires_grad_(True)
    if trainable_layers:
        layers[-trainable_layers:].requires_grad_(True)
        modules = list(encoder.modules())  # in the order of their making
        for module in modules[modules.index(layers[-1]) :]:
            if type(module).__name__.endswith("Norm"):
                module.requires_grad_(True)
    return model


def add_lora(
    model: PreTrainedModel,
    r: int = 8,
    alpha: int = 16,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
    revision: str | None = None,
) -> PeftModel:
    """Low-rank updates of some linear layers of the encoder, by the ends of their names; the head is trained whole."""
    path, layers = encoder_layers(model)
    linear = sorted(
        {name for layer in layers for name, module in layer.named_modules() if isinstance(module, nn.Linear)}
    )

    def found(target: str) -> bool:
        return any(f".{name}".endswith(f".{target}") for name in linear)

    targets = targets or (LORA_TARGETS if all(map(found, LORA_TARGETS)) else linear)
    for target in targets:
        if not found(target):
            raise ValueError(
                f"--lora_targets {target}: this model has no such linear layer; it has {', '.join(linear)}."
            )
    head = _head(model)
    of_tokens = type(model).__name__.endswith("ForTokenClassification")
    config = LoraConfig(
        task_type=head and (TaskType.TOKEN_CLS if of_tokens else TaskType.SEQ_CLS),
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        # of the encoder alone: the head is trained whole
        target_modules=rf"{re.escape(path)}\.\d+\.(.*\.)?({'|'.join(map(re.escape, targets))})",
        modules_to_save=head,
        revision=revision,
    )
    return get_peft_model(model, config)


def add_ia3(model: PreTrainedModel, revision: str | None = None) -> PeftModel:
    """Learned factors of keys, values and the feed-forward's inner activations; the head is trained whole."""
    if not isinstance(model, NucleotideTransformerPreTrainedModel):  # the targets are names of its layers
        raise ValueError(
            f"--tuning ia3 is for Nucleotide Transformers, and this is a {type(model).__name__}; give --tuning lora."
        )
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    config = IA3Config(
        target_modules=IA3_TARGETS,
        feedforward_modules=IA3_FEEDFORWARD,
        # By its linear layers, and without a task type, which would add it as a whole: peft 0.21 cannot merge that.
        modules_to_save=_head(model) and [name for name in linear if name.startswith("classifier")],
        revision=revision,
    )
    return get_peft_model(model, config)


def encoder_layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The repeated blocks of an encoder, and their name: its longest list of modules, the outermost one."""
    prefix = f"{model.base_model_prefix}."
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and name.startswith(prefix)
    ]
    return max(lists, key=lambda named: len(named[1]))


def count_parameters(model: PreTrainedModel | PeftModel) -> tuple[int, int]:
    """Numbers of parameters that are trained, and of all."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def _head(model: PreTrainedModel) -> list[str] | None:
    """A classification head is new and trained whole; that of masked language modelling is the base model's."""
    if model.get_output_embeddings() is not None:
        return None
    parts = {name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")}
    return [*_pooler(model), *sorted({name.partition(".")[0] for name in parts})]


def _pooler(model: PreTrainedModel) -> dict[str, nn.Module]:
    """What BERT and its kin have of the classification head at the end of the encoder, by its name; often nothing."""
    return {name: module for name, module in model.named_modules() if name == f"{model.base_model_prefix}.pooler"}
