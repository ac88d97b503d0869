"""Folder or Hub id, NT or another encoder -> model for a task and its tokenizer, without remote code."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # nosec B403
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import transformers
from huggingface_hub import HfApi
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from dnahub.checkpoints.initialisation import compose_kmers
from dnahub.checkpoints.presets import PRESETS
from dnahub.checkpoints.tokenizer import build_tokenizer, kmers_of, nt_vocabulary
from dnahub.hub.downloading import download
from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from dnahub.machine.faults import first_line
from dnahub.machine.files import check_folder_name
from dnahub.machine.script import is_for_the_user

# What is fetched from the Hub: no code, and pickles only where they are asked for.
TOKENIZER_FILES = ("tokenizer*.json", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json")
FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES, "README.md")
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
IGNORED = ("*/*",)

NT_MODEL_TYPES = ("esm", NucleotideTransformerConfig.model_type)  # as published, and ours
# By kind of head our class, and transformers' own by the type of the configuration; "none" is the encoder alone.
HEADS = {
    "none": (NucleotideTransformerModel, MODEL_MAPPING),
    "sequence": (NucleotideTransformerForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),
    "token": (NucleotideTransformerForTokenClassification, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING),
    "masked_lm": (NucleotideTransformerForMaskedLM, MODEL_FOR_MASKED_LM_MAPPING),
}

# Steps of a normaliser as tokenizer.json has them; `tokenizers` has none for upper case.
ANY_CASE = [
    {"type": "Replace", "pattern": pattern, "content": content}
    for pattern, content in [
        ({"Regex": r"[\s\x1c-\x1f]+"}, ""),
        *(({"String": letter}, letter.upper()) for letter in ascii_lowercase),
    ]
]
OTHER_SIZE = "the tokenizer has {} tokens, but config.json says vocab_size {}; give files that belong together."


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a checkpoint on this machine."""

    name: str  # a folder or a Hub id, as it was given
    folder: Path
    commit: str | None  # on the Hub; None for a folder

    @property
    def place(self) -> str:
        """The Hub id, or the whole path of the folder."""
        return self.name if self.commit else str(self.folder.resolve())

    @property
    def published_name(self) -> str:
        """The Hub id, or the name of the folder without its place, which is private."""
        return self.name if self.commit else self.folder.resolve().name


