"""NucleotideTransformerConfig -> compared with the published sizes and with the code that it points to."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnahub.hub_code import NucleotideTransformerConfig
from dnahub.hub_code.configuration_nucleotide_transformer import AUTO_MAP, CUSTOM_PIPELINES
from tests.messages import naming

HUB_CODE = Path(__file__).parents[2] / "dnahub" / "hub_code"


def read(folder, **fields) -> NucleotideTransformerConfig:
    published = {"model_type": "esm", "hidden_size": 64, "num_attention_heads": 4, "add_bias_fnn": False}
    (folder / "config.json").write_text(json.dumps(published | {"position_embedding_type": "rotary"} | fields))
    return NucleotideTransformerConfig.from_pretrained(folder)


@pytest.mark.parametrize(
    ("positions", "given", "expected"),
    [("rotary", None, False), ("absolute", None, True), ("rotary", True, True), ("absolute", False, False)],
)
def test_the_feed_forward_is_gated_by_default_where_positions_are_rotary(positions, given, expected):
    config = NucleotideTransformerConfig(position_embedding_type=positions, add_bias_fnn=given)
    assert config.add_bias_fnn is expected


def test_positions_up_to_the_padding_index_are_not_used():
    assert NucleotideTransformerConfig().max_tokens == 2048
    v1 = NucleotideTransformerConfig(position_embedding_type="absolute", max_position_embeddings=1002)
    assert v1.max_tokens == 1000


@pytest.mark.parametrize("model_type", ["esm", "nucleotide_transformer"])
@pytest.mark.parametrize(  # a list is what the type of our own field would refuse
    "auto_map", [{"AutoConfig": "esm_config.EsmConfig"}, {"AutoTokenizer": ["tokenization.Tokenizer", None]}]
)
def test_a_folder_that_points_to_other_code_is_read_as_ours(tmp_path, model_type, auto_map):
    config = read(tmp_path, model_type=model_type, auto_map=auto_map, custom_pipelines={"dna-embedding": {}})
    assert type(config) is NucleotideTransformerConfig
    assert (config.model_type, config.hidden_size) == ("nucleotide_transformer", 64)
    assert (config.auto_map, config.custom_pipelines) == (AUTO_MAP, CUSTOM_PIPELINES)


def test_what_is_saved_is_read_back(tmp_path):
    config = NucleotideTransformerConfig(hidden_size=64, rescaling_factor=2.5, id2label={0: "a", 1: "b"})
    config.save_pretrained(tmp_path)
    again = NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert again.id2label == {0: "a", 1: "b"}
    assert again.to_dict() == config.to_dict()
    assert (again.hidden_size, again.rescaling_factor, again.eos_token_id) == (64, 2.5, None)


@pytest.mark.parametrize("model_type", ["bert", None])
def test_the_config_of_another_kind_of_model_is_an_error(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type} if model_type else {"x": 1}))
    with pytest.raises(ValueError, match=naming(tmp_path, repr(model_type))):
        NucleotideTransformerConfig.from_pretrained(tmp_path)


GATED = {"hidden_act": "silu", "ffn_activation_name": "swish", "use_glu_in_ffn": True}
PLAIN = {"hidden_act": "gelu", "ffn_activation_name": "gelu-no-approx", "use_glu_in_ffn": False, "head_dim": 16}
NEUTRAL = {"rescaling_factor": None, "rope_type": "default", "rope_theta": 10000, "pre_layer_norm": True}
NEUTRAL |= {
    "rope_parameters": {"rope_type": "default"},
    "torch_dtype": "float32",
    "my_note": None,
    "_name_or_path": "x",
}
CHANGING = [
    *({"hidden_act": "relu"}, {"head_dim": 8}, {"head_dim": 1}, {"num_key_value_heads": 2}, {"embed_scale": 0.0}),
    *({"partial_rotary_factor": 0.5}, {"sliding_window": 128}, {"attention_bias": False}, {"pre_layer_norm": False}),
    *({"use_glu_in_ffn": False}, {"add_cross_attention": True}, {"position_embedding_type": "relative_key"}),
    {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    *({"rescaling_factor": factor} for factor in (0, -2.5, float("nan"), float("inf"))),
    {"rescaling_factor": 2.5, "position_embedding_type": "absolute"},
]


@pytest.mark.parametrize("feed_forward", [GATED | {"add_bias_fnn": False}, PLAIN | {"add_bias_fnn": True}])
def test_fields_at_neutral_values_are_accepted_without_a_warning(tmp_path, caplog, feed_forward):
    read(tmp_path, **NEUTRAL, **feed_forward)
    assert caplog.messages == []


@pytest.mark.parametrize("fields", CHANGING, ids=str)
def test_a_field_of_other_mathematics_is_an_error_that_names_it(tmp_path, fields):
    with pytest.raises(ValueError, match=naming(*next(iter(fields.items())))):
        read(tmp_path, **fields)


POSITIVE = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "rope_theta")
IMPOSSIBLE = [
    *({name: 0} for name in POSITIVE),
    *({"num_hidden_layers": -1}, {"pad_token_id": -1}, {"max_position_embeddings": 2}, {"num_attention_heads": 24}),
    {"pad_token_id": 1000, "vocab_size": 500},
    {"hidden_size": 36, "num_attention_heads": 4},  # of 9 for each, which rotary positions do not take
    {"rescaling_factor": 2.0, "num_attention_heads": 32},
]


@pytest.mark.parametrize("fields", IMPOSSIBLE, ids=str)
def test_sizes_of_which_no_model_can_be_built_are_an_error_that_names_them(tmp_path, fields):
    with pytest.raises(ValueError, match=naming(*next(iter(fields.items())))):
        read(tmp_path, **fields)


@pytest.mark.parametrize("fields", [{"attention_temperature": 0.5}, {"use_bias": False}], ids=str)
def test_an_unknown_field_gets_a_warning_that_names_it(tmp_path, caplog, fields):
    read(tmp_path, **fields)
    assert len(caplog.messages) == 1 and next(iter(fields)) in caplog.text


@pytest.mark.parametrize("version", ["5.9.2", "4.57.1", "6.0.0"])
def test_a_transformers_of_another_range_is_one_sentence(monkeypatch, version):
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(__version__=version))
    code = compile((HUB_CODE / "configuration_nucleotide_transformer.py").read_text(), "configuration", "exec")
    with pytest.raises(ImportError, match=f"transformers 5.10 .*{version}"):
        exec(code, {"__name__": "configuration"})
