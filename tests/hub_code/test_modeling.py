"""NucleotideTransformer models -> compared with a forward pass of our own, and with folders in the published layout.

The reference below is float64 numpy, written from the papers, one sequence at a time and without padding:
ESM-2 (Lin et al. 2023, https://doi.org/10.1126/science.ade2574), rotary positions (arXiv:2104.09864), SwiGLU
(arXiv:2002.05202) and the Nucleotide Transformer (https://doi.org/10.1038/s41592-024-02523-z).
"""

import json
import logging
import math

import numpy as np
import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from safetensors.numpy import load_file, save_file

from dnahub.hub_code import (
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from tests import tiny_models
from tests.messages import naming
from tests.tiny_models import random_model

PAD, MASK, CLS, N = 1, 2, 3, 4106  # ids of NT-v2; N is 4104 in v1
NUM_LABELS = 5

# As published, in a small size: https://huggingface.co/InstaDeepAI/nucleotide-transformer-v2-50m-multi-species
V2 = {
    "add_bias_fnn": False,
    "architectures": ["EsmForMaskedLM"],
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {"AutoConfig": "esm_config.EsmConfig", "AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM"},
    "emb_layer_norm_before": False,
    "esmfold_config": None,
    "hidden_dropout_prob": 0.0,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "is_folding_model": False,
    "layer_norm_eps": 1e-12,
    "mask_token_id": 2,
    "max_position_embeddings": 2050,
    "model_type": "esm",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "pad_token_id": 1,
    "position_embedding_type": "rotary",
    "tie_word_embeddings": False,
    "token_dropout": False,
    "torch_dtype": "float32",
    "transformers_version": "4.32.0.dev0",
    "use_cache": False,
    "vocab_list": None,
    "vocab_size": 4107,
}
# https://huggingface.co/InstaDeepAI/nucleotide-transformer-500m-human-ref, which says nothing of the feed-forward
V1 = {key: value for key, value in V2.items() if key not in ("add_bias_fnn", "auto_map")} | {
    "max_position_embeddings": 1002,
    "position_embedding_type": "absolute",
    "transformers_version": "4.26.0.dev0",
    "vocab_size": 4105,
}
PUBLISHED = {"v2": V2, "v1": V1}


def random_weights(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Float32 tensors under the published names; no bias is 0 and no layer norm is 1."""
    rng = np.random.default_rng(seed)
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    gated = config.get("add_bias_fnn") is False
    weights = {}

    def linear(name: str, rows: int, columns: int, bias: bool = True) -> None:
        weights[f"{name}.weight"] = rng.normal(0, 1.2 / math.sqrt(columns), (rows, columns))
        if bias:
            weights[f"{name}.bias"] = rng.normal(0, 0.3, rows)

    def layer_norm(name: str) -> None:
        weights[f"{name}.weight"] = rng.normal(1, 0.3, hidden)
        weights[f"{name}.bias"] = rng.normal(0, 0.3, hidden)

    weights["esm.embeddings.word_embeddings.weight"] = rng.normal(0, 1, (vocabulary, hidden))
    weights["esm.embeddings.position_embeddings.weight"] = rng.normal(
        0, 1, (config["max_position_embeddings"], hidden)
    )
    if config["emb_layer_norm_before"]:
        layer_norm("esm.embeddings.layer_norm")
    for i in range(layers):
        layer = f"esm.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{name}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        layer_norm(f"{layer}.attention.LayerNorm")
        linear(f"{layer}.intermediate.dense", 2 * inner if gated else inner, hidden, bias=not gated)
        linear(f"{layer}.output.dense", hidden, inner, bias=not gated)
        layer_norm(f"{layer}.LayerNorm")
        if config["position_embedding_type"] == "rotary":
            # Noise: a model that took the frequencies from the file would differ from the reference.
            weights[f"{layer}.attention.self.rotary_embeddings.inv_freq"] = rng.random(hidden // heads // 2)
    layer_norm("esm.encoder.emb_layer_norm_after")
    linear("esm.contact_head.regression", 1, layers * heads)
    linear("lm_head.dense", hidden, hidden)
    layer_norm("lm_head.layer_norm")
    linear("lm_head.decoder", vocabulary, hidden, bias=False)
    weights["lm_head.bias"] = rng.normal(0, 0.3, vocabulary)
    return {name: tensor.astype(np.float32) for name, tensor in weights.items()}


def write_folder(folder, config: dict, weights: dict[str, np.ndarray], file_name: str = "model.safetensors"):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if file_name.endswith(".safetensors"):
        save_file(weights, folder / file_name, metadata={"format": "pt"})
    else:
        # Files of that age also hold the positions' numbers, then a persistent buffer.
        tensors = {name: torch.from_numpy(tensor) for name, tensor in weights.items()}
        tensors["esm.embeddings.position_ids"] = torch.arange(config["max_position_embeddings"])[None]
        torch.save(tensors, folder / file_name)
    return folder


class Reference:
    """The forward pass in float64 numpy, for one sequence of token ids without padding."""

    def __init__(self, config: dict, weights: dict[str, np.ndarray]):
        self.config = config
        self.weights = {name: tensor.astype(np.float64) for name, tensor in weights.items()}

    def linear(self, name, x):
        y = x @ self.weights[f"{name}.weight"].T
        return y + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else y

    def layer_norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    @staticmethod
    def gelu(x):
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def rotate(self, x):
        """Rotary positions: features i and i + d/2 are a pair, turned by position * base^(-2i/d)."""
        tokens, dim = x.shape
        half = dim // 2
        # SegmentNT: https://github.com/instadeepai/nucleotide-transformer, "rescaling_factor".
        base = 10000.0 * self.config.get("rescaling_factor", 1) ** (dim / (dim - 2))
        angle = np.arange(tokens)[:, None] * base ** (-2 * np.arange(half) / dim)  # (tokens, dim / 2)
        first, second = x[:, :half], x[:, half:]
        return np.concatenate(
            [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)], axis=1
        )

    def attention(self, layer, x):
        dim = self.config["hidden_size"] // self.config["num_attention_heads"]
        query, key, value = (self.linear(f"{layer}.attention.self.{n}", x) for n in ("query", "key", "value"))
        heads = []
        for h in range(self.config["num_attention_heads"]):
            columns = slice(h * dim, (h + 1) * dim)
            q, k = query[:, columns] * dim**-0.5, key[:, columns]
            if self.config["position_embedding_type"] == "rotary":
                q, k = self.rotate(q), self.rotate(k)
            scores = q @ k.T  # (tokens, tokens)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(scores / scores.sum(-1, keepdims=True) @ value[:, columns])
        return self.linear(f"{layer}.attention.output.dense", np.concatenate(heads, axis=1))

    def feed_forward(self, layer, x):
        y = self.linear(f"{layer}.intermediate.dense", x)
        if self.config.get("add_bias_fnn") is False:
            gate, value = np.split(y, 2, axis=-1)
            return self.linear(f"{layer}.output.dense", gate / (1 + np.exp(-gate)) * value)
        return self.linear(f"{layer}.output.dense", self.gelu(y))

    def hidden_states(self, ids) -> list[np.ndarray]:
        """The embeddings and every layer's output, each (tokens, hidden); the last after the final layer norm."""
        ids = np.asarray(ids)
        x = self.weights["esm.embeddings.word_embeddings.weight"][ids]
        if self.config["token_dropout"]:
            # ESM-2: mask tokens are zeros, and the rest is scaled to 12 % masked, the share in training (0.15 * 0.8).
            x = x * (ids != MASK)[:, None] * (1 - 0.15 * 0.8) / (1 - np.mean(ids == MASK))
        if self.config["position_embedding_type"] == "absolute":
            x = x + self.weights["esm.embeddings.position_embeddings.weight"][PAD + 1 + np.arange(len(ids))]
        if self.config["emb_layer_norm_before"]:
            x = self.layer_norm("esm.embeddings.layer_norm", x)
        states = [x]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"esm.encoder.layer.{i}"
            x = x + self.attention(layer, self.layer_norm(f"{layer}.attention.LayerNorm", x))
            x = x + self.feed_forward(layer, self.layer_norm(f"{layer}.LayerNorm", x))
            states.append(x)
        states[-1] = self.layer_norm("esm.encoder.emb_layer_norm_after", x)
        return states

    def masked_lm(self, x):
        y = self.layer_norm("lm_head.layer_norm", self.gelu(self.linear("lm_head.dense", x)))
        return y @ self.weights["lm_head.decoder.weight"].T + self.weights["lm_head.bias"]


def random_ids(num_tokens: int, seed: int, vocabulary: int = 4107) -> list[int]:
    """`<cls>` and 6-mers, with runs of N, single letters and mask tokens among them."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(6, 4102, num_tokens)
    ids[rng.random(num_tokens) < 0.15] = MASK
    ids[rng.random(num_tokens) < 0.15] = vocabulary - 1  # N
    ids[-1] = vocabulary - 3  # C, left over at the end
    ids[0] = CLS
    return ids.tolist()


def padded(sequences: list[list[int]]) -> dict[str, torch.Tensor]:
    width = max(map(len, sequences))
    return {
        "input_ids": torch.tensor([s + [PAD] * (width - len(s)) for s in sequences]),
        "attention_mask": torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences]),
    }


@pytest.fixture(params=["v2", "v1"])
def published(request, tmp_path):
    """(config, weights, folder) in the published layout."""
    config = PUBLISHED[request.param]
    weights = random_weights(config)
    return config, weights, write_folder(tmp_path / "published", config, weights)


@pytest.fixture
def complaints(caplog):
    """`caplog` with what transformers logs at WARNING or above."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def tiny(cls=NucleotideTransformerModel, kind: str = "v2"):
    return random_model(cls, num_labels=NUM_LABELS, **(tiny_models.V1 if kind == "v1" else {}))


HEADS = [
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
]
LENGTHS = (23, 2, 41, 40)  # one of `<cls>` and a letter, one without padding, one with a single padding token


def compare_with_reference(model, reference, tolerance: float) -> None:
    sequences = [random_ids(n, seed=n, vocabulary=reference.config["vocab_size"]) for n in LENGTHS]
    with torch.no_grad():
        out = model(**padded(sequences), output_hidden_states=True)
    assert len(out.hidden_states) == reference.config["num_hidden_layers"] + 1
    for row, ids in enumerate(sequences):
        expected = reference.hidden_states(ids)
        for layer, states in enumerate(out.hidden_states):
            got = states[row, : len(ids)].double().numpy()
            np.testing.assert_allclose(got, expected[layer], rtol=0, atol=tolerance, err_msg=f"layer {layer}")
        got = out.logits[row, : len(ids)].double().numpy()
        np.testing.assert_allclose(got, reference.masked_lm(expected[-1]), rtol=0, atol=tolerance, err_msg="logits")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_every_layer_and_the_logits_equal_the_reference_in_float64(published, attention):
    config, weights, folder = published
    model = NucleotideTransformerForMaskedLM.from_pretrained(folder, attn_implementation=attention).double()
    # Not to 1e-12: native ESM turns queries and keys in float32 whatever the model's precision.
    compare_with_reference(model, Reference(config, weights), tolerance=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        V1 | {"token_dropout": True},
        V1 | {"emb_layer_norm_before": True},
        V1 | {"add_bias_fnn": False},
        V2 | {"rescaling_factor": 2.44140625},
        V2 | {"rescaling_factor": 0.5},
    ],
    ids=["token dropout", "layer norm before", "gated without rotary positions", "stretched", "shrunk"],
)
def test_the_switches_of_published_configurations_equal_the_reference(tmp_path, config):
    weights = random_weights(config)
    model = NucleotideTransformerForMaskedLM.from_pretrained(write_folder(tmp_path / "x", config, weights)).double()
    compare_with_reference(model, Reference(config, weights), tolerance=1e-5)


def test_the_classification_head_reads_the_cls_token(published):
    config, weights, folder = published
    model = NucleotideTransformerForSequenceClassification.from_pretrained(folder, num_labels=NUM_LABELS).double()
    for parameter in model.classifier.parameters():
        torch.nn.init.normal_(parameter)
    dense, bias, out, out_bias = (parameter.detach().numpy() for parameter in model.classifier.parameters())
    sequences = [random_ids(n, seed=n, vocabulary=config["vocab_size"]) for n in LENGTHS]
    with torch.no_grad():
        logits = model(**padded(sequences)).logits.numpy()
    cls = np.array([Reference(config, weights).hidden_states(ids)[-1][0] for ids in sequences])
    np.testing.assert_allclose(logits, np.tanh(cls @ dense.T + bias) @ out.T + out_bias, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["v2", "v1"])
@pytest.mark.parametrize("cls", HEADS)
def test_the_loss_reaches_every_parameter(cls, kind):
    model = tiny(cls, kind).train()
    inputs = padded([random_ids(n, seed=n, vocabulary=4105) for n in (20, 12)])
    labels = inputs["input_ids"] % (4105 if cls is NucleotideTransformerForMaskedLM else NUM_LABELS)
    if cls is NucleotideTransformerForSequenceClassification:
        labels = labels[:, 1]
    model(**inputs, labels=labels).loss.backward()
    # A key's bias adds the same number to all scores of a query, which softmax ignores, unless it is rotated.
    expected = {name for name, _ in model.named_parameters() if kind == "v2" or not name.endswith("key.bias")}
    assert {name for name, each in model.named_parameters() if each.grad is not None and each.grad.any()} >= expected
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("file_name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_a_published_folder_loads_without_a_warning(tmp_path, complaints, kind, file_name):
    config = PUBLISHED[kind]
    weights = random_weights(config)
    folder = write_folder(tmp_path / "published", config, weights, file_name)
    model, info = NucleotideTransformerForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert complaints.messages == []
    assert not any(info.values())
    assert model.config.model_type == "nucleotide_transformer"
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name], err_msg=name)


