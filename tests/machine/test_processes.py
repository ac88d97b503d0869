"""The environment of a launcher -> which process this is, and its share of the cores."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import joblib
import pytest
import torch

from dnahub.machine.processes import from_first, is_first_process, num_launched, share_cores

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def threads(monkeypatch):
    """A machine of eight cores, and no launcher; a number of threads that nobody chooses."""
    for name in ("OMP_NUM_THREADS", "ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("environment", "num_threads"),
    [
        *(({}, 8), ({"WORLD_SIZE": "2"}, 4), ({"WORLD_SIZE": "3"}, 2), ({"WORLD_SIZE": "16"}, 1)),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "2"}, 4),  # of this node
        ({"OMP_NUM_THREADS": "1"}, 7),
    ],
)
def test_cores_are_shared_unless_the_user_set_threads(threads, environment, num_threads):
    for name, value in environment.items():
        threads.setenv(name, value)
    share_cores()
    assert torch.get_num_threads() == num_threads


@pytest.mark.parametrize(
    ("launcher", "set_by_it", "flags", "num_threads"),
    [
        ({}, "1", [], 8),
        ({}, "64", [], 8),  # all physical cores, as accelerate launch --cpu
        ({"OMP_NUM_THREADS": "1"}, "1", [], 7),
        ({"OMP_NUM_THREADS": "3"}, "3", [], 7),
        ({}, "1", ["--num_cpu_threads_per_process", "1"], 7),
        ({}, "2", ["--num-cpu-threads-per-process=2"], 7),
    ],
)
@pytest.mark.parametrize("marker", ["ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"])
def test_what_the_user_set_is_told_from_what_a_launcher_set(threads, marker, launcher, set_by_it, flags, num_threads):
    process = Mock(**{"environ.return_value": launcher, "cmdline.return_value": ["launch", *flags, "train.py"]})
    shell = Mock(**{"environ.return_value": {marker: "NO", "OMP_NUM_THREADS": set_by_it}})
    threads.setattr("psutil.Process", lambda: Mock(**{"parents.return_value": [shell, process]}))
    threads.setenv(marker, "NO")
    threads.setenv("OMP_NUM_THREADS", set_by_it)
    share_cores()
    assert torch.get_num_threads() == num_threads


@pytest.mark.parametrize(
    "quota", [{"cpu.max": "250000 100000"}, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}]
)
def test_the_cpu_quota_of_a_container_counts(monkeypatch, tmp_path, quota):
    """Of both versions of Linux's cgroups; joblib reads it."""
    there, opened = {f"/sys/fs/cgroup/{name}": text for name, text in quota.items()}, open
    monkeypatch.setattr("os.path.exists", lambda path: path in there)
    monkeypatch.setattr("builtins.open", lambda path, *rest: StringIO(there[path]) if path in there else opened(path))
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
    assert joblib.cpu_count() == 3


SEEN = "import sys; sys.path.insert(0, {!r}); from dnahub.machine.processes import _has_set_threads as f; print(f())"


def test_accelerate_launch_is_the_process_whose_environment_is_the_users(tmp_path):
    (tmp_path / "script.py").write_text(SEEN.format(str(REPOSITORY)))
    command = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", tmp_path / "script.py"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for given, seen in (({}, "False"), ({"OMP_NUM_THREADS": "1"}, "True")):
        done = subprocess.run(
            [sys.executable, *command], env=environment | given, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == seen


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
