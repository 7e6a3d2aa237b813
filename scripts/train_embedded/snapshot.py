"""A training run on disk: weights, their running average and the optimiser's moments in one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_snapshot(
    path: Path, step: int, model: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.AdamW, plan: str
) -> None:
    """Writes the state after ``step`` steps, whole or not at all. ``plan`` describes the run it belongs to."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in model.named_parameters():
        state = optimiser.state[parameter]
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS}
    write_tensors(path, tensors, {"step": str(step), "plan": plan})


def load_snapshot(
    path: Path, model: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.AdamW, plan: str
) -> int:
    """Restores what :func:`save_snapshot` wrote and returns the step; raises ValueError for another plan's file."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if metadata["plan"] != plan:
            raise ValueError(
                f"{path} is of another run ({metadata['plan']}), expected ({plan}); take the same settings to go on "
                "with it, or another folder to begin anew"
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    step = int(metadata["step"])
    model.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    for name, tensor in average.items():
        tensor.copy_(tensors[f"average.{name}"])
    for name, parameter in model.named_parameters():
        optimiser.state[parameter] = {
            "step": torch.tensor(float(step)),
            **{moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in _MOMENTS},
        }
    return step


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part, metadata)
    os.replace(part, path)
