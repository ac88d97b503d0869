"""Names of sizes -> the fields of the published configurations."""

import pytest

from dnahub.checkpoints.loading import build_from_scratch
from dnahub.checkpoints.presets import PRESETS
from dnahub.hub_code import NucleotideTransformerConfig

# Dalla-Torre et al. 2025, https://doi.org/10.1038/s41592-024-02523-z, and the published config.json files:
# hidden size, layers, heads, width of the gated feed-forward.
PUBLISHED_SIZES = {
    "v2-50m": (512, 12, 16, 2048),
    "v2-100m": (512, 22, 16, 2048),
    "v2-250m": (768, 24, 16, 3072),
    "v2-500m": (1024, 29, 16, 4096),
}


def test_a_preset_has_the_published_sizes_and_the_default_is_v2_50m():
    assert PRESETS.keys() == {"tiny", *PUBLISHED_SIZES}
    for name, sizes in PUBLISHED_SIZES.items():
        assert tuple(PRESETS[name].values()) == sizes
    assert NucleotideTransformerConfig().to_dict() == NucleotideTransformerConfig(**PRESETS["v2-50m"]).to_dict()


def test_all_presets_are_nt_v2():
    config = NucleotideTransformerConfig(**PRESETS["tiny"])
    assert (config.position_embedding_type, config.max_position_embeddings, config.vocab_size) == (
        "rotary",
        2050,
        4107,
    )
    assert (config.layer_norm_eps, config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (
        1e-12,
        0.0,
        0.0,
    )
    assert not (config.tie_word_embeddings or config.token_dropout or config.emb_layer_norm_before)
    assert config.add_bias_fnn is False
    assert (config.pad_token_id, config.mask_token_id, config.eos_token_id, config.bos_token_id) == (1, 2, None, None)


def test_an_unknown_preset_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'v3-7b'.*tiny, v2-50m, v2-100m, v2-250m, v2-500m"):
        build_from_scratch("v3-7b", "masked_lm", [], 0)
