"""Base model, tuning and lengths -> hyper-parameters: what is not given is chosen, and what is given stays."""

import numpy as np
import pytest
from transformers.models.esm.modeling_esm import EsmSelfAttention

from dnahub.tasks import TASKS
from dnahub.training import trainer
from dnahub.training.arguments import parse_arguments
from dnahub.training.dataset import load_sequences
from dnahub.training.trainer import are_unequal, build_trainer, choose_metric
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming


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
