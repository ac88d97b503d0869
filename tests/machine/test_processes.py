"""The environment of a launcher -> which process this is, and its share of the cores."""

import os
import subprocess
import sys

import pytest
import torch

from dnahub.machine.processes import from_first, is_first_process, num_launched, share_cores


@pytest.fixture
def threads(monkeypatch):
    """A machine of eight cores, and no launcher."""
    for name in ("OMP_NUM_THREADS", "ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("num_processes", "environment", "num_threads"),
    [
        *((1, {}, 8), (2, {}, 4), (3, {}, 2), (16, {}, 1)),
        (2, {"OMP_NUM_THREADS": "1"}, 7),
        (2, {"OMP_NUM_THREADS": "3", "ACCELERATE_DYNAMO_BACKEND": "NO"}, 7),
        (2, {"OMP_NUM_THREADS": "1", "ACCELERATE_DYNAMO_BACKEND": "NO"}, 4),
        (2, {"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none"}, 4),
    ],
)
def test_cores_are_shared_unless_the_user_not_a_launcher_set_threads(threads, num_processes, environment, num_threads):
    for name, value in environment.items():
        threads.setenv(name, value)
    share_cores(num_processes)
    assert torch.get_num_threads() == num_threads


SEEN = "import os; print(os.environ['OMP_NUM_THREADS'], 'ACCELERATE_DYNAMO_BACKEND' in os.environ)"


def test_accelerate_launch_still_sets_what_tells_its_threads_from_the_users(tmp_path):
    (tmp_path / "script.py").write_text(SEEN)
    command = ["-m", "accelerate.commands.launch", "--num_processes", "1", tmp_path / "script.py"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for given, seen in (({}, ["1", "True"]), ({"OMP_NUM_THREADS": "3"}, ["3", "True"])):
        done = subprocess.run(
            [sys.executable, *command], env=environment | given, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == seen


def test_a_launchers_environment_is_known_before_the_processes_join(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "ACCELERATE_DYNAMO_MODE"):
        monkeypatch.delenv(name, raising=False)
    assert is_first_process() and num_launched() == 1
    assert from_first(lambda: 3) == 3
    monkeypatch.setenv("MASTER_PORT", "29500")  # as a cluster's job may have it
    assert num_launched() == 1
    monkeypatch.setenv("ACCELERATE_DYNAMO_MODE", "default")
    with pytest.raises(ValueError, match="--multi_gpu"):
        num_launched()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert not is_first_process() and num_launched() == 4
