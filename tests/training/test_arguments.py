"""Recipe, flags and our defaults -> typed arguments: what goes over what, what follows from what, what is refused."""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from dnahub.tasks.evaluation import METRICS
from dnahub.training.arguments import DEFAULT_BASE_MODEL, parse_arguments
from tests.messages import naming

REQUIRED = ["--dataset_name", "data/toy", "--output_dir", "runs/toy"]
FILES = ["--train_file", "a.csv", "b.csv", "--output_dir", "runs/toy"]


@pytest.fixture
def recipe(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def training(*flags):
    return parse_arguments([*REQUIRED, *map(str, flags)])[2]


def test_flags_go_over_the_recipe_and_the_recipe_over_our_defaults_and_ours_over_those_of_transformers(recipe):
    path = recipe("dataset_name: data/a\noutput_dir: runs/a\nlearning_rate: 2e-4\nnum_train_epochs: 7\n")

    _, data, args, _ = parse_arguments([path, "--learning_rate", "3e-4"])

    assert (data.dataset_name, args.output_dir) == ("data/a", "runs/a")
    assert args.learning_rate == 3e-4
    assert args.num_train_epochs == 7
    assert (args.save_total_limit, args.logging_steps) == (2, 0.02)
    assert parse_arguments([recipe("save_total_limit: 9"), *REQUIRED])[2].save_total_limit == 9


@pytest.mark.parametrize("place", [0, 2, 4])
def test_the_recipe_may_stand_before_between_or_behind_the_flags(recipe, place):
    argv = [*REQUIRED[:place], recipe("seed: 7"), *REQUIRED[place:]]

    assert parse_arguments(argv)[2].seed == 7


def test_values_of_a_recipe_have_the_type_of_the_argument(recipe):
    path = recipe(
        "learning_rate: 1e-4\n"  # a string to YAML 1.1, which asks for 1.0e-4
        "weight_decay: 0\n"
        "max_steps: 12\n"
        "bf16: false\n"
        "dataloader_pin_memory: no\n"
        "report_to: none\n"
        "include_for_metrics: [inputs, loss]\n"
        "optim: adamw_torch\n"
        "lr_scheduler_kwargs: {num_cycles: 2, nested: {a: [1, 2]}}\n"
        "max_length: null\n"
        "model_revision:\n"
        "from_scratch: tiny\n"
        "run_name: '007'\n"
    )

    model, data, args, _ = parse_arguments([path, *REQUIRED])

    assert (type(args.learning_rate), args.learning_rate) == (float, 1e-4)
    assert (type(args.weight_decay), args.weight_decay) == (float, 0.0)
    assert (type(args.max_steps), args.max_steps) == (int, 12)
    assert (args.bf16, args.dataloader_pin_memory) == (False, False)
    assert args.report_to == []  # what transformers makes of "none"
    assert args.include_for_metrics == ["inputs", "loss"]
    assert args.lr_scheduler_kwargs == {"num_cycles": 2, "nested": {"a": [1, 2]}}
    assert (data.max_length, model.model_revision, model.from_scratch) == (None, None, "tiny")
    assert args.run_name == "007"


@pytest.mark.parametrize("last", ["include_for_metrics: [loss]", "label_names:\n- a\n- b"])
def test_a_list_at_the_end_of_a_recipe_takes_nothing_of_the_command_line(recipe, last):
    path = recipe(f"seed: 9\n{last}")

    for argv in ([path, *REQUIRED], [*REQUIRED, path]):
        _, data, args, _ = parse_arguments(argv)
        assert (args.seed, data.dataset_name) == (9, "data/toy")


def test_a_recipe_value_that_begins_with_a_dash_is_a_value(recipe):
    model, data, args, _ = parse_arguments(
        [recipe("dataset_name: --odd\nmax_steps: -1\noutput_dir: -x"), "--seed", "1"]
    )

    assert (data.dataset_name, args.output_dir, args.max_steps) == ("--odd", "-x", -1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lerning_rate: 1e-4", ["lerning_rate"]),
        ("recipe: other.yaml", ["recipe"]),
        ("help: true", ["help"]),
        ("1: 2", ["1"]),
        ("a: [1, 2", ["recipe.yaml"]),
        ("a: b: c", ["recipe.yaml"]),
        ("\tseed: 1", ["recipe.yaml"]),
        ("- seed\n- 1", ["recipe.yaml", "list"]),
        ("seed", ["recipe.yaml", "str"]),
        ("", ["recipe.yaml", "NoneType"]),
        (b"seed: \xff\xfe", ["recipe.yaml"]),
        ("learning_rate: quick", ["--learning_rate", "quick"]),
        ("max_steps: 1.5", ["--max_steps", "1.5"]),
        ("task: clustering", ["--task", "clustering"]),
        ("label_column: [a, b]", ["label_column", "list"]),
        ("from_scratch: v3-7b", ["--from_scratch", "v3-7b"]),
        ("tuning: prefix", ["--tuning", "prefix"]),
        ("bf16: perhaps", ["--bf16"]),
        ("seed: [1, 2]", ["seed", "list"]),
        ("seed: {a: 1}", ["--seed"]),
    ],
)
def test_a_recipe_that_cannot_be_taken_ends_with_status_2_and_one_sentence(recipe, capsys, text, told):
    with pytest.raises(SystemExit) as stop:
        parse_arguments([recipe(text), *REQUIRED])

    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("train.py: error: ") and error.count("\n") == 1
    assert re.search(naming(*told), error)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["absent.yaml"], ["absent.yaml"]),
        (["--lerning_rate", "1"], ["--lerning_rate"]),
        (["--learn", "1"], ["--learn"]),
        (["--task", "clustering"], ["--task", "clustering"]),
        (["--seeds", "some"], ["--seeds", "some"]),
        (["--train_file"], ["--train_file"]),
        (["--seed"], ["--seed"]),
        (["--max_length", "many"], ["--max_length", "many"]),
    ],
)
def test_flags_that_cannot_be_taken_end_with_status_2_and_one_sentence(capsys, flags, told):
    with pytest.raises(SystemExit) as stop:
        parse_arguments([*REQUIRED, *flags])

    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("train.py: error: ") and error.count("\n") == 1
    assert re.search(naming(*told), error)


