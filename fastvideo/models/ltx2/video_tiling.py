"""Decoding a clip in overlapped temporal tiles, so that its first frames are ready before the last are decoded.

The decoder looks both ways in time. Most of that reach lies in its head, at the lowest frame rates, where a whole clip
costs little: the head therefore runs once over the clip, and only the tail is tiled. Neighbouring tiles overlap, and
their frames are cross-faded there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo.api.cancellation import CancellationToken
from fastvideo.models.ltx2.video_vae import VideoVAE


@dataclass(frozen=True)
class TemporalTile:
    """Inputs [start, stop) to decode, and the frames [frame_start, frame_stop) of the clip that they give.

    ``skipped_frames`` come out ahead of ``frame_start`` and carry no weight; ``weights`` has one value per frame.
    """

    start: int
    stop: int
    frame_start: int
    frame_stop: int
    skipped_frames: int
    weights: tuple[float, ...]


def plan_tiles(length: int, *, temporal_scale: int, tile: int, overlap: int) -> tuple[TemporalTile, ...]:
    """Cover ``length`` inputs with tiles of ``tile``, each sharing ``overlap`` inputs with the one before.

    Input 0 stands for one frame, each later one for ``temporal_scale`` frames, and a decoder takes the first input it
    sees for input 0. So every tile but the first begins one input earlier, and drops the frame which that one becomes.
    Over an overlap the weights rise and fall linearly (trapezoids); they sum to 1 in every frame.
    Raises ValueError for an empty clip, and for an overlap not in 0..tile - 1.
    """
    if length < 1:
        raise ValueError(f"expected at least one latent frame, got {length}")
    if not 0 <= overlap < tile:
        raise ValueError(f"expected 0 <= overlap < tile, got an overlap of {overlap} in tiles of {tile}")
    spans = []
    start = 0
    while True:
        stop = min(start + tile, length)
        spans.append((start, stop))
        if stop == length:
            break
        start += tile - overlap
    frames = [(_first_frame(start, temporal_scale), _first_frame(stop, temporal_scale)) for start, stop in spans]
    plateau = overlap * temporal_scale + 1
    heights = []
    for index, (first, end) in enumerate(frames):
        left = plateau if index == 0 else 1
        right = plateau if index == len(frames) - 1 else 1
        count = end - first
        heights.append([min(left + i, right + count - 1 - i, plateau) for i in range(count)])
    totals = [0] * frames[-1][1]
    for (first, _), trapezoid in zip(frames, heights, strict=True):
        for i, height in enumerate(trapezoid):
            totals[first + i] += height
    return tuple(
        TemporalTile(
            start=max(start - 1, 0),
            stop=stop,
            frame_start=first,
            frame_stop=end,
            skipped_frames=1 if start else 0,
            weights=tuple(height / totals[first + i] for i, height in enumerate(trapezoid)),
        )
        for (start, stop), (first, end), trapezoid in zip(spans, frames, heights, strict=True)
    )


def decode_chunks(
    vae: VideoVAE,
    latents: Tensor,
    *,
    tile_latents: int = 8,
    overlap_latents: int = 3,
    causal: bool | None = None,
    cancel: CancellationToken | None = None,
) -> Iterator[Tensor]:
    """Decode normalised latents [B, C, F', H', W'] tile by tile; yields pixels [B, 3, f, H, W], in order.

    A chunk holds every frame that no later tile changes, so all but the overlap leave at once. Their number adds up to
    what ``vae.decode`` returns, and with one tile so do the values. Gradients are not recorded.
    Raises GenerationCancelled before the next tile once ``cancel`` is set.
    """
    rate = vae.head_temporal_scale
    tiles = plan_tiles(
        1 + (latents.shape[2] - 1) * rate,
        temporal_scale=vae.temporal_scale // rate,
        tile=tile_latents * rate,
        overlap=overlap_latents * rate,
    )
    if cancel is not None:
        cancel.raise_if_cancelled()
    with torch.no_grad():
        features = vae.decode_head(latents, causal=causal)
    carried: Tensor | None = None
    for index, tile in enumerate(tiles):
        if cancel is not None:
            cancel.raise_if_cancelled()
        final_frame = tiles[index + 1].frame_start if index + 1 < len(tiles) else tile.frame_stop
        with torch.no_grad():
            frames = vae.decode_tail(features[:, :, tile.start : tile.stop], causal=causal)[:, :, tile.skipped_frames :]
            _weigh(frames, tile.weights)
            if carried is not None:
                frames[:, :, : carried.shape[2]] += carried
        ready = final_frame - tile.frame_start
        carried = frames[:, :, ready:]
        yield frames[:, :, :ready]


def _first_frame(position: int, temporal_scale: int) -> int:
    """The first frame that the input at ``position`` stands for."""
    return 0 if position == 0 else 1 + (position - 1) * temporal_scale


def _weigh(frames: Tensor, weights: tuple[float, ...]) -> None:
    """Multiply, in place, only those ends of ``frames`` [B, C, F, H, W] where the weight is not 1."""
    count = len(weights)
    rise = next((i for i, weight in enumerate(weights) if weight == 1.0), count)
    fall = next((i for i in range(count, rise, -1) if weights[i - 1] == 1.0), rise)
    factors = torch.tensor(weights, dtype=frames.dtype, device=frames.device).view(-1, 1, 1)
    if rise > 0:
        frames[:, :, :rise] *= factors[:rise]
    if fall < count:
        frames[:, :, fall:] *= factors[fall:]
