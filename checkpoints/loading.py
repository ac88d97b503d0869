"""Folder or Hub id, ours or as published -> model and tokenizer, without remote code."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from hub_client.downloading import download
from hub_code import NucleotideTransformerConfig
from hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from hub_code.tokenization_nucleotide_transformer import build_tokenizer

# What is fetched from the Hub: no code, and pickles only where they are asked for.
FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*.json", "vocab.txt", "README.md")
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
IGNORED = ("*/*",)


@dataclass(frozen=True)
class CheckpointFiles:
    """
    Args:
        name: A folder or a Hub id, as it was given.
        folder: Where the files are.
        commit: Which commit on the Hub they are of; None for a folder.
    """

    name: str
    folder: Path
    commit: str | None

    @property
    def published_name(self) -> str:
        """The Hub id, or the name of the folder; where that lies is nobody's business."""
        return self.name if self.commit else self.folder.resolve().name


def find_checkpoint(name_or_path: str, revision: str | None = None, allow_pickle: bool = False) -> CheckpointFiles:
    """
    The files of a checkpoint: those of a folder, or, from the Hub, what loading takes, in the cache.

    Args:
        name_or_path: A folder, or a repository on the Hub.
        revision: Branch, tag or commit on the Hub; default its main branch.
        allow_pickle: Whether weights in pickle format will do, where there are no others.

    Raises:
        ValueError: If there are no weights in safetensors format and pickles are not allowed, or a revision is given
            for a folder.
        HubError: If the Hub has no such repository or revision, or does not answer.
    """
    folder, commit = Path(name_or_path), None
    if not folder.is_dir():
        folder, commit = download(name_or_path, "model", revision, FILES, IGNORED)
    elif revision is not None:
        raise ValueError(f"{name_or_path} is a folder; a revision ({revision}) is of a repository on the Hub.")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{name_or_path} is no checkpoint: there is no config.json in it.")
    if not any(folder.glob("*.safetensors")):
        if not allow_pickle:
            raise ValueError(
                f"{name_or_path} has no weights in safetensors format. Those in pickle format (pytorch_model.bin) can "
                "hold code that runs when they are loaded; if you trust whoever made them, give --allow_pickle."
            )
        if commit:
            folder, _ = download(name_or_path, "model", commit, (*FILES, *PICKLES), IGNORED)
    return CheckpointFiles(name_or_path, folder, commit)


def load_checkpoint(
    model_class: type[NucleotideTransformerPreTrainedModel], files: CheckpointFiles, **config_fields
) -> tuple[NucleotideTransformerPreTrainedModel, PreTrainedTokenizerFast]:
    """
    A model with its tokenizer, by our own classes: what code the checkpoint brings along is not run.

    Args:
        model_class: The model with the head that is wanted; a head that the checkpoint lacks is created.
        files: What `find_checkpoint` found.
        config_fields: Fields of the configuration to set, as `num_labels`.

    Returns:
        The model in float32 and evaluation mode, and the tokenizer.

    Raises:
        ValueError: If the folder holds another kind of model, lacks encoder weights, or has another vocabulary than
            its configuration says.
        OSError: If a file is missing.
    """
    config = NucleotideTransformerConfig.from_pretrained(files.folder, **config_fields)
    tokenizer = load_tokenizer(files.folder, config)
    # A head of other labels than are asked for is created anew, like one that is not there.
    model = model_class.from_pretrained(
        files.folder, config=config, dtype="float32", ignore_mismatched_sizes=bool(config_fields)
    )
    model.name_or_path = files.published_name  # what peft writes down as the base of an adapter
    return model, tokenizer


def load_tokenizer(folder: Path, config: NucleotideTransformerConfig) -> PreTrainedTokenizerFast:
    """
    The tokenizer of a checkpoint: its tokenizer.json, or, in the published layout, made from its vocab.txt.

    Raises:
        ValueError: If the vocabulary is not that of a 6-mer NT, or of another size than the configuration says.
        OSError: If the checkpoint has neither file.
    """
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, ValueError):  # which of the two depends on what else lies there
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split()
        tokenizer = build_tokenizer(vocabulary, config.max_tokens)
    if len(tokenizer) != config.vocab_size:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, but config.json says vocab_size "
            f"{config.vocab_size}; give a checkpoint whose files belong together."
        )
    return tokenizer
