"""Recipe, flags and our defaults -> typed arguments: which override which, what follows, what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dnahub.training import arguments
from dnahub.training.arguments import DEFAULT_BASE_MODEL, deciding, parse_arguments
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming

REPOSITORY = Path(__file__).parents[2]
REQUIRED = ["--dataset_name", "data/toy", "--output_dir", "runs/toy"]
FILES = ["--train_file", "a.csv", "b.csv", "--output_dir", "runs/toy"]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    """`training_arguments` writes this variable and, where it was launched, reads it."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")


@pytest.fixture
def recipe(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return str(path)

    return write


def parse(*argv):
    return parse_arguments("", list(map(str, argv)))


def training(*flags):
    return training_arguments(parse(*REQUIRED, "--use_cpu", *flags))


def test_flags_override_the_recipe_and_the_recipe_overrides_our_defaults(recipe):
    path = recipe("dataset_name: data/a\noutput_dir: runs/a\nlearning_rate: 2e-4\nnum_train_epochs: 7\n")

    args = parse(path, "--learning_rate", "3e-4")

    assert (args.data.dataset_name, args.trainer.output_dir) == ("data/a", "runs/a")
    assert (args.trainer.learning_rate, args.trainer.num_train_epochs) == (3e-4, 7)
    assert (args.trainer.save_total_limit, args.trainer.logging_steps) == (2, 0.02)
    assert args.model.model_name_or_path == DEFAULT_BASE_MODEL


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--output_dir", "x"], ["--dataset_name", "--train_file"]),
        ([*REQUIRED, "--task", "clustering"], ["--task clustering", "mlm"]),
        (
            [*REQUIRED, "--from_scratch", "tiny", "--model_name_or_path", "m"],
            ["--from_scratch", "--model_name_or_path"],
        ),
        ([*REQUIRED, "--from_scratch", "tiny", "--tuning", "lora"], ["--tuning lora", "--from_scratch"]),
        ([*REQUIRED, "--from_scratch", "tiny", "--model_revision", "main"], ["--from_scratch", "--model_revision"]),
        ([*REQUIRED, "--tuning", "lora", "--lora_r", "0"], ["--lora_r 0", "1"]),
        ([*REQUIRED, "--tuning", "lora", "--lora_dropout", "1"], ["--lora_dropout 1", "1"]),
        ([*REQUIRED, "--tuning", "frozen", "--trainable_layers", "0"], ["--trainable_layers 0", "--tuning head"]),
        ([*REQUIRED, "--train_file", "x.csv"], ["--dataset_name", "--train_file"]),
        (["--validation_file", "x.csv", "--output_dir", "x"], ["--dataset_name", "--train_file"]),
        ([*FILES, "--dataset_config_name", "x"], ["--dataset_config_name"]),
        ([*FILES, "--dataset_filter", "task"], ["--dataset_filter task", "COLUMN=VALUE"]),
        ([*FILES, "--dataset_filter", "=x"], ["--dataset_filter =x", "COLUMN=VALUE"]),
        ([*REQUIRED, "--task", "mlm", "--streaming"], ["--streaming", "--max_steps"]),
        ([*FILES, "--task", "mlm", "--streaming", "--max_steps", 9], ["--streaming", "--validation_file"]),
        ([*REQUIRED, "--task", "mlm", "--streaming", "--max_steps", 9, "--group_column", "g"], ["--group_column"]),
        ([*REQUIRED, "--num_train_epochs", "0"], ["--num_train_epochs 0.0"]),
        ([*REQUIRED, "--max_steps", "0"], ["--max_steps 0"]),
        ([*REQUIRED, "--report_to", "wandb"], ["--report_to wandb"]),
        ([*REQUIRED, "--early_stopping_patience", "-2"], ["--early_stopping_patience -2"]),
        ([*REQUIRED, "--per_device_train_batch_size", "0"], ["--per_device_train_batch_size 0"]),
        ([*REQUIRED, "--warmup_steps", "-1"], ["--warmup_steps -1"]),
        ([*REQUIRED, "--learning_rate", "0"], ["--learning_rate 0.0"]),
        ([*REQUIRED, "--learning_rate", "nan"], ["--learning_rate nan"]),
        ([*REQUIRED, "--hub_model_id", "user/x"], ["--push_to_hub"]),
        ([*REQUIRED, "--push_to_hub"], ["--hub_model_id"]),
        ([*REQUIRED, "--hyperparameter_search", "2"], ["--hyperparameter_search", "requirements-extra"]),
        (["--output_dir", "x", "--push_only"], ["--hub_model_id"]),
    ],
)
def test_flags_that_contradict_each_other_are_refused(monkeypatch, flags, told):
    monkeypatch.setattr(arguments, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=naming(*told)):
        parse(*flags)


