"""Model -> the same model that, while it is trained, sees some tokens of each batch as <mask>."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def mask_in_training(model: nn.Module, fraction: float, mask_id: int, special_ids: Sequence[int]) -> None:
    """
    Replace a fraction of the tokens, other than special ones, at random in each forward pass of training mode.

    Like dropout, it keeps a model from memorising sequences; evaluations see all tokens, and what is saved does not
    depend on it. The draws come from torch's generator: they go on in a resumed run, and each process has its own.
    """

    def mask(module: nn.Module, arguments: tuple, inputs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        if not module.training:
            return arguments, inputs
        ids = inputs["input_ids"]  # (batch, tokens)
        special = torch.isin(ids, torch.tensor(special_ids, device=ids.device))
        drawn = (torch.rand(ids.shape, device=ids.device) < fraction) & ~special
        return arguments, inputs | {"input_ids": ids.masked_fill(drawn, mask_id)}

    model.register_forward_pre_hook(mask, with_kwargs=True)
