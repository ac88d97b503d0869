"""Base model, tuning and lengths -> hyper-parameters: what is not given is chosen, and what is given stays."""

import numpy as np
import pytest

from dnahub.tasks import TASKS
from dnahub.training import trainer
from dnahub.training.arguments import TUNINGS, parse_arguments
from dnahub.training.dataset import load_sequences
from dnahub.training.trainer import are_unequal, build_model, build_trainer, choose_metric
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming


def parse(*flags):
    return parse_arguments("", ["--output_dir", "o", "--use_cpu", "--from_scratch", "tiny", *map(str, flags)])


@pytest.fixture
def built(toy_dataset):
    """A function that makes the arguments of the Trainer for random weights, as far as a model is built."""

    def build(*flags):
        args = parse("--dataset_name", toy_dataset, *flags)
        training = training_arguments(args)
        build_trainer(args.model, args.data, training, load_sequences(args.data, args.model.task), None)
        return training

    return build


def test_every_tuning_has_a_learning_rate_and_wide_models_no_larger_one():
    assert set(trainer.LEARNING_RATES) == {*TUNINGS, "from_scratch"}
    assert all(wide <= small for small, wide in trainer.LEARNING_RATES.values())


def test_what_is_not_given_is_chosen(built, monkeypatch):
    args = built()
    assert (args.learning_rate, args.train_sampling_strategy) == (5e-4, "random")
    assert (args.metric_for_best_model, args.greater_is_better) == ("accuracy", True)

    monkeypatch.setattr(trainer, "SMALL_HIDDEN_SIZE", 1)
    assert built().learning_rate == 1e-4


def test_what_is_given_stays(built):
    args = built("--learning_rate", 7e-6, "--train_sampling_strategy", "group_by_length")
    assert (args.learning_rate, args.train_sampling_strategy) == (7e-6, "group_by_length")


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


@pytest.mark.parametrize(
    ("precision", "gpu", "package", "chosen"),
    [
        ("bf16", True, True, "flash_attention_2"),
        ("bf16", True, False, "sdpa"),
        ("bf16", False, True, "sdpa"),
        ("fp32", True, True, "sdpa"),
    ],
)
def test_flash_attention_needs_its_package_a_gpu_and_16_bit_numbers(
    monkeypatch, toy_dataset, precision, gpu, package, chosen
):
    args = parse("--dataset_name", toy_dataset)
    training, data = training_arguments(args), load_sequences(args.data, "classification")
    training.use_cpu, training.bf16 = False, precision == "bf16"
    asked = []
    monkeypatch.setattr(trainer.torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(trainer, "is_flash_attn_2_available", lambda: package)
    monkeypatch.setattr(trainer.PreTrainedModel, "set_attn_implementation", lambda self, name: asked.append(name))

    build_model(args.model, training, data, None)

    assert asked == [chosen]