@pytest.mark.parametrize(
    ("flags", "strategy", "steps"),
    [
        ([], "epoch", 500),
        (["--save_steps", 7], "steps", 7),
        (["--save_strategy", "steps"], "steps", 500),
        (["--save_strategy", "steps", "--save_steps", 7], "steps", 7),
        (["--save_strategy", "no"], "no", 500),
        (["--task", "mlm", "--streaming", "--max_steps", 9], "steps", 500),
        (["--task", "mlm", "--streaming", "--max_steps", 9, "--save_strategy", "no"], "no", 500),
    ],
)
def test_evaluations_are_made_when_checkpoints_are_saved(flags, strategy, steps):
    args = training(*flags)

    assert (args.save_strategy.value, args.save_steps) == (strategy, steps)
    assert args.eval_strategy.value == strategy
    assert strategy != "steps" or args.eval_steps == steps
    assert args.load_best_model_at_end is (strategy != "no")


def test_every_flag_of_the_training_reaches_the_trainer():
    flags = {
        "seed": 7,
        "num_train_epochs": 2.5,
        "max_steps": 12,
        "per_device_train_batch_size": 3,
        "per_device_eval_batch_size": 5,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "cosine",
        "train_sampling_strategy": "group_by_length",
        "save_strategy": "steps",
        "save_steps": 6,
        "metric_for_best_model": "mcc",
        "gradient_checkpointing": True,
        "bf16": True,
        "use_cpu": True,
    }
    args = training(*(word for name, value in flags.items() for word in (f"--{name}", value)))

    assert {name: getattr(args, name) for name in flags} == flags
    assert args.remove_unused_columns is False and args.logging_nan_inf_filter is False


def test_warm_up_and_logging_take_steps_or_a_fraction_of_all_steps():
    assert training("--max_steps", "200").get_warmup_steps(200) == 20
    assert training("--warmup_steps", "7").get_warmup_steps(200) == 7
    assert training("--warmup_steps", "0").get_warmup_steps(200) == 0
    assert (training().logging_steps, training("--logging_steps", 3).logging_steps) == (0.02, 3)


@pytest.mark.parametrize(
    ("launched", "flags", "computed"),
    [
        ("no", [], "no"),
        ("bf16", [], "bf16"),
        ("fp16", ["--bf16"], "bf16"),
        ("bf16", ["--bf16", "false"], "no"),
        ("no", ["--bf16"], "bf16"),
    ],
)
def test_the_precision_is_that_of_the_flag_else_of_the_launcher(monkeypatch, launched, flags, computed):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    args = training(*flags)
    assert (args.bf16, args.fp16) == (computed == "bf16", computed == "fp16")

    AcceleratorState._reset_state()
    assert Accelerator(cpu=True).mixed_precision == computed
    AcceleratorState._reset_state()


@pytest.mark.parametrize("source", [REQUIRED, [*FILES, "--validation_file", "v.csv"]])
def test_each_process_reads_its_own_part_of_a_stream(source):
    args = training_arguments(parse(*source, "--task", "mlm", "--streaming", "--max_steps", "9", "--use_cpu"))
    assert args.accelerator_config.dispatch_batches is False
    assert training().accelerator_config.dispatch_batches is None


def test_a_run_is_the_same_with_other_batches_of_evaluations_and_another_place_and_not_with_another_seed():
    one = deciding(parse(*REQUIRED))
    assert deciding(parse(*REQUIRED, "--output_dir", "y", "--per_device_eval_batch_size", 2, "--disable_tqdm")) == one
    assert deciding(parse(*REQUIRED, "--seed", 1)) != one
    assert deciding(parse(*REQUIRED, "--label_column", "y")) != one


RECIPES = sorted((REPOSITORY / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_is_one_that_train_takes(path):
    args = parse(path)
    taken = {
        name: value for part in (args.model, args.data, args.trainer, args.run) for name, value in vars(part).items()
    }
    written = yaml.safe_load(path.read_text())
    assert {name: taken[name] for name in written} == written


def test_help_imports_nothing_heavy():
    code = "import sys, train; train.parse_arguments('', ['--help'])"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "--train_file" in done.stdout
    assert not imported & {"torch", "transformers", "datasets", "pyarrow", "numpy", "huggingface_hub"}
