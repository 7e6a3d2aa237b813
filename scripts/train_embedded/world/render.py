"""Draws a segment: anti-aliased shapes from their distance functions, only where they are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.world.scene import Backdrop, Pattern
from fastvideo.eval.world.shapes import distance
from scripts.train_embedded.world.segment import Actor, Segment

Pixels = NDArray[np.uint8]

_CELLS = 8  # of a texture, across the frame


def render(segment: Segment, size_px: int, first: int = 0, count: int | None = None) -> Pixels:
    """Frames [T, size_px, size_px, 3], RGB, of the segment: all, or ``count`` of them from its frame ``first`` on.

    Raises ValueError unless size_px is a multiple of 8.
    """
    if size_px % _CELLS:
        raise ValueError(f"expected a multiple of {_CELLS} px, got {size_px}")
    times_s = segment.frame_times_s[first : None if count is None else first + count]
    arrived = segment.arrival(times_s)
    frames = np.empty((times_s.size, size_px, size_px, 3), np.uint8)
    _fill(frames, segment, size_px, arrived)
    entering = arrived if segment.leaving else np.ones_like(arrived)
    for actors, opacity in ((segment.leaving, 1 - arrived), (segment.actors, entering)):
        for actor in actors:
            track = actor.trajectory.at(times_s)
            old, new = (np.array(thing.colour.rgb, np.float32) for thing in (actor.before, actor.thing))
            for index in np.flatnonzero(opacity > 0):
                share = float(arrived[index])
                x, y, radius, turns = (float(v[index]) for v in (track.x, track.y, track.radius, track.turns))
                _stamp(
                    frames[index], actor, x, y, radius, turns, share, old + (new - old) * share, float(opacity[index])
                )
    return frames


def backdrop_pixels(backdrop: Backdrop, size_px: int) -> NDArray[np.float32]:
    """The backdrop alone, [size_px, size_px, 3] in 0..255."""
    cells = np.arange(size_px) * _CELLS // size_px
    match backdrop.pattern:
        case Pattern.PLAIN:
            share = np.zeros((size_px, size_px), np.float32)
        case Pattern.GRADIENT:
            share = np.broadcast_to(np.linspace(0, 1, size_px, dtype=np.float32)[:, None], (size_px, size_px))
        case Pattern.STRIPES:
            share = np.broadcast_to((cells % 2).astype(np.float32), (size_px, size_px))
        case Pattern.CHECKS:
            share = ((cells[:, None] + cells) % 2).astype(np.float32)
    light, dark = np.array(backdrop.colour.rgb, np.float32), np.array(backdrop.colour.shade, np.float32)
    picture: NDArray[np.float32] = light + share[..., None] * (dark - light)
    return picture


def _fill(frames: Pixels, segment: Segment, size_px: int, arrived: NDArray[np.float64]) -> None:
    new = backdrop_pixels(segment.scene.backdrop, size_px)
    changing = int(np.count_nonzero(arrived < 1)) if segment.backdrop_before != segment.scene.backdrop else 0
    frames[changing:] = np.rint(new).astype(np.uint8)
    if changing:
        old = backdrop_pixels(segment.backdrop_before, size_px)
        for index in range(changing):
            frames[index] = np.rint(old + np.float32(arrived[index]) * (new - old)).astype(np.uint8)


def _stamp(
    frame: Pixels,
    actor: Actor,
    x: float,
    y: float,
    radius: float,
    turns: float,
    arrived: float,
    colour: NDArray[np.float32],
    opacity: float,
) -> None:
    size_px = frame.shape[0]
    left, top = (max(0, math.floor((centre - radius) * size_px) - 1) for centre in (x, y))
    right, bottom = (min(size_px, math.ceil((centre + radius) * size_px) + 1) for centre in (x, y))
    if left >= right or top >= bottom:
        return
    across = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x * size_px))[None, :]
    along = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - y * size_px))[:, None]
    cos, sin = np.float32(math.cos(2 * math.pi * turns)), np.float32(math.sin(2 * math.pi * turns))
    own_x, own_y = cos * across + sin * along, cos * along - sin * across
    outline = distance(actor.thing.kind, own_x, own_y, radius * size_px)
    if arrived < 1 and actor.before.kind is not actor.thing.kind:
        before = distance(actor.before.kind, own_x, own_y, radius * size_px)
        outline = before + np.float32(arrived) * (outline - before)
    coverage = np.float32(opacity) * np.clip(np.float32(0.5) - outline, 0, 1)[..., None]
    patch = frame[top:bottom, left:right]
    patch[:] = np.rint(patch + coverage * (colour - patch)).astype(np.uint8)
