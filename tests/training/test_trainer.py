"""Base model, tuning and lengths -> hyper-parameters: what is not given is chosen, and what is given stays."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers.models.esm.modeling_esm import EsmSelfAttention

from dnahub.tasks import TASKS
from dnahub.training import trainer
from dnahub.training.arguments import parse_arguments
from dnahub.training.dataset import load_sequences
from dnahub.training.trainer import are_unequal, build_trainer, choose_metric
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming
from tests.runs import same


def parse(*flags):
    return parse_arguments("", ["--output_dir", "o", "--use_cpu", "--from_scratch", "tiny", *map(str, flags)])


@pytest.fixture
def built(toy_dataset):
    """A function that makes the Trainer for random weights."""

    def build(*flags):
        args = parse("--dataset_name", toy_dataset, *flags)
        data = load_sequences(args.data, args.model.task)
        return build_trainer(args.model, args.data, training_arguments(args), data, None)[0]

    return build


def test_checkpointed_gradients_compute_every_layer_twice(built, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    forward, computed = EsmSelfAttention.forward, []

    def counted(self, *inputs, **options):
        computed.append(self)
        return forward(self, *inputs, **options)

    monkeypatch.setattr(EsmSelfAttention, "forward", counted)
    for flags, times in ([], 1), (["--gradient_checkpointing"], 2):
        built("--max_steps", 1, "--save_strategy", "no", *flags).train()
        assert len(computed) == 2 * times  # layers
        computed.clear()


def test_steps_are_those_of_a_plain_loop(built, monkeypatch, tmp_path):
    """Accumulation, smoothing, clipping, decay, schedule and warm-up, each with an effect."""
    monkeypatch.chdir(tmp_path)
    flags = "--max_steps 3 --save_strategy no --per_device_train_batch_size 4 --gradient_accumulation_steps 2"
    flags += " --label_smoothing_factor 0.2 --max_grad_norm 0.1 --weight_decay 0.5 --learning_rate 1e-2"
    trained = built(*flags.split(), "--lr_scheduler_type", "cosine", "--warmup_steps", 1)
    model, batches, collate = copy.deepcopy(trained.model).train(), [], trained.data_collator

    def recorded(rows):
        batches.append(collate(rows))
        return dict(batches[-1])

    trained.data_collator = recorded
    trained.train()

    groups = [[each for each in model.parameters() if (each.ndim > 1) is matrix] for matrix in (True, False)]
    decays = [{"params": group, "weight_decay": decay} for group, decay in zip(groups, (0.5, 0.0), strict=True)]
    optimizer = torch.optim.AdamW(decays)
    for step, rate in enumerate((0, 1e-2, 1e-2 * (1 + math.cos(math.pi / 2)) / 2)):
        for batch in batches[2 * step : 2 * step + 2]:
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            loss = cross_entropy(model(**inputs).logits, batch["labels"], reduction="sum", label_smoothing=0.2)
            (loss / 8).backward()
        assert torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1) > 0.1
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    for name, tensor in trained.model.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], atol=1e-5, rtol=1e-5, msg=name)


def test_processes_that_prepare_batches_change_nothing(built, monkeypatch, tmp_path):
    """Not the masks either, which are others in the second epoch, from step 3 on."""
    monkeypatch.chdir(tmp_path)
    weights = []
    for workers in (0, 1):
        flags = [
            "--task",
            "mlm",
            "--num_train_epochs",
            2,
            "--per_device_train_batch_size",
            48,
            "--save_strategy",
            "no",
        ]
        trained = built(*flags, "--dataloader_num_workers", workers)
        trained.train()
        weights.append(trained.model.state_dict())
    assert same(*weights)


def test_what_is_not_given_is_chosen(built, monkeypatch):
    args = built().args
    assert (args.learning_rate, args.train_sampling_strategy) == (5e-4, "random")
    assert (args.metric_for_best_model, args.greater_is_better) == ("accuracy", True)

    monkeypatch.setattr(trainer, "SMALL_HIDDEN_SIZE", 1)
    assert built().args.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("task", "given", "chosen", "greater"),
    [
        ("classification", [], "accuracy", True),
        ("multi_label", [], "micro_f1", True),
        ("regression", [], "spearman", True),
        ("mlm", [], "loss", False),
        ("classification", ["mcc"], "mcc", True),
        ("classification", ["eval_loss"], "loss", False),
        ("regression", ["rmse"], "rmse", False),  # the Trainer's own guess is that more is better
        ("mlm", ["eval_masked_accuracy"], "masked_accuracy", True),
    ],
)
def test_the_best_checkpoint_is_chosen_by_the_given_or_the_first_metric_of_the_task(task, given, chosen, greater):
    args = training_arguments(parse("--dataset_name", "d", *["--metric_for_best_model"][: len(given)], *given))

    for _ in range(2):  # of several seeds, say
        choose_metric(args, TASKS[task])
        assert (args.metric_for_best_model, args.greater_is_better) == (chosen, greater)


def test_a_metric_that_a_task_does_not_measure_is_refused_with_those_that_it_does():
    args = training_arguments(parse("--dataset_name", "d", "--metric_for_best_model", "accuracy"))
    allowed = ("spearman", "pearson", "r2", "rmse", "mae", "loss")

    with pytest.raises(ValueError, match=naming("--metric_for_best_model accuracy", *allowed)):
        choose_metric(args, TASKS["regression"])


@pytest.mark.parametrize(
    ("lengths", "unequal"),
    [
        ([11] * 100, False),
        ([10] * 50 + [20] * 50, True),
        ([100] * 50 + [125] * 50, False),  # by the factor, and not more
        ([100] * 50 + [126] * 50, True),
        ([100] * 95 + [999] * 5, False),  # a few long ones
    ],
)
def test_batches_are_of_like_length_where_lengths_differ(lengths, unequal):
    assert are_unequal(np.array(lengths)) is unequal
