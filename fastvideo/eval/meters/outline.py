"""What shape a mask has, and how it is turned, from its outline around its centre."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.meters.sight import Mask
from fastvideo.eval.world.scene import Kind
from fastvideo.eval.world.shapes import distance

Floats = NDArray[np.float64]

_ANGLES = 64
_RADII = 48
_HARMONICS = 8
_REACH = 2.4  # of the polar grid, in radii of a disc of the same area
_CENTRE_WEIGHT = 0.5


@dataclass(frozen=True)
class Outline:
    """Centre (in px), area (in px) and polar profile of a mask in each frame.

    ``profile`` [T, angles]: filled length of the ray at each angle, in radii of a disc of the same area, clockwise
    from the right. ``centre_fill`` [T]: how much of the middle is filled. NaN where a frame shows nothing.
    """

    x: Floats
    y: Floats
    area: Floats
    profile: Floats
    centre_fill: Floats

    def features(self) -> Floats:
        """What tells the kinds apart whatever their size and rotation: [T, features]."""
        spectrum = np.abs(np.fft.rfft(self.profile, axis=1))[:, : _HARMONICS + 1]
        return np.column_stack((spectrum[:, 1:] / spectrum[:, :1], _CENTRE_WEIGHT * self.centre_fill))


def trace(mask: Mask) -> Outline:
    """Outline of each frame's part of ``mask`` [T, H, W]; what lies far from its bulk is left out."""
    frames, height, width = mask.shape
    places = np.arange(max(height, width)) + 0.5
    rows, columns = mask.sum(axis=2).astype(float), mask.sum(axis=1).astype(float)
    area = rows.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (columns @ places[:width]) / area, (rows @ places[:height]) / area
    profile, centre = np.full((frames, _ANGLES), np.nan), np.full(frames, np.nan)
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    radii = (np.arange(_RADII) + 0.5) * (_REACH / _RADII)
    for index in np.flatnonzero(area >= 4):
        x[index], y[index], area[index] = _bulk(mask[index], x[index], y[index], area[index])
        unit = np.sqrt(area[index] / np.pi)
        ray_x = np.floor(x[index] + unit * radii * np.cos(angles)[:, None]).astype(int)
        ray_y = np.floor(y[index] + unit * radii * np.sin(angles)[:, None]).astype(int)
        inside = (ray_x >= 0) & (ray_x < width) & (ray_y >= 0) & (ray_y < height)
        filled = mask[index, np.clip(ray_y, 0, height - 1), np.clip(ray_x, 0, width - 1)] & inside
        profile[index] = filled.sum(axis=1) * (_REACH / _RADII)
        centre[index] = filled[:, radii < 0.35].mean()
    return Outline(x, y, area, profile, centre)


def kind_of(outline: Outline) -> Kind | None:
    """The kind whose features are nearest to the median over the frames; None when no frame shows anything."""
    features = outline.features()
    seen = features[np.isfinite(features).all(axis=1)]
    if not len(seen):
        return None
    middle = np.median(seen, axis=0)
    return min(Kind, key=lambda kind: float(((_features_of(kind) - middle) ** 2).sum()))


def radius_px(outline: Outline, kind: Kind) -> Floats:
    """Outer radius in each frame, from the area, [T]."""
    radius: Floats = np.sqrt(outline.area / _area_of(kind))
    return radius


def rotation_turns(outline: Outline, kind: Kind) -> Floats:
    """Rotation in turns, unwrapped over the frames [T]; zeros for a round kind, NaN frames bridged.

    Frames must follow closely: between two, it may turn by less than half the angle between two corners.
    """
    fold = {Kind.TRIANGLE: 3, Kind.SQUARE: 4, Kind.STAR: 5}.get(kind)
    seen = np.flatnonzero(np.isfinite(outline.profile).all(axis=1))
    if fold is None or not seen.size:
        return np.zeros(len(outline.profile))
    wave = outline.profile[seen] @ np.exp(-1j * fold * np.arange(_ANGLES) * (2 * np.pi / _ANGLES))
    turns = -np.unwrap(np.angle(wave)) / (2 * np.pi * fold)
    turned: Floats = np.interp(np.arange(len(outline.profile)), seen, turns)
    return turned


def _bulk(mask: Mask, x: float, y: float, area: float) -> tuple[float, float, float]:
    """Centre and area without the pixels that are further from the median place than any shape reaches."""
    down, right = np.nonzero(mask)
    near = np.hypot(right - np.median(right), down - np.median(down)) < _REACH * np.sqrt(area / np.pi)
    if near.all() or not near.any():
        return x, y, area
    return float(right[near].mean() + 0.5), float(down[near].mean() + 0.5), float(near.sum())


@cache
def _features_of(kind: Kind) -> Floats:
    middle: Floats = np.median(trace(_drawn(kind)).features(), axis=0)
    return middle


@cache
def _area_of(kind: Kind) -> float:
    return float(_drawn(kind).sum(axis=(1, 2)).mean() / 40.0**2)


def _drawn(kind: Kind) -> Mask:
    """The kind at a radius of 40 px in three rotations."""
    line = np.arange(-64, 64, dtype=np.float32) + np.float32(0.5)
    x, y = np.meshgrid(line, line)
    pictures = []
    for turns in (0.0, 0.04, 0.11):
        cos, sin = np.float32(np.cos(2 * np.pi * turns)), np.float32(np.sin(2 * np.pi * turns))
        pictures.append(distance(kind, cos * x + sin * y, cos * y - sin * x, 40.0) < 0)
    return np.stack(pictures)