# For each error a change of the configuration.
UNFIT = {
    "encoder.layer.3.output.dense.weight is missing": {"num_hidden_layers": 4},
    "encoder.layer.2.output.dense.weight is left over": {"num_hidden_layers": 2},
    "encoder.layer.1.intermediate.dense.weight is (96, 32), not (48, 32)": {"add_bias_fnn": True},
    "embeddings.word_embeddings.weight is (4107, 32), not (4105, 32)": {"vocab_size": 4105},
}


@pytest.mark.parametrize("cls", [NucleotideTransformerModel, *HEADS])
@pytest.mark.parametrize("fault", UNFIT)
def test_an_encoder_tensor_that_does_not_fit_is_an_error_that_names_it(tmp_path, cls, fault):
    folder = write_folder(tmp_path / "broken", V2 | UNFIT[fault], random_weights(V2))
    with pytest.raises(ValueError, match=naming(fault, folder)):
        cls.from_pretrained(folder, ignore_mismatched_sizes=True)


@pytest.mark.parametrize("cls", HEADS[1:])
def test_a_missing_task_head_is_created_with_a_warning(published, complaints, cls):
    _, weights, folder = published
    model, info = cls.from_pretrained(folder, num_labels=NUM_LABELS, output_loading_info=True)
    head = {name for name in model.state_dict() if name.startswith("classifier.")}
    assert set(info["missing_keys"]) == head
    assert "classifier" in "".join(complaints.messages)
    for name, tensor in model.state_dict().items():
        if name in head:
            assert torch.isfinite(tensor).all() and tensor.any() == name.endswith("weight")
        else:
            np.testing.assert_array_equal(tensor.numpy(), weights[name], err_msg=name)


