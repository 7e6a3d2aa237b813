"""Positions of latent tokens, and rotary position embedding (RoPE) over one or three axes.

A position is an interval ``[start, end)`` per axis: seconds in time, pixels in space; RoPE looks at its middle. Seconds
are one axis for picture and sound, so that equal times attend to each other across the two streams.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from fastvideo.models.ltx2.cpu_arithmetic import runs_on_cpu_as_is

RopeType = Literal["split", "interleaved"]
ROPE_TYPES: tuple[str, ...] = get_args(RopeType)
FREQUENCY_PRECISIONS = ("float32", "float64")

AUDIO_LATENT_MEL_FRAMES = 4
MEL_FRAMES_PER_S = 100  # 16 kHz, hop 160


class RopeTable(NamedTuple):
    """Rotation of every token and head. Both [B, heads, N, head_dim / 2]; B may be 1 for all samples."""

    cos: Tensor
    sin: Tensor


def video_positions(
    frames: int,
    height: int,
    width: int,
    *,
    fps: float,
    temporal_scale: int = 8,
    spatial_scale: int = 32,
    offset_s: float = 0.0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Intervals float32 [1, 3, frames * height * width, 2] of a latent grid; axes and token order are t, y, x.

    Latent frame 0 holds one picture, each later one ``temporal_scale`` of them. ``offset_s`` moves the clip in time,
    for a soundtrack that starts before the picture.
    """
    if not fps > 0:
        raise ValueError(f"fps must be positive to place frames in seconds, got {fps}")
    edges = [
        _causal_edges(frames, temporal_scale, device) / fps + offset_s,
        torch.arange(height + 1, dtype=torch.float32, device=device) * spatial_scale,
        torch.arange(width + 1, dtype=torch.float32, device=device) * spatial_scale,
    ]
    starts = torch.meshgrid(*(edge[:-1] for edge in edges), indexing="ij")
    ends = torch.meshgrid(*(edge[1:] for edge in edges), indexing="ij")
    return torch.stack([torch.stack(starts), torch.stack(ends)], dim=-1).reshape(1, 3, -1, 2)


def keyframe_positions(
    frames: int,
    height: int,
    width: int,
    *,
    first_frame: int,
    pixel_frames: int,
    fps: float,
    temporal_scale: int = 8,
    spatial_scale: int = 32,
    offset_s: float = 0.0,
    device: torch.device | str | None = None,
) -> Tensor:
    """Intervals float32 [1, 3, frames * height * width, 2] of a latent grid beside a clip's own tokens, from the clip's
    picture ``first_frame`` on: each latent frame covers ``temporal_scale`` pictures, the only one of a single picture
    (``pixel_frames`` is 1) just that one.
    """
    positions = video_positions(
        frames, height, width, fps=fps, temporal_scale=temporal_scale, spatial_scale=spatial_scale, device=device
    )
    starts = torch.arange(frames, dtype=torch.float32, device=device) * temporal_scale + first_frame
    length = 1 if pixel_frames == 1 else temporal_scale
    times = torch.stack([starts, starts + length], dim=-1) / fps + offset_s
    positions[0, 0] = times.repeat_interleave(height * width, dim=0)
    return positions


def audio_positions(length: int, *, device: torch.device | str | None = None) -> Tensor:
    """Intervals float32 [1, 1, length, 2] in seconds: latent 0 holds one mel frame (10 ms), each later one four."""
    edges = _causal_edges(length, AUDIO_LATENT_MEL_FRAMES, device) / MEL_FRAMES_PER_S
    return torch.stack([edges[:-1], edges[1:]], dim=-1).reshape(1, 1, length, 2)


def rope_table(
    middles: Tensor,
    *,
    dim: int,
    heads: int,
    max_positions: Sequence[float],
    theta: float,
    float64_grid: bool,
    dtype: torch.dtype,
) -> RopeTable:
    """Cosines and sines for ``dim`` channels in ``heads`` heads at the points ``middles`` [B, axes, N].

    angle = (2 p / p_max - 1) * (pi / 2) * theta^(j / (n - 1)) with n = dim // (2 axes) frequencies an axis, laid out
    frequency-major and axis-minor over all heads; what n leaves over is padded in front with the identity.
    """
    axes = middles.shape[1]
    if axes != len(max_positions):
        raise ValueError(f"positions have {axes} axes, but there are {len(max_positions)} maximal positions")
    # Powers up to theta lose their last digits in float32, and high frequencies turn that into visible angles.
    grid_dtype = torch.float64 if float64_grid else torch.float32
    exponents = torch.linspace(0.0, 1.0, dim // (2 * axes), dtype=grid_dtype, device=middles.device)
    frequencies = (torch.pow(theta, exponents) * (math.pi / 2)).to(torch.float32)

    extent = torch.tensor(max_positions, dtype=torch.float32, device=middles.device)
    centred = middles.float().transpose(1, 2) / extent * 2 - 1  # [B, N, axes]
    angles = (centred.unsqueeze(2) * frequencies.unsqueeze(1)).flatten(2)  # [B, N, n * axes]
    identity = dim // 2 - angles.shape[-1]
    return RopeTable(
        _per_head(F.pad(angles.cos(), (identity, 0), value=1.0), heads, dtype),
        _per_head(F.pad(angles.sin(), (identity, 0), value=0.0), heads, dtype),
    )


def rotate(x: Tensor, table: RopeTable, rope_type: RopeType) -> Tensor:
    """Rotate channel pairs of x [B, heads, N, head_dim]: (i, i + head_dim/2) if split, (2i, 2i + 1) if interleaved."""
    if rope_type == "split":
        first, second = x.chunk(2, dim=-1)
        if runs_on_cpu_as_is(x):
            out = torch.empty_like(x)
            new_first, new_second = out.chunk(2, dim=-1)
            torch.mul(first, table.cos, out=new_first).addcmul_(second, table.sin, value=-1)
            torch.mul(second, table.cos, out=new_second).addcmul_(first, table.sin)
            return out
        return torch.cat(_rotated(first, second, table), dim=-1)
    first, second = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack(_rotated(first, second, table), dim=-1).flatten(-2)


def _rotated(first: Tensor, second: Tensor, table: RopeTable) -> tuple[Tensor, Tensor]:
    return first * table.cos - second * table.sin, second * table.cos + first * table.sin


def _per_head(values: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    batch, tokens, _ = values.shape
    return values.to(dtype).view(batch, tokens, heads, -1).transpose(1, 2).contiguous()


def _causal_edges(length: int, scale: int, device: torch.device | str | None) -> Tensor:
    """The ``length + 1`` borders of latents of which the first holds one unit and each other one ``scale`` units."""
    edges = torch.arange(length + 1, dtype=torch.float32, device=device) * scale
    return (edges + 1 - scale).clamp(min=0)
