"""The environment of a launcher -> which process this is, of how many, and its share of the cores."""

import os
from collections.abc import Callable
from typing import TypeVar

from dnahub.machine.script import is_first_process

Result = TypeVar("Result")
THREADS = "OMP_NUM_THREADS"
LAUNCHED = {"ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"}  # by accelerate launch, by torchrun


def from_first(compute: Callable[[], Result]) -> Result:
    """Compute in the first process alone and give all processes the result, or its ValueError or OSError."""
    from accelerate.utils import broadcast_object_list  # here: it imports torch

    result, failure = None, None
    if is_first_process():
        try:
            result = compute()
        except (ValueError, OSError) as error:
            failure = error
    result, message = broadcast_object_list([result, failure and str(failure)])
    if message is not None:
        raise failure or ValueError(message)
    return result


def leave_processes() -> None:
    """Wait for the first process, which may still be writing, and part: gloo may abort if one ends before another."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()


def num_launched() -> int:
    """
    How many processes were launched, on all nodes, also before they have joined.

    Raises:
        ValueError: `accelerate launch` was asked for several, but its configuration starts one.
    """
    # Of several it tells the one process an address, but not how many there are.
    if {"ACCELERATE_DYNAMO_MODE", "MASTER_PORT"} <= os.environ.keys() and "WORLD_SIZE" not in os.environ:
        raise ValueError(
            "accelerate launch started one process of several, for its configuration is of one; give it --multi_gpu "
            "before --num_processes, or --config_file accelerate_configs/multi_gpu.yaml."
        )
    return int(os.environ.get("WORLD_SIZE", "1"))  # by accelerate launch, torchrun


def share_cores() -> None:
    """Compute on this process's share of the cores that it may use, unless the user has set how many threads."""
    import torch
    from joblib import cpu_count  # knows the affinity mask and the CPU quota of a container

    if not _has_set_threads():
        on_this_node = int(os.environ.get("LOCAL_WORLD_SIZE") or num_launched())
        torch.set_num_threads(max(1, cpu_count() // on_this_node))


def _has_set_threads() -> bool:
    """Whether the user has: accelerate launch and torchrun set OMP_NUM_THREADS, too, where they do not find it."""
    import psutil

    if LAUNCHED.isdisjoint(os.environ):
        return bool(os.environ.get(THREADS))
    try:
        for process in psutil.Process().parents():
            environment = process.environ()  # as it was when the process began
            if LAUNCHED.isdisjoint(environment):  # the launcher itself
                words = (word.replace("-", "_") for word in process.cmdline())
                return bool(environment.get(THREADS)) or any(word.startswith("__num_cpu_threads") for word in words)
    except psutil.Error:  # of another user, or ended
        return os.environ.get(THREADS, "1") != "1"
    return False