def test_a_task_head_of_another_size_is_replaced_only_on_request(tmp_path):
    cls = NucleotideTransformerForSequenceClassification
    stored = tiny(cls)
    stored.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=naming("classifier.out_proj.weight", "(5, 32)", "(7, 32)")):
        cls.from_pretrained(tmp_path, num_labels=7)
    model = cls.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True)
    assert model.classifier.out_proj.weight.shape == (7, 32)
    assert model.classifier.out_proj.weight.any()
    assert torch.equal(model.classifier.dense.weight, stored.classifier.dense.weight)


def test_v1_takes_1000_tokens_and_no_more():
    model = tiny(NucleotideTransformerForMaskedLM, "v1")
    with torch.no_grad():
        assert model(torch.tensor([random_ids(1000, 0, 4105)])).logits.shape == (1, 1000, 4105)
        for given in ({"input_ids": torch.zeros(1, 1001, dtype=int)}, {"inputs_embeds": torch.zeros(1, 1001, 32)}):
            with pytest.raises(ValueError, match=naming(1001, 1000)):
                model(**given)


def test_the_longest_input_of_v2_equals_the_reference(tmp_path):
    config = V2 | {"num_hidden_layers": 1}
    weights = random_weights(config)
    model = NucleotideTransformerModel.from_pretrained(write_folder(tmp_path / "x", config, weights))
    ids = random_ids(2048, seed=0)
    with torch.no_grad():
        got = model(torch.tensor([ids])).last_hidden_state[0].numpy()
    # Angles reach 2,047 radians, where float32 has steps of 1.2e-4: the largest possible error. Measured: 2e-5.
    np.testing.assert_allclose(got, Reference(config, weights).hidden_states(ids)[-1], rtol=0, atol=1.2e-4)