def find_checkpoint(
    name_or_path: str, revision: str | None = None, allow_pickle: bool = False, api: HfApi | None = None
) -> CheckpointFiles:
    """
    The files of a checkpoint: those of a folder, or those that loading takes from a repository on the Hub.

    Args:
        revision: Branch, tag or commit on the Hub; default its main branch.
        allow_pickle: Whether to accept weights in pickle format if there are no others.

    Raises:
        ValueError: If there are no weights in safetensors format and pickles are not allowed, or a revision is given
            for a folder.
        HubError: If the Hub has no such repository or revision, or does not answer.
    """
    folder, commit = Path(name_or_path), None
    if not folder.is_dir():
        folder, commit = download(name_or_path, "model", revision, FILES, IGNORED, api)
    elif revision is not None:
        raise ValueError(f"{name_or_path} is a folder; give a revision ({revision}) for a repository on the Hub only.")
    check_folder_name(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{name_or_path} is not a checkpoint: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        if not allow_pickle:
            convert = f"python -m dnahub.checkpoints.convert --model_name_or_path {name_or_path} --output_dir FOLDER"
            raise ValueError(
                f"{name_or_path} has no weights in safetensors format; weights in pickle format (pytorch_model.bin) "
                f"can run code when they are loaded: if you trust their author, give --allow_pickle, or {convert}"
            )
        if commit:
            folder, _ = download(name_or_path, "model", commit, (*FILES, *PICKLES), IGNORED, api)
    return CheckpointFiles(name_or_path, folder, commit)


def load_for_task(
    head: str, files: CheckpointFiles, head_fields: dict[str, Any] | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """
    A model with the head of a task, and its tokenizer: an NT by our own classes, another encoder by transformers'.

    Args:
        head: A key of `HEADS`.
        files: What `find_checkpoint` found.
        head_fields: Fields of the configuration that describe the head (`dnahub.tasks.task.Task.head_fields`); one
            that the checkpoint lacks, or that has another size, is created. None: the head is that of the checkpoint.

    Returns:
        The model in float32 and evaluation mode, and the tokenizer, which reads lower case as upper case and drops
        white space, as the saved one will.

    Raises:
        ValueError: If there is no encoder, one that needs code of its own, or files that do not belong together.
    """
    nt_class, native_classes = HEADS[head]
    with _faulty(f"{files.name}: config.json"):
        config_dict, _ = PreTrainedConfig.get_config_dict(files.folder)
        model_type, code = str(config_dict.get("model_type")), list(config_dict.get("auto_map") or ())
    if model_type in NT_MODEL_TYPES:
        return load_checkpoint(nt_class, files, head_fields)
    config_class = CONFIG_MAPPING[model_type] if model_type in CONFIG_MAPPING else None
    if config_class not in MODEL_FOR_MASKED_LM_MAPPING or config_class.is_encoder_decoder:
        raise ValueError(
            f"{files.name}: config.json says model_type {model_type!r}, which is not an encoder of transformers "
            f"{transformers.__version__}; give a Nucleotide Transformer or another encoder, such as a ModernBERT."
        )
    # DNABERT-2, for one, says 'bert', but its own code computes something else from these weights.
    if any(str(auto_class).startswith("AutoModel") for auto_class in code):
        raise ValueError(
            f"{files.name}: config.json says that the model needs code of its own (auto_map), which is not run; if it "
            f"is a {model_type!r} of transformers, remove auto_map."
        )
    if config_class not in native_classes:
        raise ValueError(f"{files.name}: transformers has no {head} head for {model_type!r}; give another model.")
    config = _read_config(config_class, files, head_fields or {})
    with _faulty(f"{files.name}: the tokenizer"):
        tokenizer = _load_native_tokenizer(files, config)
    model, faults = _load(native_classes[config_class], files.folder, files.name, config=config)
    if head == "none" or head_fields is not None:
        # BERT's pooler is a part of the head, though it is in the encoder; a head may be left over, or created.
        own = set(model.state_dict()) if head == "none" else ()
        encoder = f"{model.base_model_prefix}."
        faults = [name for name in faults if (name in own or name.startswith(encoder)) and "pooler" not in name]
    if faults:
        raise ValueError(
            f"{files.name}: {len(faults)} tensors do not fit config.json, the first of them {faults[0]}; download or "
            "save the checkpoint again."
        )
    model.name_or_path = files.place
    return model, tokenizer


def head_of(files: CheckpointFiles) -> str:
    """The head that a checkpoint says it has, a key of `HEADS`."""
    with _faulty(f"{files.name}: config.json"):
        named = str((PreTrainedConfig.get_config_dict(files.folder)[0].get("architectures") or ["Model"])[0])
    suffixes = {"ForSequenceClassification": "sequence", "ForTokenClassification": "token", "ForMaskedLM": "masked_lm"}
    return next((head for suffix, head in suffixes.items() if named.endswith(suffix)), "none")


def load_saved(folder: Path, head: str) -> PreTrainedModel:
    """The model that `save_checkpoint` wrote, with its head, in float32; ValueError if its tensors do not fit."""
    nt_class, native_classes = HEADS[head]
    model_type = PreTrainedConfig.get_config_dict(folder)[0].get("model_type")
    model_class = nt_class if model_type in NT_MODEL_TYPES else native_classes[CONFIG_MAPPING[model_type]]
    model, faults = _load(model_class, folder, folder)
    if faults:
        raise ValueError(
            f"{folder}: {len(faults)} tensors do not fit config.json, the first of them {faults[0]}; remove that "
            "folder, and the same command creates it again."
        )
    return model


def build_from_scratch(
    preset: str, head: str, head_fields: dict[str, Any], init: str = "composed"
) -> tuple[NucleotideTransformerPreTrainedModel, PreTrainedTokenizerFast]:
    """
    An NT with random weights and the head of a task, and its tokenizer; ValueError if there is no such preset.

    `init` is one of `INITS`: "composed" as `compose_kmers` does it, or "plain", as transformers does.
    """
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}; the presets are {', '.join(PRESETS)}.")
    config = NucleotideTransformerConfig(**PRESETS[preset] | head_fields)
    model, vocabulary = HEADS[head][0](config), nt_vocabulary()
    if init == "composed":
        compose_kmers(model, vocabulary)
    return model, build_tokenizer(vocabulary, config.max_tokens)


def max_tokens(model: PreTrainedModel) -> int:
    """The longest input that a model of `load_for_task` takes, special tokens included, with or without an adapter."""
    if isinstance(model.config, NucleotideTransformerConfig):
        return model.config.max_tokens
    num_positions = model.config.to_dict().get("max_position_embeddings")
    if num_positions is None:
        raise ValueError(f"A {model.config.model_type!r} has no max_position_embeddings; give another encoder.")
    # RoBERTa and related models count positions from after the padding index on.
    padding = [
        module.padding_idx
        for name, module in model.named_modules()
        if name.endswith(".position_embeddings") and isinstance(module, nn.Embedding)
    ]
    return num_positions - padding[0] - 1 if padding and padding[0] is not None else num_positions


def load_checkpoint(
    model_class: type[NucleotideTransformerPreTrainedModel],
    files: CheckpointFiles,
    head_fields: dict[str, Any] | None = None,
) -> tuple[NucleotideTransformerPreTrainedModel, PreTrainedTokenizerFast]:
    """
    An NT in float32 and evaluation mode, and its tokenizer, by our own classes: no code of the checkpoint is run.

    `head_fields` as those of `load_for_task`.

    Raises:
        ValueError: If the folder has another kind of model or another vocabulary than its configuration says, or,
            without `head_fields`, lacks the head.
        OSError: If a file is missing.
    """
    config = _read_config(NucleotideTransformerConfig, files, head_fields or {})
    with _faulty(f"{files.name}: the tokenizer"):
        tokenizer = _load_nt_tokenizer(files, config)
    # A head of other labels than are asked for is created, like one that is not there.
    model, faults = _load(model_class, files.folder, files.name, bool(head_fields), config=config)
    missing = [name for name in faults if name in model.state_dict()]
    if missing and head_fields is None:
        raise ValueError(
            f"{files.name} has no head of this kind ({missing[0]} is missing); give a checkpoint that was trained for "
            "it."
        )
    model.name_or_path = files.place  # what peft writes down as the base of an adapter
    return model, tokenizer


def _read_config(
    config_class: type[PreTrainedConfig], files: CheckpointFiles, fields: dict[str, Any]
) -> PreTrainedConfig:
    with _faulty(f"{files.name}: config.json"):
        return config_class.from_pretrained(files.folder, **fields)


@contextmanager
def _faulty(what: str) -> Iterator[None]:
    """What transformers and tokenizers raise while they read a file, of any kind -> a ValueError."""
    try:
        yield
    except Exception as error:
        if is_for_the_user(error):
            raise
        cause = first_line(error.__cause__ or error)
        raise ValueError(f"{what} is faulty ({cause}); give the one of these weights.") from error


def _load(
    model_class: type[PreTrainedModel], folder: Path, name: str | Path, other_sizes: bool = True, **options: Any
) -> tuple[PreTrainedModel, list[str]]:
    """A model in float32, and the tensors that are missing, left over or of another shape."""
    try:
        model, info = model_class.from_pretrained(
            folder, dtype="float32", ignore_mismatched_sizes=other_sizes, output_loading_info=True, **options
        )
    except UnpicklingError as error:
        raise ValueError(
            f"{name}: the weights cannot be read: the pickle is damaged, or has code, which is not run; give others."
        ) from error
    except (SafetensorError, RuntimeError) as error:  # a RuntimeError of a pickle's zip archive
        raise ValueError(
            f"{name}: the weights cannot be read ({first_line(error)}); download or save the checkpoint again."
        ) from error
    mismatched = (tensor for tensor, *_ in info["mismatched_keys"])
    return model, sorted({*info["missing_keys"], *info["unexpected_keys"], *mismatched})


def _load_nt_tokenizer(files: CheckpointFiles, config: NucleotideTransformerConfig) -> PreTrainedTokenizerFast:
    """From its tokenizer.json, or, in the published layout, built from its vocab.txt."""
    folder = files.folder
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, ValueError):  # depending on the other files there
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split()
        try:
            tokenizer = build_tokenizer(vocabulary, config.max_tokens)
        except ValueError as error:
            raise ValueError(f"{folder}: {error}") from error
    if kmers_of(tokenizer) is None:  # as in Plant-NT
        return _checked(tokenizer, files, config)
    if len(tokenizer) != config.vocab_size:
        raise ValueError(f"{folder}: {OTHER_SIZE.format(len(tokenizer), config.vocab_size)}")
    return tokenizer