def test_a_folder_as_recipe_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_arguments([str(tmp_path), *REQUIRED])

    assert stop.value.code == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--dataset_name", "x"], ["--output_dir"]),
        (["--output_dir", "x"], ["--dataset_name", "--train_file"]),
        (
            [*REQUIRED, "--from_scratch", "tiny", "--model_name_or_path", "m"],
            ["--from_scratch", "--model_name_or_path"],
        ),
        ([*REQUIRED, "--from_scratch", "tiny", "--tuning", "frozen"], ["--tuning frozen", "--from_scratch"]),
        ([*REQUIRED, "--from_scratch", "tiny", "--tuning", "lora"], ["--tuning lora", "--from_scratch"]),
        ([*REQUIRED, "--task", "mlm", "--tuning", "head"], ["--task mlm", "head"]),
        ([*REQUIRED, "--tuning", "frozen", "--trainable_layers", "0"], ["--trainable_layers", "1", "--tuning head"]),
        ([*REQUIRED, "--tuning", "lora", "--lora_r", "0"], ["--lora_r", "1"]),
        ([*REQUIRED, "--num_train_epochs", "0"], ["--num_train_epochs 0.0"]),
        ([*REQUIRED, "--max_steps", "0"], ["--max_steps 0"]),
        ([*REQUIRED, "--report_to", "wandb"], ["--report_to wandb"]),
        ([*REQUIRED, "--tuning", "lora", "--lora_dropout", "1"], ["--lora_dropout", "0", "1"]),
        (["--validation_file", "x.csv", "--output_dir", "x"], ["--dataset_name", "--train_file"]),
        ([*REQUIRED, "--train_file", "x.csv"], ["--dataset_name", "--train_file"]),
        ([*REQUIRED, "--validation_file", "x.csv"], ["--dataset_name", "--validation_file"]),
        ([*REQUIRED, "--test_file", "x.csv"], ["--dataset_name", "--test_file"]),
        ([*FILES, "--dataset_config_name", "x"], ["--dataset_config_name", "--dataset_revision"]),
        ([*FILES, "--dataset_revision", "x"], ["--dataset_config_name", "--dataset_revision"]),
        ([*REQUIRED, "--task", "mlm", "--label_separator", ";"], ["--task mlm"]),
        ([*REQUIRED, "--streaming"], ["--streaming", "--max_steps"]),
        ([*FILES, "--streaming", "--max_steps", "9"], ["stream", "--validation_file"]),
        ([*REQUIRED, "--resume_from_checkpoint", "last"], ["--resume_from_checkpoint", "same command"]),
        ([*REQUIRED, "--seeds", "0"], ["--seeds 0"]),
        ([*REQUIRED, "--hyperparameter_search", "-1"], ["--hyperparameter_search -1"]),
        ([*REQUIRED, "--early_stopping_patience", "-2"], ["--early_stopping_patience -2"]),
        ([*REQUIRED, "--per_device_train_batch_size", "0"], ["--per_device_train_batch_size 0"]),
        ([*REQUIRED, "--per_device_eval_batch_size", "-1"], ["--per_device_eval_batch_size -1"]),
        ([*REQUIRED, "--gradient_accumulation_steps", "0"], ["--gradient_accumulation_steps 0"]),
        ([*REQUIRED, "--learning_rate", "0"], ["--learning_rate 0.0"]),
        ([*REQUIRED, "--learning_rate=-1e-4"], ["--learning_rate -0.0001"]),
        ([*REQUIRED, "--learning_rate", "nan"], ["--learning_rate nan"]),
        ([*REQUIRED, "--learning_rate", "inf"], ["--learning_rate inf"]),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(flags, told):
    with pytest.raises(ValueError, match=naming(*told)):
        parse_arguments(flags)