@pytest.mark.parametrize("layer", [*range(-4, 4), np.uint8(2)])
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_stopping_early_gives_that_hidden_state_and_runs_no_deeper_layer(kind, layer):
    model = tiny(kind=kind)
    inputs = padded([random_ids(n, seed=n, vocabulary=4105) for n in LENGTHS])
    with torch.no_grad():
        expected = model(**inputs, output_hidden_states=True).hidden_states[layer]
    runs = []
    for i, module in enumerate(model.encoder.layer, start=1):
        module.register_forward_hook(lambda *_, i=i: runs.append(i))
    with torch.no_grad():
        got = model(**inputs, layer=layer).last_hidden_state
    assert torch.equal(got, expected)
    assert runs == list(range(1, layer % 4 + 1))


def test_hidden_states_are_complete_before_and_after_a_run_that_stopped_early():
    # transformers records hidden states by hooks that it adds to the layers at the first request.
    model, inputs = tiny(), padded([random_ids(9, seed=0)])
    with torch.no_grad():
        early = [model(**inputs, layer=i, output_hidden_states=True).hidden_states for i in (1, 1, 0)]
        states = model(**inputs, output_hidden_states=True).hidden_states
        as_tuple = model(**inputs, layer=0, output_hidden_states=True, return_dict=False)
    assert [len(each) for each in (*early, states)] == [2, 2, 1, 4]
    assert torch.equal(early[0][1], states[1])
    assert torch.equal(early[2][0], states[0])
    assert type(as_tuple) is tuple and torch.equal(as_tuple[-1][0], states[0])


