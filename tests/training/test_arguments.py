"""Recipe, flags and our defaults -> typed arguments: which override which, what follows, what is refused."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from transformers import TrainingArguments

from dnahub.training import arguments
from dnahub.training.arguments import (
    DEFAULT_BASE_MODEL,
    DataArguments,
    HubArguments,
    ModelArguments,
    RunArguments,
    TrainerArguments,
    deciding,
    parse_arguments,
)
from dnahub.training.trainer_arguments import training_arguments
from tests.messages import naming

PARTS = (ModelArguments, DataArguments, TrainerArguments, RunArguments, HubArguments)
REPOSITORY = Path(__file__).parents[2]
REQUIRED = ["--dataset_name", "data/toy", "--output_dir", "runs/toy"]
STREAM = ["--task", "mlm", "--streaming", "--max_steps", 9]
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
        ([*REQUIRED, "--init", "plain"], ["--init plain", "--from_scratch"]),
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
        *(
            ([*REQUIRED, f"--{name}", value], [f"--{name} {value}"])
            for name, values in {
                "seed": ["-1", str(2**32)],
                "weight_decay": ["-1.0", "inf", "nan"],
                "max_grad_norm": ["-1.0", "nan"],
                "label_smoothing_factor": ["-0.1", "1.5", "nan"],
                "logging_steps": ["0.0", "-1.0", "nan", "2.5"],
                "warmup_steps": ["inf", "2.5"],
                "num_train_epochs": ["nan", "inf"],
                "save_total_limit": ["0"],
                "save_steps": ["0"],
                "dataloader_num_workers": ["-1"],
                "gradient_accumulation_steps": ["0"],
                "lora_alpha": ["0"],
                "seeds": ["0"],
                "crop_nt": ["5"],
                "crop_step": ["0"],
            }.items()
            for value in values
        ),
        ([*REQUIRED, "--seed", 2**32 - 1, "--seeds", 2], [f"--seed {2**32 - 1}"]),
    ],
)
def test_flags_that_contradict_each_other_are_refused(monkeypatch, flags, told):
    monkeypatch.setattr(arguments, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=naming(*told)):
        parse(*flags)


@pytest.mark.parametrize(
    "flags",
    [
        ["--trainable_layers", 1],
        ["--lora_r", 4, "--tuning", "ia3"],
        ["--lora_targets", "key"],
        ["--lora_dropout", 0.1],
        ["--warmup_steps", 9, "--lr_scheduler_type", "constant"],
        ["--save_steps", 9, "--save_strategy", "epoch"],
        ["--metric_for_best_model", "mcc", "--save_strategy", "no"],
        ["--metric_for_best_model", "mcc", "--load_best_model_at_end", "false"],
        ["--early_stopping_patience", 9, "--load_best_model_at_end", "false"],
        ["--train_sampling_strategy", "group_by_length", *STREAM],
        ["--save_strategy", "epoch", *STREAM],
        ["--crop_step", 1],
        ["--crop_step", 61, "--crop_nt", 60],
        ["--crop_nt", 60, *STREAM],
        ["--crop_nt", 60, "--train_sampling_strategy", "group_by_length"],
        ["--class_sampling", "balanced", "--class_weights", "balanced"],
    ],
)
def test_a_flag_that_would_have_no_effect_is_refused(flags):
    with pytest.raises(ValueError, match=naming(flags[0])):
        parse(*REQUIRED, *flags)


def test_a_constant_rate_has_no_warm_up():
    assert training("--lr_scheduler_type", "constant").warmup_steps == 0
    assert training("--lr_scheduler_type", "constant_with_warmup", "--warmup_steps", 9).warmup_steps == 9


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


def test_compiling_on_a_cpu_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=naming("--torch_compile", "no-such-compiler")):
        training("--torch_compile")


def test_every_flag_of_the_training_reaches_the_trainer(monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)  # any program
    flags = {
        "output_dir": "runs/toy",
        "seed": 7,
        "num_train_epochs": 2.5,
        "max_steps": 12,
        "per_device_train_batch_size": 3,
        "per_device_eval_batch_size": 5,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-4,
        "warmup_steps": 9,
        "weight_decay": 0.3,
        "max_grad_norm": 0.7,
        "label_smoothing_factor": 0.1,
        "lr_scheduler_type": "cosine",
        "train_sampling_strategy": "group_by_length",
        "save_strategy": "steps",
        "save_steps": 6,
        "save_total_limit": 5,
        "load_best_model_at_end": False,
        "metric_for_best_model": "mcc",
        "gradient_checkpointing": True,
        "bf16": True,
        "fp16": False,
        "torch_compile": True,
        "use_cpu": True,
        "dataloader_num_workers": 3,
        "logging_steps": 11,
        "report_to": ["tensorboard"],
        "disable_tqdm": True,
    }
    ours = {each.name for each in fields(TrainerArguments)} - {"early_stopping_patience"}  # which has its own callback
    assert flags.keys() == ours
    given = flags | {"report_to": "tensorboard", "seeds": 2}  # of which the metric chooses one
    args = training(*(word for name, value in given.items() for word in (f"--{name}", value)))

    assert {name: getattr(args, name) for name in flags} == flags
    assert args.activation_checkpointing is True  # the name by which the Trainer knows it
    assert args.remove_unused_columns is False and args.logging_nan_inf_filter is False


@pytest.mark.parametrize("kind", [str, bool])
def test_every_other_switch_of_the_trainer_is_refused(capsys, kind):
    ours = {each.name for part in PARTS for each in fields(part)}
    others = [each.name for each in fields(TrainingArguments) if each.init and each.name not in ours]
    assert {"bf16_full_eval", "save_only_model", "dataloader_drop_last", "neftune_noise_alpha", "optim"} <= {*others}
    for name in others:
        with pytest.raises(SystemExit, match="2"):
            parse(*REQUIRED, f"--{name}", *["x"][: kind is str])
        assert f"--{name}" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        parse(*REQUIRED, "--lr_scheduler_type", "reduce_lr_on_plateau")


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
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    args = training(*flags)
    assert (args.bf16, args.fp16) == (computed == "bf16", False)
    assert args.mixed_precision == computed  # what the Trainer gives to accelerate
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == launched  # another run of this process reads it


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("MIXED_PRECISION", "fp8", ["--mixed_precision fp8", "bf16"]),
        ("MIXED_PRECISION", "fp16", ["fp16", "GPU"]),
        ("DYNAMO_BACKEND", "INDUCTOR", ["--dynamo_backend", "--torch_compile"]),
        ("USE_MEGATRON_LM", "true", ["--use_megatron_lm"]),
        ("USE_PARALLELISM_CONFIG", "true", ["--use_parallelism_config"]),
        ("GRADIENT_ACCUMULATION_STEPS", "4", ["gradient_accumulation_steps 4"]),
    ],
)
def test_what_a_launcher_asks_for_in_vain_or_in_silence_is_refused(monkeypatch, variable, value, told):
    for name in ("DYNAMO_BACKEND", "GRADIENT_ACCUMULATION_STEPS"):
        monkeypatch.setenv(f"ACCELERATE_{name}", {"DYNAMO_BACKEND": "NO"}.get(name, "2"))
    training("--gradient_accumulation_steps", 2)
    monkeypatch.setenv(f"ACCELERATE_{variable}", value)
    with pytest.raises(ValueError, match=naming(*told)):
        training("--gradient_accumulation_steps", 2)


def test_a_launcher_on_the_cpu_does_not_begin_with_the_precision_of_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert not training_arguments(parse(*REQUIRED)).bf16


def test_one_process_has_one_gpu_and_the_batch_that_was_asked_for(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    args = training_arguments(parse(*REQUIRED))
    assert (args.n_gpu, args.train_batch_size) == (1, 8)


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
    # Of a stream each process that prepares batches reads a part.
    workers = ["--dataloader_num_workers", 2]
    assert deciding(parse(*REQUIRED, *workers)) == one
    assert deciding(parse(*REQUIRED, *STREAM, *workers)) != deciding(parse(*REQUIRED, *STREAM))


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
