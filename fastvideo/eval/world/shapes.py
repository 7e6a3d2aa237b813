"""What the world's shapes are: their outlines as distance functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.world.scene import Kind

Plane = NDArray[np.float32]

_RING_HOLE = 0.55
# Regular polygons and stars: fold count, and the radius midway between two outer corners.
_FOLDS: dict[Kind, tuple[int, float]] = {
    Kind.TRIANGLE: (3, 0.5),
    Kind.SQUARE: (4, math.cos(math.pi / 4)),
    Kind.STAR: (5, 0.5),
}


def distance(kind: Kind, x: Plane, y: Plane, radius: float) -> Plane:
    """Distance to the outline of a shape at the origin, negative inside; exact along its edges.

    An upright polygon or star has a corner at the top, a square its side.
    """
    if kind is Kind.BALL:
        return np.hypot(x, y) - np.float32(radius)
    if kind is Kind.RING:
        middle, half = radius * (1 + _RING_HOLE) / 2, radius * (1 - _RING_HOLE) / 2
        return np.abs(np.hypot(x, y) - np.float32(middle)) - np.float32(half)
    fold, inner = _FOLDS[kind]
    wedge = 2 * math.pi / fold
    corner = math.pi / 4 if kind is Kind.SQUARE else -math.pi / 2
    angle = np.abs(
        (np.arctan2(y, x) - np.float32(corner) + np.float32(wedge / 2)) % np.float32(wedge) - np.float32(wedge / 2)
    )
    length = np.hypot(x, y)
    # Within half a wedge the outline is one line, from (radius, 0) to the inner point.
    end_x, end_y = inner * radius * math.cos(wedge / 2), inner * radius * math.sin(wedge / 2)
    run_x, run_y = end_x - radius, end_y
    norm = math.hypot(run_x, run_y)
    outward_x, outward_y = run_y / norm, -run_x / norm
    folded: Plane = (length * np.cos(angle) - np.float32(radius)) * np.float32(outward_x)
    folded += length * np.sin(angle) * np.float32(outward_y)
    return folded
