"""NucleotideTransformerConfig -> compared with the published sizes and with the code that it points to."""

import ast
import json
from pathlib import Path

import pytest

from dnahub.hub_code import NucleotideTransformerConfig, NucleotideTransformerForSequenceClassification
from dnahub.hub_code.configuration_nucleotide_transformer import AUTO_MAP, CUSTOM_PIPELINES, PRESETS

HUB_CODE = Path(__file__).parents[2] / "dnahub" / "hub_code"

# Dalla-Torre et al. 2025, https://doi.org/10.1038/s41592-024-02523-z, and the published config.json files:
# hidden size, layers, heads, width of the gated feed-forward.
PUBLISHED_SIZES = {
    "v2-50m": (512, 12, 16, 2048),
    "v2-100m": (512, 22, 16, 2048),
    "v2-250m": (768, 24, 16, 3072),
    "v2-500m": (1024, 29, 16, 4096),
}


@pytest.mark.parametrize("name", PUBLISHED_SIZES)
def test_a_preset_has_the_published_sizes(name):
    config = NucleotideTransformerConfig.from_preset(name)
    sizes = config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size
    assert sizes == PUBLISHED_SIZES[name]


@pytest.mark.parametrize("name", ["tiny", *PUBLISHED_SIZES])
def test_what_all_presets_share(name):
    config = NucleotideTransformerConfig.from_preset(name)
    assert config.position_embedding_type == "rotary"
    assert config.max_position_embeddings == 2050
    assert config.vocab_size == 4107
    assert config.layer_norm_eps == 1e-12
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.0
    assert config.tie_word_embeddings is False
    assert config.token_dropout is False
    assert config.emb_layer_norm_before is False
    assert config.add_bias_fnn is False
    assert (config.pad_token_id, config.mask_token_id) == (1, 2)
    assert config.eos_token_id is None and config.bos_token_id is None


def test_there_are_no_other_presets_and_the_default_is_v2_50m():
    assert PRESETS.keys() == {"tiny", *PUBLISHED_SIZES}
    assert NucleotideTransformerConfig().to_dict() == NucleotideTransformerConfig.from_preset("v2-50m").to_dict()


def test_an_unknown_preset_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'v3-7b'.*tiny, v2-50m, v2-100m, v2-250m, v2-500m"):
        NucleotideTransformerConfig.from_preset("v3-7b")


def test_fields_are_set_on_top_of_a_preset():
    config = NucleotideTransformerConfig.from_preset("tiny", num_labels=6, intermediate_size=64)
    assert config.num_labels == 6
    assert len(config.id2label) == 6
    assert config.intermediate_size == 64
    assert PRESETS["tiny"]["intermediate_size"] != 64


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


def test_the_pointers_of_one_config_are_not_those_of_another():
    config = NucleotideTransformerConfig()
    config.custom_pipelines["dna-embedding"]["impl"] = "elsewhere.Pipeline"
    config.auto_map["AutoModel"] = "elsewhere.Model"
    assert NucleotideTransformerConfig().custom_pipelines["dna-embedding"]["impl"] != "elsewhere.Pipeline"
    assert NucleotideTransformerConfig().auto_map["AutoModel"] != "elsewhere.Model"


@pytest.mark.parametrize("model_type", ["esm", "nucleotide_transformer"])
def test_a_folder_that_points_to_other_code_is_read_as_ours(tmp_path, model_type):
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"model_type": model_type, "auto_map": {"AutoConfig": "esm_config.EsmConfig"}, "vocab_list": None}
            | {"hidden_size": 64, "add_bias_fnn": False, "num_attention_heads": 4}
        )
    )
    config = NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert type(config) is NucleotideTransformerConfig
    assert config.model_type == "nucleotide_transformer"
    assert config.auto_map == AUTO_MAP
    assert config.hidden_size == 64


def test_a_folder_may_point_to_a_tokenizer_of_its_own(tmp_path):
    # A list under `auto_map`, which the type of our field would refuse.
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "esm", "auto_map": {"AutoTokenizer": ["tokenization.Tokenizer", None]}})
    )
    assert NucleotideTransformerConfig.from_pretrained(tmp_path).auto_map == AUTO_MAP


def test_every_class_that_the_config_names_is_in_the_file_named():
    named = list(AUTO_MAP.values()) + [entry["impl"] for entry in CUSTOM_PIPELINES.values()]
    assert len(named) == len(set(named)) == 7
    for reference in named:
        module, _, name = reference.rpartition(".")
        tree = ast.parse((HUB_CODE / f"{module}.py").read_text())
        assert name in [node.name for node in tree.body if isinstance(node, ast.ClassDef)], reference


def test_a_saved_model_names_every_head_and_both_pipelines(tmp_path):
    config = NucleotideTransformerConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    NucleotideTransformerForSequenceClassification(config).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "nucleotide_transformer"
    assert written["auto_map"] == AUTO_MAP
    assert written["custom_pipelines"] == CUSTOM_PIPELINES
    assert AUTO_MAP.keys() == {
        "AutoConfig",
        "AutoModel",
        "AutoModelForMaskedLM",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
    }
    assert CUSTOM_PIPELINES.keys() == {"dna-embedding", "dna-classification"}
    assert written["architectures"] == ["NucleotideTransformerForSequenceClassification"]


def test_what_is_saved_is_read_back(tmp_path):
    config = NucleotideTransformerConfig.from_preset(
        "tiny", num_labels=2, id2label={0: "promoter", 1: "other"}, label2id={"promoter": 0, "other": 1}
    )
    config.save_pretrained(tmp_path)
    again = NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert again.id2label == {0: "promoter", 1: "other"}
    assert (again.hidden_size, again.num_hidden_layers, again.eos_token_id) == (
        config.hidden_size,
        config.num_hidden_layers,
        None,
    )


@pytest.mark.parametrize("model_type", ["bert", "llama", None])
def test_the_config_of_another_kind_of_model_is_an_error(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type} if model_type else {"x": 1}))
    with pytest.raises(ValueError, match=repr(model_type)) as error:
        NucleotideTransformerConfig.from_pretrained(tmp_path)
    assert str(tmp_path) in str(error.value)