@pytest.mark.parametrize("layer", [4, -5, True, 1.0, "last", None])
def test_a_layer_that_does_not_exist_is_an_error(layer):
    with pytest.raises(ValueError, match=naming(layer, 3)):
        tiny()(**padded([[CLS]]), layer=layer)


@pytest.mark.parametrize("fields", [{}, tiny_models.V1, tiny_models.V1 | {"token_dropout": True}], ids=str)
@pytest.mark.parametrize("side", ["right", "left"])
def test_input_embeddings_have_the_positions_of_their_tokens(fields, side):
    model = random_model(NucleotideTransformerForMaskedLM, **fields)
    inputs = padded([[CLS, *range(6, n)] for n in LENGTHS])
    if side == "left":
        inputs = {name: tensor.flip(1) for name, tensor in inputs.items()}
    embeddings, mask = model.get_input_embeddings()(inputs["input_ids"]), inputs["attention_mask"]
    with torch.no_grad():
        expected = model(**inputs).logits[mask.bool()]
        for dtype in (torch.long, torch.float, torch.bool):
            got = model(inputs_embeds=embeddings, attention_mask=mask.to(dtype)).logits[mask.bool()]
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
        length = int(mask[0].sum())
        first = embeddings[:1, :length] if side == "right" else embeddings[:1, -length:]
        alone = model(inputs_embeds=first).logits[0]
    torch.testing.assert_close(alone, expected[:length], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_learned_prompts_leave_the_order_of_tokens_visible(kind):
    config = PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)
    model = get_peft_model(tiny(NucleotideTransformerForSequenceClassification, kind), config).eval()
    forward, backward = torch.tensor([[CLS, *range(6, 30)]]), torch.tensor([[CLS, *range(29, 5, -1)]])
    with torch.no_grad():
        assert (model(forward).logits - model(backward).logits).abs().max() > 1e-3


