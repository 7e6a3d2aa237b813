"""Where a CPU computes otherwise than the formula is written, so that less goes through memory."""

from __future__ import annotations

import torch
from torch import Tensor


def infers_on_cpu(x: Tensor) -> bool:
    """Whether what follows ``x`` runs on a CPU in float32 and without gradients."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()


def runs_on_cpu_as_is(x: Tensor) -> bool:
    """Whether, beyond that, it runs operation by operation, which no compiler joins.

    A large result then costs more than its arithmetic, because the memory for it is new: what can be written over what
    is there already, should be. A GPU has fused kernels.
    """
    return infers_on_cpu(x) and not torch.compiler.is_compiling()
