"""What parity tests share: small random weights, and diffusers' names for them."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

Randomise = Callable[[nn.Module, int], None]


@pytest.fixture(scope="session")
def diffusers_names() -> ModuleType:
    """The module ``diffusers_names.py`` beside this file (importmode=importlib knows no sibling imports)."""
    path = Path(__file__).with_name("diffusers_names.py")
    spec = importlib.util.spec_from_file_location("parity_diffusers_names", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
