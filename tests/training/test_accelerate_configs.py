"""
accelerate_configs/ -> what accelerate launch, and in its processes the Trainer, make of each file.

fsdp2.yaml runs on the CPU; the others are parsed only. accelerate 1.15 takes up FSDP on GPUs alone, in
`AcceleratorState.__init__`: the test makes up for these lines, for torch's `fully_shard` works over gloo, too.
"""

import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from dnahub.checkpoints.loading import find_checkpoint, load_checkpoint
from dnahub.hub_code import (
    NucleotideTransformerForSequenceClassification,
)
from dnahub.training.arguments import parse_arguments
from tests import forked

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "accelerate_configs"
NAMES = sorted(path.stem for path in FOLDER.iterdir())
# What `AcceleratorState.__init__` does on GPUs; then train.py.
FSDP_ON_THE_CPU = """
import runpy, sys
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

of_accelerate = AcceleratorState.__init__


def with_fsdp(self, *arguments, fsdp_plugin=None, **options):
    of_accelerate(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None:
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


AcceleratorState.__init__ = with_fsdp
sys.path.insert(0, ".")
sys.argv = sys.argv[1:]
runpy.run_path("train.py", run_name="__main__")
"""
FREE_PORT = ("--main_process_port", "0")  # no other run of this machine shall matter


def command_of(path: Path) -> list[str]:
    """The words of the command in the comment at the head of a file."""
    head = path.read_text(encoding="utf-8").split("\ncompute_environment")[0]
    lines = [line.removeprefix("#").strip() for line in head.splitlines()]
    first = next(i for i, line in enumerate(lines) if line.startswith("accelerate launch"))
    command = lines[first]
    for line in lines[first + 1 :]:
        if not command.endswith("\\"):
            break
        command = command.removesuffix("\\") + line
    return shlex.split(command)


def launched(name: str, *flags: str):
    """The arguments that accelerate launch settles on, from a file and flags."""
    arguments = ["--config_file", str(FOLDER / f"{name}.yaml"), *flags, "train.py"]
    return _validate_launch_command(launch_command_parser().parse_args(arguments))[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_in_the_head_of_a_file_is_one_of_accelerate_and_of_train(name, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    program, subcommand, *arguments = command_of(FOLDER / f"{name}.yaml")

    args = launch_command_parser().parse_args(arguments)

    assert (program, subcommand) == ("accelerate", "launch")
    assert args.config_file == f"accelerate_configs/{name}.yaml"
    assert args.training_script == "train.py"
    parse_arguments("", args.training_script_args)  # the recipe is there and says something


@pytest.mark.parametrize("name", NAMES)
def test_each_file_starts_what_its_name_says_and_a_flag_changes_the_number(name):
    args = launched(name, "--num_processes", "4")

    kind = {"multi": "multi_gpu", "fsdp2": "use_fsdp", "deepspeed": "use_deepspeed"}[name.split("_")[0]]
    kinds = ("multi_gpu", "use_fsdp", "use_deepspeed", "cpu", "tpu", "use_megatron_lm")
    assert [each for each in kinds if vars(args)[each]] == [kind]
    assert args.num_processes == 4


def by_accelerate(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Two new interpreters that accelerate launch starts by fsdp2.yaml, as a user does."""
    launcher = ["-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/fsdp2.yaml"]
    return forked.run([*launcher, *FREE_PORT, "--num_processes", "2", *command], REPOSITORY, environment)


def by_its_environment(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Two forked processes with the variables in which accelerate launch passes on what fsdp2.yaml says."""
    prepared = prepare_multi_gpu_env(launched("fsdp2", *FREE_PORT, "--num_processes", "2"))
    return forked.run_together(command, REPOSITORY, environment | prepared, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("tuning", "run_two"), [("full", by_accelerate), ("lora", by_its_environment)])
def test_two_processes_that_shard_the_weights_end_with_those_of_one(
    tmp_path, launch, environment, toy_dataset, mlm_run, tuning, run_two
):
    def arguments(num_processes: int) -> list[str]:
        words = [
            *("--dataset_name", toy_dataset, "--output_dir", tmp_path / str(num_processes), "--tuning", tuning),
            *("--model_name_or_path", mlm_run / "checkpoint", "--learning_rate", "1e-3", "--max_steps", 3),
            *("--per_device_train_batch_size", 16 // num_processes, "--save_steps", 2, "--use_cpu"),
            *("--report_to", "none", "--disable_tqdm", "true"),
        ]
        return [str(word) for word in words]

    script = tmp_path / "fsdp_on_the_cpu.py"
    script.write_text(FSDP_ON_THE_CPU)
    for result in (launch(*arguments(1)), run_two([str(script), "train.py", *arguments(2)], environment)):
        assert result.returncode == 0, result.stderr

    assert list((tmp_path / "2").glob("checkpoint-*/pytorch_model_fsdp.bin"))  # it was FSDP
    one, two = (tmp_path / number / "checkpoint" for number in "12")
    names = {path.relative_to(one) for path in one.rglob("*")}
    assert names == {path.relative_to(two) for path in two.rglob("*")}
    assert (one / "config.json").read_text() == (two / "config.json").read_text()
    # Sums in another order differ in the last bits of float32, and AdamW divides small gradients by their own size: of
    # a step of up to the learning rate, 1e-3, a hundredth.
    weights = (load_file(folder / "model.safetensors") for folder in (two, one))
    torch.testing.assert_close(*weights, rtol=0, atol=1e-5)
    load_checkpoint(NucleotideTransformerForSequenceClassification, find_checkpoint(str(two)))
