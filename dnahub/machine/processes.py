"""The environment of a launcher -> which process this is, of how many, and its share of the cores."""

import os
from collections.abc import Callable
from typing import TypeVar

from dnahub.machine.script import is_first_process

Result = TypeVar("Result")


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


def share_cores(num_processes: int) -> None:
    """Compute on this process's share of the cores that it may use, unless the user has set OMP_NUM_THREADS."""
    import torch
    from joblib import cpu_count  # knows the affinity mask and the CPU quota of a container

    # `accelerate launch` and torchrun set it to 1 where it is not set.
    launched = any(name in os.environ for name in ("ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID"))
    given = os.environ.get("OMP_NUM_THREADS")
    if given is None or (launched and given == "1"):
        torch.set_num_threads(max(1, cpu_count() // num_processes))