def test_the_base_model_is_the_published_50m_unless_another_or_none_is_named():
    assert parse_arguments(REQUIRED)[0].model_name_or_path == DEFAULT_BASE_MODEL
    assert parse_arguments([*REQUIRED, "--model_name_or_path", "m"])[0].model_name_or_path == "m"
    assert parse_arguments([*REQUIRED, "--from_scratch", "tiny"])[0].model_name_or_path is None


@pytest.mark.parametrize(
    ("flags", "saving", "evaluation"),
    [
        ([], ("epoch", 500), ("epoch", 500)),
        (["--save_steps", 7], ("steps", 7), ("steps", 7)),
        (["--save_strategy", "steps"], ("steps", 500), ("steps", 500)),
        (["--save_strategy", "steps", "--save_steps", 7], ("steps", 7), ("steps", 7)),
        (["--save_strategy", "epoch"], ("epoch", 500), ("epoch", 500)),
        (["--save_strategy", "best"], ("best", 500), ("epoch", 500)),
        (["--save_strategy", "no"], ("no", 500), ("no", 500)),
    ],
)
def test_evaluation_follows_saving_with_its_steps(flags, saving, evaluation):
    args = training(*flags)

    assert (args.save_strategy.value, args.save_steps) == saving
    assert (args.eval_strategy.value, args.eval_steps) == evaluation
    assert args.load_best_model_at_end is (args.save_strategy != "no")


@pytest.mark.parametrize(
    ("save", "evaluate"), list(itertools.product(["no", "best", "epoch", "steps"], ["no", "epoch", "steps"]))
)
def test_an_evaluation_strategy_that_is_given_wins(save, evaluate):
    flags = ["--save_strategy", save, "--eval_strategy", evaluate, "--eval_steps", 3, "--save_steps", 6]
    if (save, evaluate) in [("epoch", "steps"), ("steps", "epoch")]:  # no best one to load at the end
        with pytest.raises(ValueError, match=naming("--save_strategy", "--eval_strategy")):
            training(*flags)
        return

    args = training(*flags)

    assert (args.save_strategy.value, args.eval_strategy.value) == (save, evaluate)
    assert (args.eval_steps, args.save_steps) == (3, 6)
    assert args.load_best_model_at_end is ("no" not in (save, evaluate))


def test_what_follows_from_the_model_and_the_labels_is_left_open_and_what_is_given_stays():
    args = training("--task", "mlm")
    assert (args.learning_rate, args.train_sampling_strategy) == (None, None)
    assert args.metric_for_best_model not in METRICS["masked_lm"]

    args = training("--learning_rate", "3e-4", "--metric_for_best_model", "mcc", "--load_best_model_at_end", "false")
    assert (args.learning_rate, args.metric_for_best_model, args.load_best_model_at_end) == (3e-4, "mcc", False)


def test_warm_up_is_a_tenth_of_the_steps_unless_it_is_given():
    assert training("--max_steps", "200").get_warmup_steps(200) == 20
    assert training("--warmup_steps", "7").get_warmup_steps(200) == 7
    assert training("--warmup_steps", "0").get_warmup_steps(200) == 0


@pytest.mark.parametrize("task", ["classification", "regression", "token_classification", "mlm"])
def test_every_task_can_be_asked_for(task, recipe):
    assert parse_arguments([*REQUIRED, "--task", task])[0].task == task
    assert parse_arguments([recipe(f"task: {task}"), *REQUIRED])[0].task == task


