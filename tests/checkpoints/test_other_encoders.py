"""Encoders of transformers' own, with their tokenizers -> loaded, trained, tuned and saved by the same functions."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    FunnelConfig,
    FunnelForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from dnahub.checkpoints.loading import find_checkpoint, load_for_task, load_saved, max_tokens
from dnahub.checkpoints.saving import save_checkpoint
from dnahub.tasks import TASKS
from dnahub.tasks.task import Labels
from dnahub.training.tuning import add_ia3, add_lora, count_parameters, freeze
from tests.messages import naming

KMERS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
PAD, UNK, CLS, SEP, MASK = range(5)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *KMERS]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
IDS = {"vocab_size": len(VOCABULARY), "pad_token_id": PAD, "max_position_embeddings": 64}
ENDS = {"cls_token_id": CLS, "bos_token_id": CLS, "sep_token_id": SEP, "eos_token_id": SEP}
MODELS = {
    "modernbert": lambda: ModernBertForMaskedLM(ModernBertConfig(**SIZES, **IDS, **ENDS)),
    "bert": lambda: BertForMaskedLM(BertConfig(**SIZES, **IDS, hidden_dropout_prob=0)),
}
LABELS = ["a", "b", "c"]
# Of each task: names of labels, outputs, labels of two rows (of three 3-mers and of two), Auto class.
TAUGHT = {
    "classification": (LABELS, 3, [2, 0], AutoModelForSequenceClassification),
    "multi_label": (LABELS, 3, [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], AutoModelForSequenceClassification),
    "regression": ([], 2, [[0.5, -1.0], [2.0, 0.0]], AutoModelForSequenceClassification),
    "token_classification": (LABELS, 3, [[0, 2, 1], [1, 1]], AutoModelForTokenClassification),
    "mlm": ([], 0, [None, None], AutoModelForMaskedLM),
}
FILES = ["README.md", "config.json", "metrics.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
SEQUENCES = ["ACGTACNNN", "TTTAAA"]
MASKING_SEED = 14  # masks one of the 3-mers of each of SEQUENCES


def tokenizer_of_3_mers(**special) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Split(Regex(".{1,3}"), "isolated")
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]", "cls_token": "[CLS]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **(names | {"sep_token": "[SEP]"} | special))


def write(folder, model, tokenizer=None):
    model.save_pretrained(folder)
    (tokenizer or tokenizer_of_3_mers()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory):
    """A masked language model of another family, as its makers would publish it."""
    torch.manual_seed(0)
    return write(tmp_path_factory.mktemp(request.param) / request.param, MODELS[request.param]())


def load(folder, task="classification"):
    torch.manual_seed(1)
    head_fields = TASKS[task].head_fields(Labels(*TAUGHT[task][:2]))
    return load_for_task(TASKS[task].head, find_checkpoint(str(folder)), head_fields)


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("task", TAUGHT)
def test_it_loads_for_every_problem_trains_a_step_and_is_saved_for_the_auto_classes(tmp_path, folder, task):
    names, num_outputs, labels, auto_class = TAUGHT[task]
    published = load_file(folder / "model.safetensors")

    model, tokenizer = load(folder, task)

    assert type(model) is type(auto_class.from_pretrained(folder)) and not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    encoder = {name for name in published if name.startswith(f"{model.base_model_prefix}.")}
    assert len(encoder) > 10 and all(torch.equal(model.state_dict()[name], published[name]) for name in encoder)
    if task != "mlm":
        assert model.classifier.weight.shape == (num_outputs, SIZES["hidden_size"])
        assert list(model.config.id2label.values()) == (names or ["LABEL_0", "LABEL_1"])
        assert model.config.problem_type == TASKS[task].problem_type

    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = [
        {"input_ids": tokenizer(sequence).input_ids} | ({} if label is None else {"label": label})
        for sequence, label in zip(SEQUENCES, labels, strict=True)
    ]
    loss = model(**TASKS[task].collator(tokenizer, seed=MASKING_SEED)(rows)).loss
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert loss > 0 and any(not torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

    save_checkpoint(tmp_path / "checkpoint", model, tokenizer, {"a": 1}, "the card")

    assert {path.name for path in (tmp_path / "checkpoint").rglob("*")} == set(FILES)
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    assert not config.keys() & {"auto_map", "custom_pipelines"}
    again = auto_class.from_pretrained(tmp_path / "checkpoint")
    batch = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")(SEQUENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model.eval()(**batch).logits)


@pytest.mark.parametrize("task", ["classification", "token_classification", "mlm"])
def test_lora_trains_its_targets_and_a_new_head_and_is_saved_merged(tmp_path, folder, task):
    model, tokenizer = load(folder, task)
    hidden, inner, rank, layers = SIZES["hidden_size"], SIZES["intermediate_size"], 4, SIZES["num_hidden_layers"]
    # BERT: queries and values; ModernBERT, which has none of that name: Wqkv, Wo, Wi (two halves) and Wo.
    shapes = [(hidden, hidden)] * 2
    if not type(model).__name__.startswith("Bert"):
        shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, 2 * inner), (inner, hidden)]
    head = {
        name for name in trained(model) if not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name
    }
    size = sum(model.get_parameter(name).numel() for name in head) if task != "mlm" else 0
    batch = tokenizer(SEQUENCES, padding=True, return_tensors="pt")

    tuned = add_lora(model, r=rank).eval()

    assert count_parameters(tuned)[0] == layers * rank * sum(map(sum, shapes)) + size
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        expected = tuned(**batch).logits
    save_checkpoint(tmp_path / "checkpoint", tuned, tokenizer, {}, "")
    adapter = {"adapter", "adapter_config.json", "adapter_model.safetensors"}
    assert {path.name for path in (tmp_path / "checkpoint").rglob("*")} == {*FILES, *adapter}
    merged = TAUGHT[task][3].from_pretrained(tmp_path / "checkpoint")
    with torch.no_grad():
        torch.testing.assert_close(merged(**batch).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (MODELS["modernbert"], 64),
        (MODELS["bert"], 64),
        (lambda: RobertaForMaskedLM(RobertaConfig(**SIZES, **(IDS | {"pad_token_id": 4}))), 59),
        (lambda: DistilBertForMaskedLM(DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=48, **IDS)), 64),
    ],
    ids=["modernbert", "bert", "roberta", "distilbert"],
)
def test_max_tokens_is_the_longest_input_that_the_model_takes(make, expected):
    model = make().eval()
    assert max_tokens(model) == expected
    with torch.no_grad():
        model(torch.full((1, expected), 7))
        if "Modern" not in type(model).__name__:  # which goes on
            with pytest.raises((IndexError, RuntimeError)):
                model(torch.full((1, expected + 1), 7))


def test_a_configuration_without_a_number_of_positions_is_named():
    model = FunnelForMaskedLM(FunnelConfig(block_sizes=[1], d_model=16, n_head=2, d_head=8, d_inner=16, vocab_size=69))
    with pytest.raises(ValueError, match=naming("funnel", "max_position_embeddings")):
        max_tokens(model)


def test_code_that_a_tokenizer_brings_along_is_not_run(tmp_path):
    files = write(tmp_path, MODELS["bert"]())
    settings = json.loads((files / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (files / "tokenizer_config.json").write_text(json.dumps(settings))
    (files / "tokenizer.json").unlink()
    (files / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ValueError, match=naming(files, "tokenizer.json")):
        load(files)
    assert not (tmp_path / "ran").exists()


def test_frozen_trains_the_last_layer_what_comes_after_it_and_the_head(folder):
    model, _ = load(folder)
    is_bert = type(model).__name__.startswith("Bert")
    head = {"bert.pooler.", "classifier."} if is_bert else {"head.", "classifier."}
    last = {"bert.encoder.layer.1."} if is_bert else {"model.layers.1.", "model.final_norm."}
    for layers, wanted in ((1, head | last), (0, head)):
        freeze(model, layers)
        assert trained(model) == {name for name, _ in model.named_parameters() if name.startswith(tuple(wanted))}
        assert all(any(name.startswith(each) for name in trained(model)) for each in wanted)
    with pytest.raises(ValueError, match="--tuning ia3"):
        add_ia3(load(folder)[0])


@pytest.mark.parametrize(
    ("config", "task", "facts"),
    [
        ({"model_type": "hyena_dna"}, "mlm", ["hyena_dna"]),
        ({"model_type": "bert", "auto_map": {"AutoModel": "m.M"}}, "classification", ["auto_map", "bert"]),
        ({"model_type": "bart"}, "classification", ["bart", "encoder"]),
        ({"model_type": "perceiver"}, "token_classification", ["perceiver", "token head"]),
        ({"model_type": "perceiver"}, "mlm", ["tokenizer.json"]),
    ],
)
def test_what_is_not_an_encoder_of_transformers_with_that_head_and_a_fast_tokenizer_is_refused(
    tmp_path, config, task, facts
):
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({}, tmp_path / "model.safetensors")

    with pytest.raises(ValueError, match=naming(tmp_path, *facts)):
        load(tmp_path, task)


def test_weights_that_are_missing_or_of_another_shape_are_named(tmp_path, folder):
    files = write(tmp_path / "incomplete", load(folder)[0])
    weights = load_file(files / "model.safetensors")
    name = next(name for name in sorted(weights) if "layer" in name)
    without = {key: value for key, value in weights.items() if key != name}
    for spoilt in (without, weights | {name: torch.zeros(7)}):
        save_file(spoilt, files / "model.safetensors", {"format": "pt"})
        for read in (load, lambda folder: load_saved(folder, "sequence")):
            with pytest.raises(ValueError, match=naming(files, 1, name)):
                read(files)


def of_words() -> PreTrainedTokenizerFast:
    """As DNABERT's, which wants "ACG CGT"."""
    tokenizer = tokenizer_of_3_mers()
    tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "facts"),
    [
        (lambda: tokenizer_of_3_mers(pad_token=None), ["pad_token"]),
        (lambda: tokenizer_of_3_mers(extra_special_tokens=["[X]"]), ["config.json", 70, 69]),
        (of_words, ["tokenizer", "DNA"]),
        (None, ["tokenizer", "DNA"]),  # transformers then creates one that knows nothing
    ],
    ids=["no padding", "too large", "words", "no files"],
)
def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path, tokenizer, facts):
    files = write(tmp_path, MODELS["bert"](), tokenizer and tokenizer())
    for path in files.glob("tokenizer*") if tokenizer is None else []:
        path.unlink()
    with pytest.raises(ValueError, match=naming(files, *facts)):
        load(files)
