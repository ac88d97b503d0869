"""The environment of a launcher -> which process this is, of how many, and its share of the cores."""

import os
import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

Result = TypeVar("Result")


def is_first_process() -> bool:
    """Whether this is the first of the launched processes, also before they have joined."""
    return os.environ.get("RANK", "0") == "0"


def from_first(compute: Callable[[], Result]) -> Result:
    """Compute in the first process alone and give all processes the result, or its ValueError or OSError."""
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
    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()


def num_launched() -> int:
    """How many processes were launched, on all nodes, also before they have joined."""
    return int(os.environ.get("WORLD_SIZE", "1"))  # by accelerate launch, torchrun


def share_cores(num_processes: int) -> None:
    """
    Compute on this process's share of the cores: accelerate launch leaves one to each, unless told otherwise.

    Args:
        num_processes: How many share them.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    torch.set_num_threads(max(1, cores // num_processes))
