"""Tokenizers of other encoders -> soft-masked DNA read as upper case, in training as in the saved checkpoint."""

import random
from collections.abc import Callable

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from dnahub.checkpoints.loading import find_checkpoint, load_for_task
from dnahub.checkpoints.saving import save_checkpoint
from tests.checkpoints.test_other_encoders import MODELS, VOCABULARY, tokenizer_of_3_mers, write

SPECIAL = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], VOCABULARY[:5], strict=True))
LETTERS = "ACGTURYSWKMBDHVNX"  # what training takes, next to white space


def characters(normalizer=None, pre_tokenizer=None, **mask) -> PreTrainedTokenizerFast:
    """Merges of characters, as a BPE has them: each of `LETTERS` in either case, and AC, ac, GT and gt."""
    tokens = [*VOCABULARY[:5], *LETTERS, *LETTERS.lower(), "▁", "Ġ", "AC", "ac", "GT", "gt"]
    merges = [tuple(token) for token in tokens[-4:]]
    backend = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="[UNK]"))
    if normalizer is not None:
        backend.normalizer = normalizer
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, **(SPECIAL | mask))


def bert(do_lower_case: bool) -> BertTokenizerFast:
    """transformers' own class, which makes its normaliser anew whenever it loads."""
    pieces = [f"{prefix}{letter}" for prefix in ("", "##") for letter in "ACGTNacgtn"]
    vocabulary = {token: i for i, token in enumerate([*VOCABULARY[:5], *pieces])}
    return BertTokenizerFast(vocab=vocabulary, do_lower_case=do_lower_case, model_max_length=50)


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "neither normaliser nor pre-tokenizer": characters,
    "sequences of both": lambda: characters(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend("▁")]),
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Split(Regex("N"), "isolated")]),
    ),
    "lower case": lambda: characters(normalizers.Lowercase()),
    "byte level": lambda: characters(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "3-mers": tokenizer_of_3_mers,
    "cased BERT": lambda: bert(do_lower_case=False),
    "uncased BERT": lambda: bert(do_lower_case=True),
}


def load(folder) -> PreTrainedTokenizerFast:
    return load_for_task("sequence", find_checkpoint(str(folder)), {"num_labels": 3})[1]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MODELS["bert"]()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_any_case_and_white_space_give_the_ids_of_upper_case_before_and_after_saving(tmp_path, model, name):
    base = TOKENIZERS[name]()
    tokenizer = load(write(tmp_path / "base", model, base))
    save_checkpoint(tmp_path / "checkpoint", model, tokenizer, {}, "")
    saved = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    again = load(tmp_path / "checkpoint")  # as when it is trained further
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()

    rng = random.Random(0)
    upper = ["".join(rng.choices(LETTERS, k=rng.randint(1, 40))) for _ in range(50)]
    mixed = ["".join(letter.lower() if rng.random() < 0.5 else letter for letter in each) for each in upper]
    spaced = ["".join(letter + rng.choice(["", "", " ", "\n", "\t\x1c"]) for letter in each) for each in mixed]
    expected = base(upper, padding=True)
    for sequences in (upper, [each.lower() for each in upper], mixed, spaced):
        assert dict(tokenizer(sequences, padding=True)) == dict(saved(sequences, padding=True)) == dict(expected)
    for attribute in ("model_max_length", "padding_side", "truncation_side", "model_input_names", "all_special_ids"):
        assert getattr(saved, attribute) == getattr(base, attribute)
    assert saved.special_tokens_map == base.special_tokens_map


def test_tokens_added_by_the_makers_are_kept(tmp_path, model):
    base = tokenizer_of_3_mers(extra_special_tokens=["[X]"])
    model = type(model)(type(model.config)(**(model.config.to_dict() | {"vocab_size": 70})))
    tokenizer = load(write(tmp_path, model, base))
    assert tokenizer("acg[X]").input_ids == base("ACG[X]").input_ids and 69 in tokenizer("acg[X]").input_ids
    assert len(tokenizer) == 70 and tokenizer.all_special_ids == base.all_special_ids


@pytest.mark.parametrize("normalized", [False, True])
def test_special_tokens_keep_their_names(tmp_path, model, normalized):
    base = characters(mask_token=AddedToken("<mask>", normalized=normalized, special=True))
    model = type(model)(type(model.config)(**(model.config.to_dict() | {"vocab_size": len(base)})))
    write(tmp_path / "base", model, base)
    write(tmp_path / "saved", model, load(tmp_path / "base"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")

    ids = tokenizer("ac<mask>N").input_ids
    assert ids == base("AC<mask>N").input_ids and ids[1] == base.mask_token_id
    assert tokenizer.convert_ids_to_tokens(ids) == ["AC", "<mask>", "N"]
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == "ACN"