def test_files_stand_in_place_of_a_data_set_several_for_each_split(recipe):
    columns = ["--sequence_column", "dna", "--label_column", "y", "--label_separator", ";", "--group_column", "gene"]
    flags = [*FILES, "--validation_file", "v.fa", "--test_file", "t.fa", "u.fa", *columns]
    path = recipe(
        "train_file: [a.csv, b.csv]\nvalidation_file: [v.fa]\ntest_file:\n- t.fa\n- u.fa\nsequence_column: dna\n"
        "label_column: y\nlabel_separator: ';'\ngroup_column: gene\noutput_dir: runs/toy\n"
    )

    data = parse_arguments(flags)[1]

    assert (data.train_file, data.validation_file, data.test_file) == (["a.csv", "b.csv"], ["v.fa"], ["t.fa", "u.fa"])
    assert (data.sequence_column, data.label_column) == ("dna", "y")
    assert (data.label_separator, data.group_column, data.dataset_name) == (";", "gene", None)
    assert parse_arguments([path])[1] == data


def test_one_file_may_stand_in_a_recipe_without_a_list_and_flags_go_over_it(recipe):
    path = recipe("train_file: a.csv\noutput_dir: runs/toy")

    assert parse_arguments([path])[1].train_file == ["a.csv"]
    assert parse_arguments([path, "--train_file", "b.csv", "c.csv"])[1].train_file == ["b.csv", "c.csv"]


def test_a_tenth_is_cut_off_and_repeats_are_refused_unless_something_else_is_said():
    data = parse_arguments(FILES)[1]
    assert (data.sequence_column, data.label_column, data.label_separator) == ("sequence", "label", None)
    assert (data.validation_share, data.test_share, data.allow_repeats, data.streaming) == (0.1, 0.1, False, False)

    data = parse_arguments([*FILES, "--validation_share", "0.2", "--test_share", "0", "--allow_repeats"])[1]
    assert (data.validation_share, data.test_share, data.allow_repeats) == (0.2, 0, True)


def test_one_seed_and_no_search_unless_they_are_asked_for(recipe):
    run = parse_arguments(REQUIRED)[3]
    assert (run.seeds, run.hyperparameter_search, run.early_stopping_patience, run.push_only) == (1, 0, 3, False)

    run = parse_arguments([recipe("seeds: 3\nhyperparameter_search: 9\nearly_stopping_patience: 0"), *REQUIRED])[3]
    assert (run.seeds, run.hyperparameter_search, run.early_stopping_patience) == (3, 9, 0)


@pytest.mark.parametrize("source", [REQUIRED, [*FILES, "--validation_file", "v.csv"]])
def test_a_stream_is_saved_by_steps_and_read_by_each_process_for_itself(source):
    _, data, args, _ = parse_arguments([*source, "--streaming", "--max_steps", "9"])

    assert data.streaming and args.max_steps == 9
    assert (args.save_strategy.value, args.eval_strategy.value, args.load_best_model_at_end) == (
        "steps",
        "steps",
        True,
    )
    assert args.accelerator_config.dispatch_batches is False
    assert training().accelerator_config.dispatch_batches is None
    given = ["--accelerator_config", '{"split_batches": true}']
    args = parse_arguments([*source, "--streaming", "--max_steps", "9", *given])[2]
    assert (args.accelerator_config.dispatch_batches, args.accelerator_config.split_batches) == (False, True)
    args = parse_arguments([*source, "--streaming", "--max_steps", "9", "--save_strategy", "no"])[2]
    assert args.save_strategy.value == "no"


def test_without_labels_a_label_column_does_no_harm_and_files_are_taken_too():
    model, data, _, _ = parse_arguments([*FILES, "--task", "mlm", "--from_scratch", "tiny"])
    assert (model.task, data.train_file) == ("mlm", ["a.csv", "b.csv"])


def test_to_publish_only_no_data_need_be_named():
    flags = ["--push_only", "--output_dir", "runs/toy", "--hub_model_id", "user/x"]
    assert parse_arguments(flags)[3].push_only


def test_the_text_columns_reach_the_collators_whatever_is_given():
    assert training("--remove_unused_columns", "true").remove_unused_columns is False


RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--hub_model_id", "user/x"], ["--push_to_hub"]),
        (["--hub_private_repo", "true"], ["--push_to_hub"]),
        (["--push_to_hub"], ["--hub_model_id"]),
        (["--push_only"], ["--hub_model_id"]),
        (["--push_to_hub", "--hub_model_id", "user/x", "--hub_always_push"], ["--hub_always_push"]),
        (["--from_scratch", "tiny", "--model_revision", "main"], ["--model_revision", "--from_scratch"]),
    ],
)
def test_publishing_arguments_that_do_not_go_together_are_refused(flags, told):
    with pytest.raises(ValueError, match=naming(*told)):
        parse_arguments([*REQUIRED, *flags])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_is_one_that_train_takes(path):
    written = yaml.safe_load(path.read_text())
    taken = {name: value for part in parse_arguments([str(path)]) for name, value in vars(part).items()}
    assert {name: taken[name] for name in written} == written