@pytest.mark.parametrize("num_tokens", [4120, 4000])
def test_the_vocabulary_can_be_resized(num_tokens):
    model = tiny(NucleotideTransformerForMaskedLM)
    ids = torch.tensor([[CLS, 7, 8]])
    with torch.no_grad():
        expected = model(ids).logits
        assert model.resize_token_embeddings(num_tokens, mean_resizing=False).num_embeddings == num_tokens
        logits = model(ids).logits
    kept = min(4107, num_tokens)
    assert logits.shape[-1] == num_tokens
    assert torch.equal(logits[..., :kept], expected[..., :kept])
    assert not model.lm_head.bias[kept:].any() and model.lm_head.bias.requires_grad


def test_a_pooling_layer_is_refused():
    config = tiny().config
    assert NucleotideTransformerModel(config, add_pooling_layer=False).pooler is None
    with pytest.raises(ValueError, match="add_pooling_layer"):
        NucleotideTransformerModel(config, add_pooling_layer=True)


def test_rotary_positions_survive_half_precision_and_the_meta_device():
    model = tiny().half().float()
    exact = torch.tensor([10000.0 ** (-2 * i / 8) for i in range(4)], dtype=torch.float64)
    torch.testing.assert_close(model.rotary_embeddings.frequencies().double(), exact, rtol=1e-6, atol=0)
    with torch.device("meta"):
        other = NucleotideTransformerModel(model.config).eval()
    other.load_state_dict(model.state_dict(), assign=True)
    inputs = padded([random_ids(n, seed=n) for n in LENGTHS])
    with torch.no_grad():
        assert torch.equal(other(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


def test_bfloat16_agrees_with_float32_at_the_end_of_a_long_input(tmp_path):
    folder = write_folder(tmp_path / "x", V2, random_weights(V2))
    exact = NucleotideTransformerModel.from_pretrained(folder)
    ids = torch.tensor([random_ids(2048, seed=4)])
    with torch.no_grad():
        expected = exact(ids).last_hidden_state[0]
        for model in (NucleotideTransformerModel.from_pretrained(folder, dtype=torch.bfloat16), exact.bfloat16()):
            rough = model(ids).last_hidden_state[0].float()
            similarity = torch.nn.functional.cosine_similarity(rough, expected, dim=-1)  # (tokens,)
            # Measured: 0.9997; with the frequencies rounded to bfloat16, 0.9973.
            assert similarity[1024:].min() > 0.999


@pytest.mark.parametrize("cls", [NucleotideTransformerModel, *HEADS])
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_saving_and_loading_is_bitwise_exact(tmp_path, complaints, cls, kind):
    model = tiny(cls, kind)
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == dict(model.named_parameters()).keys()
    again, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert complaints.messages == []
    assert not any(info.values())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
