"""The output of a frozen encoder, computed once -> the same as the model gives, and the same training."""

from contextlib import nullcontext

import pytest
import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments

import dnahub.training.trainer
from dnahub.checkpoints.tokenizer import build_tokenizer, nt_vocabulary
from dnahub.hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from dnahub.tasks import TASKS
from dnahub.training.features import features_computed_once, has_fixed_features
from dnahub.training.tuning import freeze
from tests.runs import last_state, weights

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "num_labels": 3}
SEQUENCES = ["ACGTAC" * 9, "ACGT", "TTTTTTGGGGGG", "N", "ACGTAC" * 30]


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


@pytest.fixture
def trainer(tmp_path):
    """A function that makes a trainer of a head for a task."""
    tokenizer = build_tokenizer(nt_vocabulary(), 2048)

    def make(task: str, labels: list) -> Trainer:
        rows = [
            {"input_ids": tokenizer(sequence).input_ids, "label": label}
            for sequence, label in zip(SEQUENCES, labels, strict=True)
        ]
        args = TrainingArguments(
            *(str(tmp_path),),
            **{"use_cpu": True, "remove_unused_columns": False, "report_to": "none", "disable_tqdm": True},
            per_device_eval_batch_size=2,
        )
        return Trainer(
            freeze(model_of(problem_type=TASKS[task].problem_type), 0),
            args,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(rows[:2]),
            data_collator=TASKS[task].collator(tokenizer, seed=0),
        )

    return make


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("classification", [0, 1, 2, 0, 1]),
        (
            "multi_label",
            [[0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0] * 3],
        ),
    ],
)
def test_the_model_gives_the_same_outputs_and_loss_and_is_as_before_afterwards(trainer, task, labels):
    made = trainer(task, labels)
    model, rows, collator = made.model, made.train_dataset, made.data_collator
    names = model.state_dict().keys()
    with torch.no_grad():
        whole = model(**collator(list(rows)))
        with features_computed_once(made):
            assert len(made.train_dataset) == len(SEQUENCES) and len(made.eval_dataset) == 2
            batch = made.data_collator(made.train_dataset)
            assert batch["inputs_embeds"].shape == (5, 1, SIZES["hidden_size"])
            assert batch["labels"].tolist() == labels
            found = model(**batch)
            assert model.state_dict().keys() == names
        again = model(**collator(list(rows)))
    torch.testing.assert_close(found.logits, whole.logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.loss, whole.loss, atol=1e-6, rtol=1e-5)
    assert torch.equal(whole.logits, again.logits)
    assert (made.train_dataset, made.data_collator) == (rows, collator)


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
