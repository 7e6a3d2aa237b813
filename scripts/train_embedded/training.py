"""The loop that every stage runs: AdamW with warm-up and decay, a running average, progress, snapshots, resuming."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scripts.train_embedded.snapshot import load_snapshot, save_snapshot

_BETAS = (0.9, 0.99)
_LARGEST_GRADIENT = 1.0
_AVERAGE_HALF_LIFE_SHARE = 0.02


@dataclass(frozen=True)
class Plan:
    """How a run goes. Rates rise over ``warmup_steps`` and fall to nothing over the rest (half a cosine)."""

    name: str
    steps: int
    learning_rate: float
    seed: int = 0
    warmup_steps: int = 50
    report_every_steps: int = 50
    snapshot_every_steps: int = 500

    def rate_at(self, step: int) -> float:
        """Learning rate of the step, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class Team:
    """Processes that train one model together, a share of each batch each: two of one thread are faster than two
    threads. ``torch.distributed.run --nproc-per-node N`` starts them."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> Team:
        """The team that the environment speaks of; alone where it speaks of none."""
        if "RANK" not in os.environ:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def share_gradients(self, model: nn.Module) -> None:
        """Replaces each gradient by its mean over the team."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, mean in zip(gradients, (flat / self.size).split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def train(
    model: nn.Module,
    losses_at: Callable[[int], dict[str, Tensor]],
    plan: Plan,
    folder: Path,
    *,
    stop_at: int | None = None,
    report: Callable[[str], None] = print,
    team: Team | None = None,
) -> dict[str, Tensor]:
    """Runs ``plan`` from its last snapshot in ``folder``, or from the start; returns the averaged state of the model.

    ``losses_at(step)`` gives named scalars, of which "loss" is minimised and all are reported; it must depend on
    nothing but the step and the model, so that a resumed run is the same as an uninterrupted one. ``stop_at`` ends
    the run there with a snapshot. In a ``team`` each process computes its own losses, and all take the same step.
    """
    team = team or Team()
    optimiser = torch.optim.AdamW(model.parameters(), betas=_BETAS, weight_decay=0.0, fused=True)
    average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    path, description = folder / f"{plan.name}.snapshot.safetensors", repr(plan)
    step = load_snapshot(path, model, average, optimiser, description) if path.exists() else 0
    if step:
        report(f"{plan.name}: goes on from step {step}")
    keep = 0.5 ** (1 / max(1.0, _AVERAGE_HALF_LIFE_SHARE * plan.steps))
    began_s, began_step = time.monotonic(), step
    last = plan.steps if stop_at is None else min(stop_at, plan.steps)
    while step < last:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        losses = losses_at(step)
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        team.share_gradients(model)
        norm = nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        with torch.no_grad():
            # At the start the average follows at once: it would else be the random weights for long.
            share = min(keep, (step + 1) / (step + 10))
            state = model.state_dict()
            torch._foreach_lerp_([average[name] for name in state], list(state.values()), 1 - share)
        step += 1
        if team.rank == 0 and (step % plan.report_every_steps == 0 or step == last):
            rate = (step - began_step) / (time.monotonic() - began_s)
            shown = "  ".join(f"{name} {float(value.detach()):.4g}" for name, value in losses.items())
            report(
                f"{plan.name}: {step}/{plan.steps}  {shown}  gradient {float(norm):.3g}  "
                f"{rate:.2f} steps/s  {(plan.steps - step) / rate:.0f} s left"
            )
        if team.rank == 0 and (step % plan.snapshot_every_steps == 0 or step == last):
            save_snapshot(path, step, model, average, optimiser, description)
    return average


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies in it, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
