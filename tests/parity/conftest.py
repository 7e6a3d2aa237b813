"""What parity tests share: small random weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

Randomise = Callable[[nn.Module, int], None]


@pytest.fixture
def randomise() -> Randomise:
    """Fills every parameter from a seed, such that no term of the arithmetic is zero, one, or drowned by the others."""

    def fill(module: nn.Module, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                if name.endswith("norm.weight"):
                    parameter.copy_(1 + 0.2 * noise)
                elif name.endswith(".weight"):
                    parameter.copy_(noise / math.sqrt(parameter[0].numel()))
                else:
                    parameter.copy_(0.3 * noise)

    return fill
