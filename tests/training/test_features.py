"""The output of a frozen encoder, computed once -> the same as the model gives, and the same training."""

from contextlib import nullcontext

import pytest
import torch

import dnahub.training.trainer
from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from dnahub.training.features import has_fixed_features
from dnahub.training.tuning import freeze
from tests.runs import last_state, weights

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "num_labels": 3}


def model_of(**fields):
    torch.manual_seed(0)
    return NucleotideTransformerForSequenceClassification(NucleotideTransformerConfig(**SIZES, **fields)).eval()


def test_features_are_fixed_where_nothing_of_the_encoder_is_trained_or_drops_out():
    assert has_fixed_features(freeze(model_of(), 0))
    assert not has_fixed_features(freeze(model_of(), 1))
    assert not has_fixed_features(model_of())
    assert not has_fixed_features(freeze(model_of(hidden_dropout_prob=0.1), 0))
    assert not has_fixed_features(freeze(model_of(attention_probs_dropout_prob=0.1), 0))
    of_tokens = NucleotideTransformerForTokenClassification(NucleotideTransformerConfig(**SIZES))
    assert not has_fixed_features(freeze(of_tokens, 0))  # its head sees every token


def test_a_run_learns_the_same_with_and_without(tmp_path, run_train, toy_dataset, mlm_run, monkeypatch):
    curves = {}
    for run in ("with", "without"):
        if run == "without":
            monkeypatch.setattr(dnahub.training.trainer, "features_computed_once", lambda _: nullcontext())
        status, out, err = run_train(
            *("--dataset_name", toy_dataset, "--output_dir", tmp_path / run, "--report_to", "none"),
            *("--model_name_or_path", mlm_run / "checkpoint", "--tuning", "head", "--logging_steps", 1),
            *("--num_train_epochs", 3, "--per_device_train_batch_size", 16, "--learning_rate", "5e-3"),
        )
        assert status == 0, err
        history = last_state(tmp_path / run)["log_history"]
        curves[run] = [entry[name] for entry in history for name in ("loss", "eval_loss") if name in entry]

    assert len(curves["with"]) == 18 + 3 and curves["with"] == pytest.approx(curves["without"], rel=1e-4)
    with_it, without = (weights(tmp_path / run / "checkpoint") for run in ("with", "without"))
    for name, tensor in with_it.items():
        torch.testing.assert_close(tensor, without[name], atol=1e-4, rtol=1e-3)
