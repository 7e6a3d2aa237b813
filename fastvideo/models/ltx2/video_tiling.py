"""Decoding a clip in overlapped temporal tiles, so that its first frames are ready before the last are decoded.

The decoder looks both ways in time, but what a latent contributes fades within a few latents; neighbouring tiles
therefore overlap, and their frames are cross-faded there.
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
    """Latents [latent_start, latent_stop) to decode, and the frames [frame_start, frame_stop) of the clip they give.

    ``skipped_frames`` are decoded ahead of ``frame_start`` and carry no weight; ``weights`` has one value per frame.
    """

    latent_start: int
    latent_stop: int
    frame_start: int
    frame_stop: int
    skipped_frames: int
    weights: tuple[float, ...]


def plan_tiles(
    latent_frames: int, *, temporal_scale: int, tile_latents: int, overlap_latents: int
) -> tuple[TemporalTile, ...]:
    """Cover ``latent_frames`` with tiles of ``tile_latents``, each sharing ``overlap_latents`` with the one before.

    A decoder turns the first latent it sees into a single frame. So every tile but the first begins one latent earlier,
    and drops the frame which that latent becomes. Over an overlap the weights rise and fall linearly (trapezoids); they
    sum to 1 in every frame. Raises ValueError for empty clips and for overlaps not in 0..tile_latents - 1.
    """
    if latent_frames < 1:
        raise ValueError(f"expected at least one latent frame, got {latent_frames}")
    if not 0 <= overlap_latents < tile_latents:
        raise ValueError(
            f"expected 0 <= overlap_latents < tile_latents, "
            f"got an overlap of {overlap_latents} in tiles of {tile_latents}"
        )
    spans = []
    start = 0
    while True:
        stop = min(start + tile_latents, latent_frames)
        spans.append((start, stop))
        if stop == latent_frames:
            break
        start += tile_latents - overlap_latents
    frames = [(_first_frame(start, temporal_scale), _first_frame(stop, temporal_scale)) for start, stop in spans]
    ramp_frames = overlap_latents * temporal_scale + 1
    raw = []
    for index, (first, last) in enumerate(frames):
        left = ramp_frames if index == 0 else 1
        right = ramp_frames if index == len(frames) - 1 else 1
        count = last - first
        raw.append([min(left + i, right + count - 1 - i, ramp_frames) for i in range(count)])
    totals = [0] * frames[-1][1]
    for (first, _), weights in zip(frames, raw, strict=True):
        for i, weight in enumerate(weights):
            totals[first + i] += weight
    return tuple(
        TemporalTile(
            latent_start=max(start - 1, 0),
            latent_stop=stop,
            frame_start=first,
            frame_stop=last,
            skipped_frames=1 if start else 0,
            weights=tuple(weight / totals[first + i] for i, weight in enumerate(weights)),
        )
        for (start, stop), (first, last), weights in zip(spans, frames, raw, strict=True)
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
    tiles = plan_tiles(
        latents.shape[2],
        temporal_scale=vae.temporal_scale,
        tile_latents=tile_latents,
        overlap_latents=overlap_latents,
    )
    carried: Tensor | None = None
    for index, tile in enumerate(tiles):
        if cancel is not None:
            cancel.raise_if_cancelled()
        final_frame = tiles[index + 1].frame_start if index + 1 < len(tiles) else tile.frame_stop
        with torch.no_grad():
            frames = vae.decode(latents[:, :, tile.latent_start : tile.latent_stop], causal=causal)
            frames = frames[:, :, tile.skipped_frames :]
            _weigh(frames, tile.weights)
            if carried is not None:
                frames[:, :, : carried.shape[2]] += carried
        ready = final_frame - tile.frame_start
        carried = frames[:, :, ready:]
        yield frames[:, :, :ready]


def _first_frame(latent: int, temporal_scale: int) -> int:
    """The first frame that ``latent`` stands for: latent 0 is one frame, each later one ``temporal_scale`` frames."""
    return 0 if latent == 0 else 1 + (latent - 1) * temporal_scale


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
