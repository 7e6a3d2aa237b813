"""Modules that compute in float32 whatever the model around them does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class Float32Module(nn.Module):
    """Keeps its parameters and buffers, and those of its children, in float32.

    A cast of the model around it moves it to another device only, and a checkpoint of lower precision is widened
    when it is loaded. Subclasses put their ``forward`` under ``without_autocast``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(_widen)  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Every Module.to, .half and .cuda comes through here, with the conversion of one tensor.
        def keep_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if not moved.is_floating_point() or moved.dtype == torch.float32:
                return moved
            return tensor.to(device=moved.device, dtype=torch.float32)

        super()._apply(keep_float32, recurse)  # type: ignore[no-untyped-call]
        return self


def without_autocast(device: torch.device) -> torch.autocast:
    """A context in which ``device`` computes in the dtypes that tensors have."""
    return torch.autocast(device.type, enabled=False)


def _widen(module: nn.Module, _incompatible_keys: object) -> None:
    # Loading with assign=True takes the tensors of a bfloat16 file as they are.
    module.float()
