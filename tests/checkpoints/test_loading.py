"""Checkpoint folders, as published and ours -> model and tokenizer, compared with the weights that were written."""

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from dnahub.checkpoints.loading import (
    HEADS,
    build_from_scratch,
    find_checkpoint,
    load_checkpoint,
    load_for_task,
    max_tokens,
)
from dnahub.checkpoints.presets import PRESETS
from dnahub.checkpoints.tokenizer import SPECIAL_TOKENS_V1, build_tokenizer, nt_vocabulary
from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerModel,
)
from dnahub.hub_code.modeling_nucleotide_transformer import NucleotideTransformerPreTrainedModel
from dnahub.training.tuning import add_lora
from tests.messages import naming

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
# What https://huggingface.co/InstaDeepAI/nucleotide-transformer-v2-50m-multi-species and v1's human-ref say.
PUBLISHED = {
    "v2": {"add_bias_fnn": False, "position_embedding_type": "rotary", "max_position_embeddings": 2050},
    "v1": {"position_embedding_type": "absolute", "max_position_embeddings": 1002},
}
AUTO_MAP = {"AutoConfig": "esm_config.EsmConfig", "AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM"}
VOCABULARY = {"v2": nt_vocabulary(), "v1": nt_vocabulary(SPECIAL_TOKENS_V1)}
SEQUENCE = "ATGGTAGCTACATCATCTNNAC"
IDS_V2 = [3, 506, 3662, 1567, 4106, 4106, 4102, 4104]


@pytest.fixture(params=["v2", "v1"])
def version(request):
    return request.param


@pytest.fixture
def published(tmp_path):
    """A function that writes a folder as InstaDeep's lie on the Hub; gives the folder and the tensors in it."""

    def write(version="v2", file_name="model.safetensors", vocabulary=None):
        torch.manual_seed(0)
        folder = tmp_path / "published"
        folder.mkdir()
        fields = {**SMALL, **PUBLISHED[version], "vocab_size": len(VOCABULARY[version])}
        (folder / "config.json").write_text(json.dumps({"model_type": "esm", "auto_map": AUTO_MAP, **fields}))
        (folder / "vocab.txt").write_text("\n".join(vocabulary or VOCABULARY[version]))
        weights = NucleotideTransformerForMaskedLM(NucleotideTransformerConfig(**fields)).state_dict()
        weights = {name: torch.randn_like(tensor) * 0.1 for name, tensor in weights.items()}
        extra = {"esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq": torch.rand(4)}
        everything = weights | (extra if version == "v2" else {})
        if file_name.endswith("safetensors"):
            save_file(everything, folder / file_name, metadata={"format": "pt"})
        else:
            torch.save(everything, folder / file_name)
        return folder, weights

    return write


@pytest.fixture
def warnings_of(caplog):
    """A function that lists the warnings that transformers gave."""
    transformers_logging.enable_propagation()
    caplog.set_level(logging.WARNING)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    transformers_logging.disable_propagation()


@pytest.mark.parametrize("file_name", ["model.safetensors", "pytorch_model.bin"])
def test_the_published_layout_loads_as_it_is(published, warnings_of, version, file_name):
    folder, weights = published(version, file_name)

    files = find_checkpoint(str(folder), allow_pickle=file_name.endswith(".bin"))
    model, tokenizer = load_checkpoint(NucleotideTransformerForMaskedLM, files)

    assert warnings_of() == []
    assert {name: tensor.dtype for name, tensor in model.state_dict().items()} == dict.fromkeys(weights, torch.float32)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not model.training
    ids = IDS_V2 if version == "v2" else [3, *(i - 2 for i in IDS_V2[1:])]
    assert tokenizer(SEQUENCE).input_ids == ids
    assert tokenizer.model_max_length == {"v2": 2048, "v1": 1000}[version]


AMINO_ACIDS = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
SWAPPED = [*VOCABULARY["v2"][:6], *VOCABULARY["v2"][7:5:-1], *VOCABULARY["v2"][8:]]


@pytest.mark.parametrize(
    ("file_name", "vocabulary", "facts"),
    [
        ("vocab.txt", VOCABULARY["v1"], ["config.json", 4105, 4107]),
        ("vocab.txt", AMINO_ACIDS, ["published: Got", 33, "6-mers"]),
        ("tokenizer.json", AMINO_ACIDS, ["published", "no token for DNA"]),
        ("vocab.txt", SWAPPED, [4107, "order"]),  # ids are computed from the letters, not looked up there
        (None, [], ["vocab.txt"]),
    ],
    ids=["v1", "proteins", "proteins, tokenizer.json", "another order", "no file"],
)
def test_a_vocabulary_that_does_not_fit_is_refused(published, file_name, vocabulary, facts):
    folder, _ = published("v2", vocabulary=vocabulary)
    if file_name != "vocab.txt":
        (folder / "vocab.txt").unlink()
    if file_name == "tokenizer.json":
        other = Tokenizer(WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>"))
        PreTrainedTokenizerFast(tokenizer_object=other, unk_token="<unk>").save_pretrained(folder)

    with pytest.raises((ValueError, OSError), match=naming(*facts)):
        load_for_task("sequence", find_checkpoint(str(folder)), {"num_labels": 2})


@pytest.mark.parametrize("head", [head for head in HEADS if head != "none"])
def test_a_published_nt_gets_each_head_by_our_class(published, version, head):
    folder, weights = published(version)

    model, tokenizer = load_for_task(
        head, find_checkpoint(str(folder)), {} if head == "masked_lm" else {"num_labels": 2}
    )

    assert isinstance(model, NucleotideTransformerPreTrainedModel)
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in weights if name.startswith("esm."))
    logits = model(**tokenizer([SEQUENCE], return_tensors="pt")).logits
    outputs = len(tokenizer) if head == "masked_lm" else 2
    assert logits.shape == ((1, outputs) if head == "sequence" else (1, 8, outputs))


