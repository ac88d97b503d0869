"""Name of a size -> the fields of its configuration."""

# NT-v2: Dalla-Torre et al. 2025, https://doi.org/10.1038/s41592-024-02523-z, and the published config.json files.
# `tiny` and `small` are ours, to train from random weights on two cores, in minutes or half an hour.
PRESETS = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 256},
    "small": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 512},
    "v2-50m": {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 16, "intermediate_size": 2048},
    "v2-100m": {"hidden_size": 512, "num_hidden_layers": 22, "num_attention_heads": 16, "intermediate_size": 2048},
    "v2-250m": {"hidden_size": 768, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 3072},
    "v2-500m": {"hidden_size": 1024, "num_hidden_layers": 29, "num_attention_heads": 16, "intermediate_size": 4096},
}

# How the vectors of k-mers begin with random weights: similar where letters are shared, or transformers' own way.
INITS = ("composed", "plain")
