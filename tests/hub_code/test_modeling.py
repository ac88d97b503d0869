"""NucleotideTransformer models -> compared with a forward pass of our own, and with folders in the published layout.

The reference below is float64 numpy, written from the papers, one sequence at a time and without padding:
ESM-2 (Lin et al. 2023, https://doi.org/10.1126/science.ade2574), rotary positions (arXiv:2104.09864), SwiGLU
(arXiv:2002.05202) and the Nucleotide Transformer (https://doi.org/10.1038/s41592-024-02523-z).
"""

import json
import logging
import math
import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers.utils import logging as transformers_logging

from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForMaskedLM,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
    NucleotideTransformerModel,
)
from tests.messages import naming

PAD, MASK, CLS, N = 1, 2, 3, 4106  # ids of NT-v2; N is 4104 in v1
NUM_LABELS = 5

# As published, in a small size: https://huggingface.co/InstaDeepAI/nucleotide-transformer-v2-50m-multi-species
V2 = {
    "add_bias_fnn": False,
    "architectures": ["EsmForMaskedLM"],
    "attention_probs_dropout_prob": 0.0,
    "auto_map": {
        "AutoConfig": "esm_config.EsmConfig",
        "AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM",
        "AutoModelForSequenceClassification": "modeling_esm.EsmForSequenceClassification",
        "AutoModelForTokenClassification": "modeling_esm.EsmForTokenClassification",
    },
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
def complaints(monkeypatch):
    """What transformers logs at WARNING or above, and Python's warnings; progress bars off, questions are failures."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("transformers")
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("asked on stdin whether to run remote code"))
    transformers_logging.disable_progress_bar()
    logger.addHandler(handler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield records
        records.extend(str(warning.message) for warning in caught)
    logger.removeHandler(handler)
    transformers_logging.enable_progress_bar()


def tiny(cls, kind: str = "v2", seed: int = 0, **kwargs):
    torch.manual_seed(seed)
    config = {key: value for key, value in PUBLISHED[kind].items() if key not in ("model_type", "auto_map")}
    model = cls(NucleotideTransformerConfig(**config, num_labels=NUM_LABELS, **kwargs)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


HEADS = {
    "masked LM": NucleotideTransformerForMaskedLM,
    "sequence classification": NucleotideTransformerForSequenceClassification,
    "token classification": NucleotideTransformerForTokenClassification,
}


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
    torch.manual_seed(0)
    head = model.classifier
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    dense, bias, out, out_bias = (
        t.detach().numpy() for t in (head.dense.weight, head.dense.bias, head.out_proj.weight, head.out_proj.bias)
    )
    sequences = [random_ids(n, seed=n, vocabulary=config["vocab_size"]) for n in LENGTHS]
    with torch.no_grad():
        logits = model(**padded(sequences)).logits.numpy()
    assert logits.shape == (len(LENGTHS), NUM_LABELS)
    for row, ids in enumerate(sequences):
        cls = Reference(config, weights).hidden_states(ids)[-1][0]
        np.testing.assert_allclose(logits[row], np.tanh(cls @ dense.T + bias) @ out.T + out_bias, rtol=0, atol=1e-4)


def loss_of(model, seed: int = 0) -> torch.Tensor:
    inputs = padded([random_ids(n, seed=n, vocabulary=4105) for n in (20, 12)])
    torch.manual_seed(seed)
    if isinstance(model, NucleotideTransformerForSequenceClassification):
        labels = torch.tensor([1, 4])
    elif isinstance(model, NucleotideTransformerForTokenClassification):
        labels = torch.randint(NUM_LABELS, inputs["input_ids"].shape)
    else:
        labels = inputs["input_ids"]
    return model(**inputs, labels=labels).loss


@pytest.mark.parametrize("kind", ["v2", "v1"])
@pytest.mark.parametrize("cls", HEADS.values(), ids=HEADS)
def test_the_loss_reaches_every_parameter(cls, kind):
    model = tiny(cls, kind).train()
    loss_of(model).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    # A key's bias adds the same number to all scores of a query, which softmax ignores, unless it is rotated.
    untouched = [
        name
        for name, parameter in model.named_parameters()
        if not parameter.grad.any() and not (kind == "v1" and name.endswith("key.bias"))
    ]
    assert untouched == []


@pytest.mark.parametrize("file_name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_a_published_folder_loads_without_a_word(tmp_path, complaints, capfd, kind, file_name):
    config = PUBLISHED[kind]
    weights = random_weights(config)
    folder = write_folder(tmp_path / "published", config, weights, file_name)
    capfd.readouterr()
    model, info = NucleotideTransformerForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert complaints == []
    assert capfd.readouterr().err == ""
    assert {name: list(found) for name, found in info.items() if found} == {}
    # Every tensor of the model is the file's.
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name], err_msg=name)
    ids = random_ids(25, seed=2, vocabulary=config["vocab_size"])
    reference = Reference(config, weights)
    with torch.no_grad():
        logits = model.double()(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(logits, reference.masked_lm(reference.hidden_states(ids)[-1]), rtol=0, atol=1e-5)
    assert model.config.model_type == "nucleotide_transformer"


def without(name: str) -> tuple[dict, dict]:
    return V2, {key: tensor for key, tensor in random_weights(V2).items() if key != name}


UNFIT = {
    "embeddings.word_embeddings.weight": without("esm.embeddings.word_embeddings.weight"),
    "encoder.layer.2.attention.self.key.bias": without("esm.encoder.layer.2.attention.self.key.bias"),
    "encoder.emb_layer_norm_after.bias": without("esm.encoder.emb_layer_norm_after.bias"),
    "encoder.layer.2.output.dense.weight is left over": (V2 | {"num_hidden_layers": 2}, random_weights(V2)),
    "encoder.layer.1.intermediate.dense.weight is (48, 32), not (96, 32)": (  # as in native ESM
        V2,
        random_weights(V2) | {"esm.encoder.layer.1.intermediate.dense.weight": np.zeros((48, 32), np.float32)},
    ),
}


@pytest.mark.parametrize("cls", [NucleotideTransformerModel, *HEADS.values()])
@pytest.mark.parametrize("fault", UNFIT)
def test_a_tensor_of_the_encoder_that_does_not_fit_is_an_error_that_names_it(tmp_path, cls, fault):
    folder = write_folder(tmp_path / "broken", *UNFIT[fault])
    with pytest.raises(ValueError, match=naming(fault)) as error:
        cls.from_pretrained(folder, ignore_mismatched_sizes=True)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("cls", [HEADS["sequence classification"], HEADS["token classification"]])
def test_a_missing_task_head_is_created_and_a_warning_names_it(published, complaints, cls):
    _, weights, folder = published
    model, info = cls.from_pretrained(folder, num_labels=NUM_LABELS, output_loading_info=True)
    head = {name for name in model.state_dict() if name.startswith("classifier.")}
    assert head and set(info["missing_keys"]) == head
    assert model.config.num_labels == NUM_LABELS
    report = "\n".join(complaints)
    for name in head:
        # The report folds several tensors of one module: classifier.dense.{weight, bias}.
        assert name.rpartition(".")[0] in report
        assert torch.isfinite(model.state_dict()[name]).all()
    assert all(model.state_dict()[name].any() for name in head if name.endswith("weight"))
    for name, tensor in model.state_dict().items():
        if name not in head:
            np.testing.assert_array_equal(tensor.numpy(), weights[name], err_msg=name)


def test_a_task_head_of_another_size_is_new_if_asked_for_and_else_an_error(tmp_path):
    classifier_folder = tmp_path / "classifier"
    tiny(NucleotideTransformerForSequenceClassification).save_pretrained(classifier_folder)
    with pytest.raises(ValueError, match=naming("classifier.out_proj.weight", "(5, 32)", "(7, 32)")):
        NucleotideTransformerForSequenceClassification.from_pretrained(classifier_folder, num_labels=7)
    model = NucleotideTransformerForSequenceClassification.from_pretrained(
        classifier_folder, num_labels=7, ignore_mismatched_sizes=True
    )
    stored = load_file(classifier_folder / "model.safetensors")
    assert model.classifier.out_proj.weight.shape == (7, 32)
    assert model.classifier.out_proj.weight.any()
    for name, tensor in model.state_dict().items():
        if not name.startswith("classifier.out_proj"):
            np.testing.assert_array_equal(tensor.numpy(), stored[name], err_msg=name)


def test_v1_takes_1000_tokens_and_no_more():
    model = tiny(NucleotideTransformerForMaskedLM, "v1")
    with torch.no_grad():
        assert model(torch.tensor([random_ids(1000, 0, 4105)])).logits.shape == (1, 1000, 4105)
        with pytest.raises(ValueError, match=naming(1001, 1000)):
            model(torch.tensor([random_ids(1001, 0, 4105)]))
        with pytest.raises(ValueError, match=naming(1001, 1000)):
            model(inputs_embeds=torch.zeros(1, 1001, 32))


def test_v2_reads_its_longest_input_as_the_reference_does(tmp_path):
    config = V2 | {"num_hidden_layers": 1}
    weights = random_weights(config)
    model = NucleotideTransformerForMaskedLM.from_pretrained(write_folder(tmp_path / "x", config, weights))
    ids = random_ids(2048, seed=0)
    with torch.no_grad():
        got = model.esm(torch.tensor([ids])).last_hidden_state[0].numpy()
    # Angles reach 2,047 radians, where float32 has steps of 1.2e-4: a feature is off by that at most. Measured: 2e-5.
    np.testing.assert_allclose(got, Reference(config, weights).hidden_states(ids)[-1], rtol=0, atol=1.2e-4)


@pytest.mark.parametrize("layer", range(-4, 4))
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_stopping_early_gives_that_hidden_state_and_runs_no_deeper_layer(kind, layer):
    model = tiny(NucleotideTransformerModel, kind)
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


def test_hidden_states_are_whole_after_a_run_that_stopped_early_recorded_its_own():
    # transformers records hidden states by hooks, put on the layers at the first request: once, or all come twice.
    model = tiny(NucleotideTransformerModel)
    inputs = padded([random_ids(9, seed=0)])
    with torch.no_grad():
        for _ in range(2):
            assert len(model(**inputs, layer=1, output_hidden_states=True).hidden_states) == 2
        states = model(**inputs, output_hidden_states=True).hidden_states
        assert len(states) == 4
        assert torch.equal(states[1], model(**inputs, layer=1).last_hidden_state)


@pytest.mark.parametrize("return_dict", [True, False])
def test_the_embeddings_are_the_only_hidden_state_of_layer_0(return_dict):
    model = tiny(NucleotideTransformerModel)
    inputs = padded([random_ids(9, seed=0)])
    with torch.no_grad():
        expected = model(**inputs, output_hidden_states=True).hidden_states[0]
        outputs = model(**inputs, layer=0, output_hidden_states=True, return_dict=return_dict)
    [states] = outputs.hidden_states if return_dict else outputs[-1]
    assert isinstance(outputs, tuple) != return_dict
    assert torch.equal(states, expected)


@pytest.mark.parametrize("layer", [np.int64(2), np.uint8(2)])
def test_a_layer_may_be_any_integer(layer):
    model = tiny(NucleotideTransformerModel)
    inputs = padded([random_ids(9, seed=0)])
    with torch.no_grad():
        assert torch.equal(model(**inputs, layer=layer)[0], model(**inputs, layer=2)[0])


@pytest.mark.parametrize("layer", [4, -5, 100, True, 1.0, "last", None])
def test_a_layer_that_the_model_lacks_is_an_error(layer):
    with pytest.raises(ValueError, match=naming(layer, 3)):
        tiny(NucleotideTransformerModel)(**padded([[CLS]]), layer=layer)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_input_embeddings_have_the_positions_of_their_tokens(kind, side):
    model = tiny(NucleotideTransformerForMaskedLM, kind)
    inputs = padded([random_ids(n, seed=n, vocabulary=4105) for n in LENGTHS])
    if side == "left":
        inputs = {name: tensor.flip(1) for name, tensor in inputs.items()}
    embeddings, mask = model.get_input_embeddings()(inputs["input_ids"]), inputs["attention_mask"]
    with torch.no_grad():
        expected = model(**inputs).logits[mask.bool()]
        got = model(inputs_embeds=embeddings, attention_mask=mask).logits[mask.bool()]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
        alone = model(inputs_embeds=embeddings[:1, :23] if side == "right" else embeddings[:1, -23:]).logits[0]
    torch.testing.assert_close(alone, expected[:23], rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_tokens", [4120, 4000])
def test_the_vocabulary_can_be_resized(num_tokens):
    model = tiny(NucleotideTransformerForMaskedLM)
    before, ids = model.lm_head.bias.detach().clone(), torch.tensor([[CLS, 7, 8]])
    with torch.no_grad():
        expected = model(ids).logits
        assert model.resize_token_embeddings(num_tokens, mean_resizing=False).num_embeddings == num_tokens
        logits = model(ids).logits
    kept = min(len(before), num_tokens)
    assert logits.shape[-1] == num_tokens
    assert torch.equal(logits[..., :kept], expected[..., :kept])
    assert not model.lm_head.bias[kept:].any() and model.lm_head.bias.requires_grad
    assert model(ids, labels=ids).loss.isfinite()


def test_a_pooling_layer_may_be_declined_and_not_asked_for():
    config = tiny(NucleotideTransformerModel).config
    assert NucleotideTransformerModel(config, add_pooling_layer=False).pooler is None
    with pytest.raises(ValueError, match="add_pooling_layer"):
        NucleotideTransformerModel(config, add_pooling_layer=True)


def exact_frequencies(dim: int) -> torch.Tensor:
    return torch.tensor([10000.0 ** (-2 * i / dim) for i in range(dim // 2)], dtype=torch.float64)


def on_meta(model) -> NucleotideTransformerModel:
    with torch.device("meta"):
        return NucleotideTransformerModel(model.config).eval()


def emptied_and_loaded(model):
    other = on_meta(model).to_empty(device="cpu")
    other.load_state_dict(model.state_dict())
    return other


def assigned(model):
    other = on_meta(model)
    other.load_state_dict(model.state_dict(), assign=True)
    return other


@pytest.mark.parametrize("rebuild", [emptied_and_loaded, assigned, lambda model: model.half().float()])
def test_rotary_positions_survive_the_meta_device_and_half_precision(rebuild):
    model = tiny(NucleotideTransformerModel)
    frequencies = model.rotary_embeddings.frequencies()
    assert frequencies.dtype == torch.float32
    torch.testing.assert_close(frequencies.double(), exact_frequencies(8), rtol=1e-6, atol=0)
    for parameter in model.parameters():
        parameter.data = parameter.half().float()
    inputs = padded([random_ids(n, seed=n) for n in LENGTHS])
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        assert torch.equal(rebuild(model)(**inputs).last_hidden_state, expected)


def test_bfloat16_agrees_with_float32_at_the_end_of_a_long_input(tmp_path):
    folder = write_folder(tmp_path / "x", V2, random_weights(V2))
    ids = torch.tensor([random_ids(2048, seed=4)])
    with torch.no_grad():
        exact = NucleotideTransformerModel.from_pretrained(folder)(ids).last_hidden_state[0]
        for model in (
            NucleotideTransformerModel.from_pretrained(folder, dtype=torch.bfloat16),
            NucleotideTransformerModel.from_pretrained(folder).to(torch.bfloat16),
        ):
            rough = model(ids).last_hidden_state[0].float()
            similarity = torch.nn.functional.cosine_similarity(rough, exact, dim=-1)  # (tokens,)
            # Measured: 0.9997; with the frequencies rounded to bfloat16, 0.9973.
            assert similarity[1024:].min() > 0.999


@pytest.mark.parametrize("cls", [NucleotideTransformerModel, *HEADS.values()])
@pytest.mark.parametrize("kind", ["v2", "v1"])
def test_saving_and_loading_is_bitwise_exact(tmp_path, complaints, cls, kind):
    model = tiny(cls, kind)
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == dict(model.named_parameters()).keys()
    assert not [name for name in stored if "inv_freq" in name or "contact_head" in name or "pooler" in name]
    again, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert complaints == []
    assert not any(info.values())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    inputs = padded([random_ids(n, seed=n, vocabulary=4105) for n in LENGTHS])
    with torch.no_grad():
        assert torch.equal(again(**inputs)[0], model(**inputs)[0])