def _load_native_tokenizer(files: CheckpointFiles, config: PreTrainedConfig) -> PreTrainedTokenizerFast:
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, config=config, trust_remote_code=False)
    except (OSError, ValueError):
        tokenizer = None
    if tokenizer is None or not tokenizer.is_fast:
        raise ValueError(
            f"{files.name}: it has no fast tokenizer that transformers loads without the checkpoint's own code; give "
            "a folder with a tokenizer.json."
        )
    return _checked(tokenizer, files, config)


def _checked(
    tokenizer: PreTrainedTokenizerFast, files: CheckpointFiles, config: PreTrainedConfig
) -> PreTrainedTokenizerFast:
    """A tokenizer of any kind that reads DNA, and fits the model."""
    if len(tokenizer) > config.vocab_size:
        raise ValueError(f"{files.name}: {OTHER_SIZE.format(len(tokenizer), config.vocab_size)}")
    # transformers makes a tokenizer without vocabulary if its files are missing; others need spaces between k-mers.
    if set(tokenizer("ACGT" * 15, add_special_tokens=False).input_ids) <= {tokenizer.unk_token_id}:
        raise ValueError(f"{files.name}: the tokenizer has no token for DNA such as ACGTACGT; give a model of DNA.")
    if tokenizer.pad_token is None:
        raise ValueError(f"{files.name}: the tokenizer has no pad_token; name one in its tokenizer_config.json.")
    return _reading_any_case(tokenizer)


def _reading_any_case(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """
    The same tokenizer, preceded by what an NT's does as well: upper case, and no white space.

    Its own normaliser follows, so the lower-casing of an uncased BERT wins. The result is of the general class, which
    loads all of tokenizer.json; BertTokenizer and others rebuild their normaliser on loading (transformers 5.23).
    """
    rules, own = json.loads(tokenizer.backend_tokenizer.to_str()), tokenizer.backend_tokenizer.normalizer
    if own is None:
        rules["normalizer"] = {"type": "Sequence", "normalizers": ANY_CASE}
    elif own.normalize_str(f"{ascii_lowercase} \n") != own.normalize_str(ascii_uppercase):
        rules["normalizer"] = {"type": "Sequence", "normalizers": [*ANY_CASE, rules["normalizer"]]}
    for token in rules["added_tokens"]:
        token["normalized"] &= not token["special"]  # or <mask> would be called <MASK>
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(rules)),
        **tokenizer.special_tokens_map,
        extra_special_tokens=tokenizer.extra_special_tokens,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
    )
