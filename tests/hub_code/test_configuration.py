"""NucleotideTransformerConfig -> compared with the published sizes and with the code that it points to."""

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnahub.hub_code import NucleotideTransformerConfig
from dnahub.hub_code.configuration_nucleotide_transformer import AUTO_MAP, CUSTOM_PIPELINES

HUB_CODE = Path(__file__).parents[2] / "dnahub" / "hub_code"


@pytest.mark.parametrize(
    ("positions", "add_bias_fnn", "expected"),
    [
        ("rotary", None, False),
        ("absolute", None, True),
        ("rotary", False, False),
        ("rotary", True, True),
        ("absolute", False, False),
        ("absolute", True, True),
    ],
)
def test_the_feed_forward_is_gated_when_the_config_says_so_or_else_when_positions_are_rotary(
    positions, add_bias_fnn, expected
):
    config = NucleotideTransformerConfig(position_embedding_type=positions, add_bias_fnn=add_bias_fnn)
    assert config.add_bias_fnn is expected


def test_the_longest_input_leaves_out_the_positions_up_to_the_padding_index():
    assert NucleotideTransformerConfig().max_tokens == 2048
    v1 = NucleotideTransformerConfig(position_embedding_type="absolute", max_position_embeddings=1002)
    assert v1.max_tokens == 1000


def test_the_pointers_to_code_are_ours_whatever_is_given():
    config = NucleotideTransformerConfig(
        auto_map={"AutoModel": "elsewhere.Model"}, custom_pipelines={"dna-embedding": {"impl": "elsewhere.Pipeline"}}
    )
    assert config.auto_map == AUTO_MAP
    assert config.custom_pipelines == CUSTOM_PIPELINES


@pytest.mark.parametrize("model_type", ["esm", "nucleotide_transformer"])
@pytest.mark.parametrize(  # a list is what the type of our own field would refuse
    "auto_map", [{"AutoConfig": "esm_config.EsmConfig"}, {"AutoTokenizer": ["tokenization.Tokenizer", None]}]
)
def test_a_folder_that_points_to_other_code_is_read_as_ours(tmp_path, model_type, auto_map):
    given = {"model_type": model_type, "auto_map": auto_map, "hidden_size": 64, "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps(given))
    config = NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert type(config) is NucleotideTransformerConfig
    assert (config.model_type, config.auto_map, config.hidden_size) == ("nucleotide_transformer", AUTO_MAP, 64)


def test_what_is_saved_is_read_back(tmp_path):
    config = NucleotideTransformerConfig(
        hidden_size=64,
        rescaling_factor=2.5,
        id2label={0: "a", 1: "b"},
        label2id={"promoter": 0, "other": 1},
    )
    config.save_pretrained(tmp_path)
    again = NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert again.id2label == {0: "a", 1: "b"}
    assert again.to_dict() == config.to_dict()
    assert (again.hidden_size, again.rescaling_factor, again.eos_token_id) == (64, 2.5, None)


@pytest.mark.parametrize("model_type", ["bert", "llama", None])
def test_the_config_of_another_kind_of_model_is_an_error(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type} if model_type else {"x": 1}))
    with pytest.raises(ValueError, match=repr(model_type)) as error:
        NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert str(tmp_path) in str(error.value)


# --- fields that change the mathematics


NEUTRAL = {
    "rescaling_factor": None,
    "hidden_act": "silu",
    "rope_type": "default",
    "head_dim": 16,
    "use_glu_in_ffn": None,
}
CHANGING = {
    "hidden_act": "relu",
    "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
    "partial_rotary_factor": 0.5,
    "head_dim": 8,
    "sliding_window": 128,
    "position_embedding_type": "relative_key",
}


def read(folder, **fields) -> NucleotideTransformerConfig:
    published = {"model_type": "esm", "hidden_size": 64, "num_attention_heads": 4, "add_bias_fnn": False}
    (folder / "config.json").write_text(json.dumps(published | {"position_embedding_type": "rotary"} | fields))
    return NucleotideTransformerConfig.from_pretrained(folder)


@pytest.fixture
def warned():
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger(NucleotideTransformerConfig.__module__)
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_fields_at_neutral_values_are_taken_without_a_word(tmp_path, warned):
    read(tmp_path, **NEUTRAL, _name_or_path="x", torch_dtype="float32", my_note=None)
    assert warned == []


@pytest.mark.parametrize("name", CHANGING)
def test_a_field_of_other_mathematics_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        read(tmp_path, **{name: CHANGING[name]})


def test_rescaling_is_for_rotary_positions(tmp_path):
    with pytest.raises(ValueError, match="rescaling_factor 2.5"):
        read(tmp_path, rescaling_factor=2.5, position_embedding_type="absolute")


def test_an_unknown_field_gets_a_warning_that_names_it(tmp_path, warned):
    read(tmp_path, attention_temperature=0.5)
    assert len(warned) == 1 and "attention_temperature" in warned[0]


# --- versions


@pytest.mark.parametrize("version", ["5.9.2", "4.57.1", "6.0.0"])
def test_a_transformers_of_another_range_is_one_sentence(monkeypatch, version):
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(__version__=version))
    code = compile((HUB_CODE / "configuration_nucleotide_transformer.py").read_text(), "configuration", "exec")
    with pytest.raises(ImportError, match=f"transformers 5.10 .*{version}"):
        exec(code, {"__name__": "configuration"})
