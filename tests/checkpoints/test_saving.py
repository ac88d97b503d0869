"""Model, tokenizer, metrics, card -> checkpoint folder: what is in it, what is not, and what a failure leaves."""

import copy
import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, pipeline

import dnahub.checkpoints.saving
from dnahub.checkpoints.loading import find_checkpoint, load_checkpoint
from dnahub.checkpoints.saving import save_checkpoint
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from dnahub.training.tuning import add_lora

FILES = {
    *("README.md", "config.json", "metrics.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("configuration_nucleotide_transformer.py", "modeling_nucleotide_transformer.py"),
    *("pipeline_dna_classification.py", "pipeline_dna_embedding.py", "handler.py"),
}
ADAPTER_FILES = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(nt_vocabulary(), 2048)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, num_labels=3
    )
    return NucleotideTransformerForSequenceClassification(config).eval()


def files_in(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_these_files_and_no_others(tmp_path, model, tokenizer):
    folder = tmp_path / "new" / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "left.txt").write_text("of an older checkpoint")
    save_checkpoint(folder, model, tokenizer, {"a": [1, None]}, "the card é")

    assert files_in(tmp_path / "new") == {f"checkpoint/{name}" for name in FILES}
    assert (folder / "README.md").read_text(encoding="utf-8") == "the card é"
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # safetensors writes 0600
    assert json.loads((folder / "metrics.json").read_text()) == {"a": [1, None]}


def test_a_pipeline_from_a_model_object_labels_all_tokens_or_none(tmp_path, tokenizer):
    config = NucleotideTransformerConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=22
    )
    model = NucleotideTransformerForTokenClassification(config).eval()
    save_checkpoint(tmp_path / "tokens", model, tokenizer, {}, "")
    saved = AutoTokenizer.from_pretrained(tmp_path / "tokens")
    assert (tokenizer.model_max_length, saved.model_max_length) == (2048, 21)
    of_tokens = pipeline("token-classification", model=model, tokenizer=saved, device="cpu", ignore_labels=[])
    assert type(of_tokens).__name__ == "TokenClassificationPipeline"  # transformers' own
    assert len(of_tokens("ACGTAC" * 19)) == 19
    for arguments in ({}, {"stride": 5, "aggregation_strategy": "simple"}):
        with pytest.raises(ValueError, match="20 tokens.*name of the checkpoint"):
            of_tokens("ACGTAC" * 20, **arguments)
    padded = saved(["ACGTAC"], padding="max_length", return_tensors="pt")
    assert model(**padded).logits.shape == (1, 21, 2)  # of these, only two are tokens
    cut = saved("ACGTAC" * 30, truncation=True, return_tensors="pt")
    assert model(**cut, labels=cut["input_ids"] % 2).loss is not None  # as in training and its evaluation


def test_lora_weights_are_merged_at_the_root_and_the_adapter_works_on_the_base_model(tmp_path, model, tokenizer):
    batch = tokenizer(["ACGTAC" * 9, "ACGTNN", "TTTTTTTA"], padding=True, return_tensors="pt")
    base = copy.deepcopy(model)
    tuned = add_lora(model, r=4, alpha=32).eval()
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        expected = tuned(**batch).logits
        assert (expected - base(**batch).logits).abs().max() > 1e-2  # else the comparison below would say little

    save_checkpoint(tmp_path / "checkpoint", tuned, tokenizer, {}, "")

    assert files_in(tmp_path / "checkpoint") == FILES | ADAPTER_FILES
    merged, _ = load_checkpoint(
        NucleotideTransformerForSequenceClassification, find_checkpoint(str(tmp_path / "checkpoint"))
    )
    adapted = PeftModel.from_pretrained(base, tmp_path / "checkpoint" / "adapter").eval()
    with torch.no_grad():
        assert (merged(**batch).logits - expected).abs().max() <= 1e-6
        assert (adapted(**batch).logits - expected).abs().max() <= 1e-6


def test_a_failure_in_the_middle_leaves_the_old_checkpoint_as_it_was_and_nothing_beside_it(
    tmp_path, model, tokenizer, monkeypatch
):
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, model, tokenizer, {"run": 1}, "old")
    before = {name: (folder / name).read_bytes() for name in files_in(folder)}

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(dnahub.checkpoints.saving.json, "dumps", fail)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(folder, model, tokenizer, {"run": 2}, "new")

    assert {name: (folder / name).read_bytes() for name in files_in(folder)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
