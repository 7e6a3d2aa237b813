"""Timestep modulation (AdaLN-single): shift, scale and gate rows computed once per distinct timestep.

A sequence has few distinct timesteps (the step's sigma, and 0 for tokens that are kept), so rows are computed for those
and looked up by token where they are used. Materialising all rows per token costs gigabytes at full size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.models.ltx2.linear import Linear

TIMESTEP_CHANNELS = 256


class Timesteps(NamedTuple):
    """Distinct timesteps float32 [U], and each token's place among them, int64 [B, N].

    Without a place there is one timestep a sample (U = B), which holds for all its tokens.
    """

    values: Tensor
    place: Tensor | None

    @classmethod
    def per_token(cls, timesteps: Tensor) -> Timesteps:
        """From timesteps [B, N], or [B, 1] where one holds for all tokens. Given for each token, timestep 0 is always
        among the values, so that a clip without kept tokens has the same shapes, and thereby the same compiled graph,
        as one with them."""
        if timesteps.shape[1] == 1:
            return cls.per_sample(timesteps[:, 0])
        flat = torch.cat([timesteps.new_zeros(1), timesteps.flatten()]).float()
        values, place = torch.unique(flat, return_inverse=True)
        return cls(values, place[1:].view(timesteps.shape))

    @classmethod
    def per_sample(cls, sigma: Tensor) -> Timesteps:
        """From one timestep a sample [B]."""
        return cls(sigma.float(), None)


class Modulation(NamedTuple):
    """Modulation rows [U, k, dim] of distinct timesteps, and each token's place among them (see ``Timesteps``)."""

    rows: Tensor
    place: Tensor | None

    def select(self, table: Tensor, start: int, stop: int) -> tuple[Tensor, ...]:
        """Rows ``start`` to ``stop`` plus the same rows of a block's ``table`` [k, dim].

        Each is [B, N, dim], or [B, 1, dim] without a place.
        """
        rows = self.rows[:, start:stop] + table[start:stop].to(self.rows.dtype)
        if self.place is None:
            return tuple(row.unsqueeze(1) for row in rows.unbind(1))
        return tuple(row[self.place] for row in rows.unbind(1))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x * (1 + scale) + shift."""
    return torch.addcmul(shift, x, 1 + scale)


def gated(x: Tensor, gate: Tensor, update: Tensor) -> Tensor:
    """x + gate * update."""
    return torch.addcmul(x, gate, update)


def timestep_channels(timesteps: Tensor) -> Tensor:
    """Sinusoids float32 [U, 256] of timesteps [U] in 0..1000: cosines first, wave lengths up to 2 pi * 10000."""
    half = TIMESTEP_CHANNELS // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    angles = timesteps.float().unsqueeze(-1) * torch.exp(-math.log(10000.0) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class AdaLayerNormSingle(nn.Module):
    """Embeds timesteps and projects them to ``count`` modulation rows.

    Tensors: emb.timestep_embedder.linear_1, emb.timestep_embedder.linear_2, linear.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.emb = _TimestepEmbedding(dim)
        self.linear = Linear(dim, count * dim)

    def forward(self, timesteps: Timesteps, multiplier: float) -> tuple[Modulation, Tensor]:
        """Rows of ``timesteps`` times ``multiplier``, and the embedding [U, dim] before the projection to rows."""
        embedded = self.emb(timesteps.values * multiplier)
        rows = self.linear(F.silu(embedded)).view(embedded.shape[0], self.count, -1)
        return Modulation(rows, timesteps.place), embedded


class _TimestepEmbedding(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.timestep_embedder = _TimestepMlp(dim)

    def forward(self, timesteps: Tensor) -> Tensor:
        out: Tensor = self.timestep_embedder(timestep_channels(timesteps))
        return out


class _TimestepMlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_1 = Linear(TIMESTEP_CHANNELS, dim)
        self.linear_2 = Linear(dim, dim)

    def forward(self, channels: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.silu(self.linear_1(channels.to(self.linear_1.weight.dtype))))
        return out
