"""Activations of frozen layers, computed once -> the same as the model gives, and the same training."""

import json

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import Trainer, TrainingArguments

import training.frozen_prefix
from hub_code import (
    NucleotideTransformerConfig,
    NucleotideTransformerForSequenceClassification,
    NucleotideTransformerForTokenClassification,
)
from hub_code.tokenization_nucleotide_transformer import build_tokenizer, nt_vocabulary
from training.collators import LabelCollator
from training.frozen_prefix import activations_reused, num_frozen_layers
from training.tuning import freeze

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "num_labels": 3}
SEQUENCES = ["ACGTAC" * 9, "ACGT", "TTTTTTGGGGGG", "N", "ACGTAC" * 30]


def model_of(**fields):
    torch.manual_seed(0)
    return NucleotideTransformerForSequenceClassification(NucleotideTransformerConfig(**SIZES, **fields)).eval()


@pytest.mark.parametrize("trainable", [0, 1, 2])
def test_all_layers_below_the_first_that_is_trained_count_as_frozen(trainable):
    assert num_frozen_layers(freeze(model_of(), trainable)) == 3 - trainable


def test_nothing_counts_as_frozen_below_something_that_is_trained_or_drops_out():
    assert num_frozen_layers(model_of()) == 0
    model = freeze(model_of(), 1)
    model.esm.embeddings.word_embeddings.weight.requires_grad_(True)
    assert num_frozen_layers(model) == 0
    assert num_frozen_layers(freeze(model_of(hidden_dropout_prob=0.1), 1)) == 0
    assert num_frozen_layers(freeze(model_of(attention_probs_dropout_prob=0.1), 1)) == 0


@pytest.fixture
def trainer(tmp_path):
    """A function that makes a trainer with the last layers of its model trained."""
    tokenizer = build_tokenizer(nt_vocabulary(), 2048)
    rows = [{"input_ids": tokenizer(each).input_ids, "label": i % 3} for i, each in enumerate(SEQUENCES)]

    def make(trainable: int) -> Trainer:
        args = TrainingArguments(
            str(tmp_path), use_cpu=True, remove_unused_columns=False, report_to="none", disable_tqdm=True
        )
        return Trainer(
            freeze(model_of(), trainable),
            args,
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(rows[:2]),
            data_collator=LabelCollator(tokenizer),
        )

    return make


@pytest.mark.parametrize("limit", [0, 2**30])
@pytest.mark.parametrize("trainable", [0, 1, 2])
def test_the_model_gives_the_same_from_activations_in_memory_and_in_a_file(
    tmp_path, monkeypatch, trainer, trainable, limit
):
    monkeypatch.setattr(training.frozen_prefix, "MEMORY_LIMIT_BYTES", limit)
    made = trainer(trainable)
    model, rows, collator = made.model, made.train_dataset, made.data_collator
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        whole = model(**{k: v for k, v in collator(list(rows)).items() if k != "labels"}).logits
        with activations_reused(made, tmp_path):
            assert bool(list(tmp_path.rglob("train"))) is (limit == 0)
            activations = made.train_dataset
            assert len(activations) == len(SEQUENCES) and len(made.eval_dataset) == 2
            batch = made.data_collator([activations[i] for i in range(len(SEQUENCES))])
            assert batch.pop("labels").tolist() == [0, 1, 2, 0, 1]
            assert batch["inputs_embeds"].shape[1] == (31 if trainable else 1)  # the head looks at <cls> alone
            torch.testing.assert_close(model(**batch).logits, whole, atol=1e-6, rtol=1e-5)
        again = model(**{k: v for k, v in collator(list(rows)).items() if k != "labels"}).logits
    assert torch.equal(whole, again)
    assert (made.train_dataset, made.data_collator) == (rows, collator)
    assert model.state_dict().keys() == state.keys()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trainable", [0, 1])
@pytest.mark.parametrize(
    ("problem", "label"),
    [
        ("token_classification", lambda num_tokens, i: [(i + k) % 3 for k in range(num_tokens - 1)]),
        ("multi_label_classification", lambda _, i: [float(i % 2), 1.0, 0.0]),
        ("regression", lambda _, i: [0.5 * i, -1.0, 2.0]),
    ],
)
def test_labels_of_tokens_several_labels_and_numbers_give_the_same_loss_from_activations(
    tmp_path, trainer, problem, label, trainable
):
    made = trainer(trainable)
    torch.manual_seed(0)
    config = NucleotideTransformerConfig(**SIZES)
    if problem == "token_classification":
        made.model = freeze(NucleotideTransformerForTokenClassification(config).eval(), trainable)
    else:
        made.model.config.problem_type = problem
    rows = made.train_dataset.remove_columns("label").to_list()
    rows = Dataset.from_list([row | {"label": label(len(row["input_ids"]), i)} for i, row in enumerate(rows)])
    made.train_dataset = made.eval_dataset = rows
    made.data_collator = LabelCollator(made.data_collator.tokenizer, problem)
    with torch.no_grad():
        whole = made.model(**made.data_collator(list(rows)))
        with activations_reused(made, tmp_path):
            batch = made.data_collator([made.train_dataset[i] for i in range(len(rows))])
            reused = made.model(**batch)
    torch.testing.assert_close(reused.loss, whole.loss, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        reused.logits[batch["attention_mask"].bool()] if problem == "token_classification" else reused.logits,
        whole.logits[batch["attention_mask"].bool()] if problem == "token_classification" else whole.logits,
        atol=1e-6,
        rtol=1e-5,
    )


def test_all_is_as_before_after_an_error_too(tmp_path, trainer):
    made = trainer(1)
    rows = made.train_dataset
    with pytest.raises(KeyboardInterrupt), activations_reused(made, tmp_path):
        raise KeyboardInterrupt
    assert made.train_dataset is rows and len(made.model.esm.encoder.layer) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tuning", [["head"], ["frozen", "--trainable_layers", "1"]])
def test_a_run_learns_the_same_with_and_without(tmp_path, run_train, toy_dataset, mlm_run, tuning):
    curves, weights = [], []
    for reuse in ("true", "false"):
        status, out, err = run_train(
            *("--dataset_name", toy_dataset, "--output_dir", tmp_path / reuse, "--report_to", "none"),
            *("--model_name_or_path", mlm_run / "checkpoint", "--tuning", *tuning, "--reuse_activations", reuse),
            *("--num_train_epochs", 3, "--per_device_train_batch_size", 16, "--logging_steps", 1),
            *("--learning_rate", "5e-3", "--save_total_limit", 9),
        )
        assert status == 0, err
        states = sorted(
            (tmp_path / reuse).glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime
        )
        history = json.loads(states[-1].read_text())["log_history"]
        curves.append([entry[name] for entry in history for name in ("loss", "eval_loss") if name in entry])
        weights.append(load_file(tmp_path / reuse / "checkpoint" / "model.safetensors"))
        assert len(load_file(states[-1].parent / "model.safetensors")) < len(weights[-1]) or reuse == "false"
    assert len(curves[0]) == 18 + 3 and curves[0] == pytest.approx(curves[1], rel=1e-4)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-4, rtol=1e-3)
