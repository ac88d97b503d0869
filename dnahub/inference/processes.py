"""--shard or the environment of a launcher -> the blocks and the device of this process."""

import os
import re
from dataclasses import dataclass

import torch

from dnahub.machine.faults import first_line
from dnahub.machine.processes import num_launched, share_cores


@dataclass(frozen=True)
class Shard:
    """The share of the blocks that this process computes."""

    index: int  # from 0
    count: int
    joins: bool = True  # writes the output once all blocks are there

    def has(self, block: int) -> bool:
        return block % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


def find_shard(given: str | None) -> Shard:
    """The share of this process: that of --shard, I/N with I from 1 to N; of the launcher; or all."""
    launched = num_launched()
    if given is None:
        return Shard(int(os.environ.get("RANK", "0")), launched)
    match = re.fullmatch(r"(\d+)/(\d+)", given)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shard {given}: give I/N with I from 1 to N, as 1/4 for the first of four.")
    if launched > 1:
        raise ValueError(f"--shard {given} with {launched} launched processes, which share the blocks by themselves.")
    return Shard(int(match[1]) - 1, int(match[2]), joins=False)


def choose_device(name: str | None) -> torch.device:
    """--device, or the best of the machine, of launched processes each its own; or its share of the cores."""
    launched = num_launched()
    if launched > 1 and name not in (None, "cpu"):
        raise ValueError(f"--device {name} with {launched} processes: each uses its own; leave it out, or give cpu.")
    asks_for_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")  # accelerate launch --cpu
    if name is None:
        best = torch.accelerator.current_accelerator(check_available=True)
        name = "cpu" if asks_for_cpu or best is None else best.type
        if name != "cpu" and launched > 1:
            name = f"{name}:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without this kind
        raise ValueError(
            f"--device {name} is not available here ({first_line(error)}); leave it out for the best there is, and "
            "launch no more processes than there are devices."
        ) from error
    device = torch.device(name)
    if device.type == "cpu":
        share_cores()
    return device
