"""What a launcher started -> this process's number, its device and threads, and where all of them meet."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from dnahub.inference.threads import Ahead
from dnahub.machine.faults import first_line
from dnahub.machine.processes import num_launched, share_cores

Value = TypeVar("Value")

# One may be done long before another: on a faster machine, or with the shorter sequences. Less than 2^31 ms. As long
# they wait at the start for a node that never comes, for torch has one timeout for both.
PATIENCE = timedelta(days=20)


@dataclass(frozen=True)
class Processes:
    """
    This process among those that share the work.

    Args:
        index: Which process this is, from 0.
        count: How many there are, on all nodes.
        device: What this one computes on.
    """

    index: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.index == 0

    def meet(self) -> None:
        """
        Wait until all are here.

        Raises:
            ValueError: If one of them ended.
        """
        if self.count > 1:
            _with_others(PartialState().wait_for_everyone)

    def from_first(self, value: Value) -> Value:
        """
        What the first process gives, in all of them.

        Raises:
            ValueError: If one of them ended.
        """
        return _with_others(lambda: broadcast_object_list([value])[0]) if self.count > 1 else value

    def part(self) -> None:
        """Leave the others; else gloo may abort when one process ends before another."""
        PartialState().destroy_process_group()


def join_processes(device: str | None) -> Processes:
    """
    Find the others, and share the machine with them.

    Args:
        device: The only one; None for the machine's best, or this process's own.

    Raises:
        ValueError: If there is no such device, or not one for each process.
    """
    if device is not None:
        check_device(device)
    launched = num_launched()
    if launched > 1 and device not in (None, "cpu"):
        raise ValueError(
            f"--device {device} with {launched} processes: each takes a device of its own; leave it out, or give cpu."
        )
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    options = {"timeout": PATIENCE} if "LOCAL_RANK" in os.environ else {}
    if options and torch.cuda.is_available() and not on_cpu:
        options["backend"] = "gloo"  # they only meet, and nccl would keep each GPU busy with waiting
    state = PartialState(cpu=on_cpu, **options)
    if state.num_processes != launched:
        raise ValueError(
            f"{launched} processes were launched, but {state.num_processes} joined; give --device cpu to share the "
            "work among CPU processes, or launch one."
        )
    chosen = torch.device(device) if device is not None else state.device
    if chosen.type == "cpu" and "LOCAL_RANK" in os.environ:
        share_cores(int(os.environ.get("LOCAL_WORLD_SIZE", launched)))
    return Processes(state.process_index, state.num_processes, chosen)


def check_device(name: str) -> None:
    """
    See that something can be computed on a device.

    Raises:
        ValueError: If torch has no such device here.
    """
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch is built without this kind
        raise ValueError(
            f"--device {name} is not on this machine ({first_line(error)}); leave it out for the best."
        ) from error


def _with_others(call: Callable[[], Value]) -> Value:
    """
    Wait for the others. The call does so in C++, where Python serves no signal; so it is made in a thread.

    Raises:
        ValueError: If one of them ended.
    """
    try:
        with Ahead((call() for _ in range(1)), size=1) as ahead:
            (result,) = ahead
    except RuntimeError as error:
        raise ValueError(
            "Another of the processes has ended, so this one ends, too; the same command goes on with what is missing."
        ) from error
    return result
