"""Folder or Hub id, ours or as published -> model and tokenizer, without remote code."""

from pathlib import Path

from transformers import PreTrainedTokenizerFast
from transformers.utils import cached_file

from hub_code import NucleotideTransformerConfig
from hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from hub_code.tokenization_nucleotide_transformer import build_tokenizer


def load_checkpoint(
    model_class: type[NucleotideTransformerPreTrainedModel],
    name_or_path: str,
    revision: str | None = None,
    **config_fields,
) -> tuple[NucleotideTransformerPreTrainedModel, PreTrainedTokenizerFast]:
    """
    A model with its tokenizer, by our own classes: what code the checkpoint brings along is not run.

    Args:
        model_class: The model with the head that is wanted; a head that the checkpoint lacks is created.
        name_or_path: A folder, or a repository on the Hub.
        revision: Branch, tag or commit on the Hub; default its main branch.
        config_fields: Fields of the configuration to set, as `num_labels`.

    Returns:
        The model in float32 and evaluation mode, and the tokenizer.

    Raises:
        ValueError: If the folder holds another kind of model, lacks encoder weights, or has another vocabulary than
            its configuration says.
        OSError: If there is no such folder or repository, or a file of it is missing.
    """
    try:
        config = NucleotideTransformerConfig.from_pretrained(name_or_path, revision=revision, **config_fields)
    except OSError as error:  # which does not always name what it did not find
        raise OSError(f"There is no model {name_or_path} to load: {error}") from error
    tokenizer = load_tokenizer(name_or_path, config, revision=revision)
    # A head of other labels than are asked for is created anew, like one that is not there.
    model = model_class.from_pretrained(
        name_or_path, config=config, revision=revision, dtype="float32", ignore_mismatched_sizes=bool(config_fields)
    )
    return model, tokenizer


def load_tokenizer(
    name_or_path: str, config: NucleotideTransformerConfig, revision: str | None = None
) -> PreTrainedTokenizerFast:
    """
    The tokenizer of a checkpoint: its tokenizer.json, or, in the published layout, made from its vocab.txt.

    Raises:
        ValueError: If the vocabulary is not that of a 6-mer NT, or of another size than the configuration says.
        OSError: If the checkpoint has neither file.
    """
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(name_or_path, revision=revision)
    except (OSError, ValueError):  # which of the two depends on what else lies there
        vocabulary = cached_file(name_or_path, "vocab.txt", revision=revision)
        tokenizer = build_tokenizer(Path(vocabulary).read_text(encoding="utf-8").split(), config.max_tokens)
    if len(tokenizer) != config.vocab_size:
        raise ValueError(
            f"{name_or_path}: the tokenizer has {len(tokenizer)} tokens, but config.json says vocab_size "
            f"{config.vocab_size}; give a checkpoint whose files belong together."
        )
    return tokenizer
