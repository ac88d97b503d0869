"""Base model, tuning and labels -> hyper-parameters: what is chosen where nothing is given, and what is stays."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, TrainingArguments

from dnahub.checkpoints.presets import PRESETS
from dnahub.hub_code import NucleotideTransformerConfig
from dnahub.tasks import TASKS
from dnahub.training import defaults
from dnahub.training.arguments import TUNINGS, ModelArguments, parse_arguments
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming


def training(*flags) -> TrainingArguments:
    return training_arguments(
        parse_arguments("", ["--dataset_name", "d", "--output_dir", "o", "--use_cpu", *map(str, flags)])
    )


@pytest.mark.parametrize(
    ("preset", "tuning", "rate"),
    [
        ("v2-50m", "full", 5e-5),
        ("v2-500m", "full", 1e-5),
        ("v2-50m", "frozen", 5e-5),
        ("v2-500m", "frozen", 5e-5),
        ("v2-50m", "head", 1e-3),
        ("v2-500m", "head", 1e-3),
        ("v2-50m", "lora", 5e-4),
        ("v2-250m", "lora", 1e-4),
        ("v2-500m", "lora", 1e-4),
        ("v2-50m", "ia3", 3e-3),
        ("v2-500m", "ia3", 3e-3),
    ],
)
def test_the_learning_rate_goes_by_tuning_and_width(preset, tuning, rate):
    args = training()

    defaults.settle_for_model(args, ModelArguments(tuning=tuning), NucleotideTransformerConfig(**PRESETS[preset]))

    assert args.learning_rate == rate


@pytest.mark.parametrize(("width", "rate"), [(512, 5e-5), (513, 1e-5)])
def test_another_encoder_is_small_up_to_the_width_of_the_50m(width, rate):
    args = training()

    defaults.settle_for_model(args, ModelArguments(), BertConfig(hidden_size=width))

    assert args.learning_rate == rate


def test_random_weights_have_rates_of_their_own():
    rates = {}
    for preset in ("tiny", "v2-500m"):
        args = training()
        config = NucleotideTransformerConfig(**PRESETS[preset])
        defaults.settle_for_model(args, ModelArguments(from_scratch=preset), config)
        rates[preset] = args.learning_rate

    assert rates == {"tiny": 5e-4, "v2-500m": 1e-4}


def test_a_learning_rate_that_is_given_stays_and_every_tuning_has_one():
    args = training("--learning_rate", "7e-6")

    defaults.settle_for_model(args, ModelArguments(tuning="lora"), NucleotideTransformerConfig(**PRESETS["tiny"]))

    assert args.learning_rate == 7e-6
    assert set(defaults.LEARNING_RATES) == {*TUNINGS, "from_scratch"}


@pytest.mark.parametrize(
    ("task", "metric", "greater"),
    [
        ("classification", "accuracy", True),
        ("multi_label", "micro_f1", True),
        ("regression", "spearman", True),
        ("token_classification", "accuracy", True),
        ("mlm", "loss", False),
    ],
)
def test_the_best_checkpoint_is_that_of_the_tasks_first_metric(task, metric, greater):
    args = training()

    for _ in range(2):  # of several seeds, say
        defaults.settle_for_task(args, TASKS[task])
        assert (args.metric_for_best_model, args.greater_is_better) == (metric, greater)


@pytest.mark.parametrize(
    ("task", "given", "greater"),
    [
        ("classification", "mcc", True),
        ("classification", "loss", False),
        ("regression", "rmse", False),  # the Trainer's own guess is that more is better
        ("regression", "mae", False),
        ("regression", "r2", True),
        ("multi_label", "auprc", True),
        ("mlm", "masked_accuracy", True),
    ],
)
@pytest.mark.parametrize("prefix", ["", "eval_"])
def test_a_metric_that_is_given_stays_with_its_own_direction(task, given, greater, prefix):
    args = training("--metric_for_best_model", prefix + given)

    defaults.settle_for_task(args, TASKS[task])

    assert (args.metric_for_best_model, args.greater_is_better) == (given, greater)


@pytest.mark.parametrize(
    ("task", "given", "allowed"),
    [
        ("regression", "accuracy", "spearman, pearson, r2, rmse, mae, loss"),
        ("mlm", "accuracy", "loss, perplexity, masked_accuracy"),
        ("token_classification", "eval_f1", "accuracy, macro_f1, mcc, auroc, auprc, loss"),
    ],
)
def test_a_metric_that_is_not_measured_for_these_labels_is_refused_with_those_that_are(task, given, allowed):
    args = training("--metric_for_best_model", given)

    with pytest.raises(ValueError, match=naming(f"--metric_for_best_model {given}", *allowed.split(", "))):
        defaults.settle_for_task(args, TASKS[task])


@pytest.mark.parametrize(
    ("lengths", "tuning", "strategy"),
    [
        ([11] * 100, "full", "random"),
        ([10] * 50 + [20] * 50, "full", "group_by_length"),
        ([10] * 50 + [20] * 50, "lora", "group_by_length"),
        ([10] * 50 + [20] * 50, "frozen", "group_by_length"),
        ([10] * 50 + [20] * 50, "head", "random"),
        ([100] * 50 + [125] * 50, "full", "random"),  # by the factor, and not more
        ([100] * 50 + [126] * 50, "full", "group_by_length"),
        ([100] * 95 + [999] * 5, "full", "random"),  # a few long ones
        (None, "full", "random"),  # a stream has no lengths
    ],
)
def test_batches_are_of_like_length_where_lengths_differ(lengths, tuning, strategy):
    args = training()

    defaults.settle_for_lengths(args, ModelArguments(tuning=tuning), lengths and np.array(lengths))

    assert args.train_sampling_strategy == strategy


@pytest.mark.parametrize("given", ["random", "group_by_length"])
def test_a_sampling_strategy_that_is_given_stays(given):
    args = training("--train_sampling_strategy", given)

    for lengths in ([10] * 100, [10] * 50 + [20] * 50):
        defaults.settle_for_lengths(args, ModelArguments(), np.array(lengths))
        assert args.train_sampling_strategy == given


@pytest.mark.parametrize(
    ("flags", "gpu", "package", "chosen"),
    [
        ([], True, True, "flash_attention_2"),
        ([], True, False, "sdpa"),
        ([], False, True, "sdpa"),
        (["use_cpu"], True, True, "sdpa"),
        (["float32"], True, True, "sdpa"),
    ],
)
def test_flash_attention_needs_its_package_a_gpu_and_16_bit_numbers(monkeypatch, flags, gpu, package, chosen):
    args = training()
    args.use_cpu, args.bf16, args.fp16 = "use_cpu" in flags, "float32" not in flags, False
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(defaults, "is_flash_attn_2_available", lambda: package)

    assert defaults.attention(args) == chosen