def test_a_pickle_that_would_run_code_does_not_though_it_was_asked_for(published, tmp_path):
    folder, _ = published(file_name="pytorch_model.bin")

    class Malice:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"esm.embeddings.word_embeddings.weight": Malice()}, folder / "pytorch_model.bin")
    with pytest.raises(Exception, match="[Ww]eights"):
        load_checkpoint(NucleotideTransformerModel, find_checkpoint(str(folder), allow_pickle=True))
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def classifier(tmp_path):
    """Our own layout, with a head of three classes."""
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(**SMALL, id2label={0: "a", 1: "b", 2: "c"})
    model = NucleotideTransformerForSequenceClassification(config)
    model.save_pretrained(tmp_path / "ours")
    build_tokenizer(nt_vocabulary(), config.max_tokens).save_pretrained(tmp_path / "ours")
    return tmp_path / "ours", model.state_dict()


def test_a_head_of_other_labels_is_created_and_a_warning_names_it(classifier, warnings_of):
    folder, weights = classifier
    files = find_checkpoint(str(folder))
    same, _ = load_checkpoint(
        NucleotideTransformerForSequenceClassification, files, {"id2label": {0: "a", 1: "b", 2: "c"}}
    )
    assert warnings_of() == []
    assert all(torch.equal(tensor, weights[name]) for name, tensor in same.state_dict().items())

    model, _ = load_checkpoint(NucleotideTransformerForSequenceClassification, files, {"id2label": {0: "x", 1: "y"}})

    assert model.classifier.out_proj.weight.shape == (2, 16)
    assert model.config.id2label == {0: "x", 1: "y"}
    assert "classifier.out_proj.weight" in "\n".join(warnings_of())
    encoder = {name for name in weights if name.startswith("esm.")}
    assert encoder and all(torch.equal(model.state_dict()[name], weights[name]) for name in encoder)


def test_weights_that_were_cut_off_are_named_with_their_checkpoint(published):
    folder, _ = published()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(ValueError, match=naming(folder, "weights")):
        load_for_task("masked_lm", find_checkpoint(str(folder)), {})


def test_a_field_of_another_type_is_named_with_its_checkpoint(published):
    folder, _ = published()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rescaling_factor": "2.5"}))
    with pytest.raises(ValueError, match=naming(folder, "config.json", "rescaling_factor", "'2.5'")):
        load_for_task("masked_lm", find_checkpoint(str(folder)), {})


def test_what_is_not_a_checkpoint_is_named(tmp_path, published, hub):
    for name in ("runs/absent/checkpoint", "absent", "user/absent"):
        with pytest.raises(ValueError, match=naming(name, "folder", "Hub")):
            find_checkpoint(name, api=hub.api())
    with pytest.raises(ValueError, match=naming(tmp_path, "config.json")):
        find_checkpoint(str(tmp_path))
    folder, _ = published(file_name="pytorch_model.bin")
    with pytest.raises(ValueError, match=naming(folder, "main")):
        find_checkpoint(str(folder), "main")
    with pytest.raises(ValueError, match=naming(folder, "safetensors", "--allow_pickle")):
        find_checkpoint(str(folder))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="model_type 'bert'"):
        load_checkpoint(NucleotideTransformerModel, find_checkpoint(str(folder), allow_pickle=True))


# Dalla-Torre et al. 2025, https://doi.org/10.1038/s41592-024-02523-z, and the published config.json files:
# hidden size, layers, heads, width of the gated feed-forward.
SIZES_OF_PRESETS = {
    "v2-50m": (512, 12, 16, 2048),
    "v2-100m": (512, 22, 16, 2048),
    "v2-250m": (768, 24, 16, 3072),
    "v2-500m": (1024, 29, 16, 4096),
}


def test_presets_have_the_published_sizes_and_others_are_refused():
    assert PRESETS.keys() == {"tiny", "small", *SIZES_OF_PRESETS}
    for name, sizes in SIZES_OF_PRESETS.items():
        assert tuple(PRESETS[name].values()) == sizes
    assert NucleotideTransformerConfig().to_dict() == NucleotideTransformerConfig(**PRESETS["v2-50m"]).to_dict()
    with pytest.raises(ValueError, match=r"'v3-7b'.*tiny, small, v2-50m, v2-100m, v2-250m, v2-500m"):
        build_from_scratch("v3-7b", "masked_lm", {})


def test_a_model_from_scratch_takes_as_many_tokens_as_its_tokenizer_says():
    model, tokenizer = build_from_scratch("tiny", "sequence", {"num_labels": 3})
    assert max_tokens(model) == tokenizer.model_max_length == 2048 == max_tokens(add_lora(model))
