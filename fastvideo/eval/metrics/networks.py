"""Where networks run."""

from __future__ import annotations

import torch


def usable_device(device: str) -> torch.device:
    """The device of that name, or the CPU where it is CUDA and there is none."""
    wanted = torch.device(device)
    return torch.device("cpu") if wanted.type == "cuda" and not torch.cuda.is_available() else wanted
