"""What a tracked thing does: one of the world's motions, from its path, size and rotation."""

from __future__ import annotations

import math

import numpy as np

from fastvideo.eval.meters.track import Track
from fastvideo.eval.world.scene import Motion

_MOVES = 0.08  # frame heights
_GROWS = 1.2
_SPINS_TURNS = 0.08
_JITTER = 0.02


def motion_of(track: Track) -> Motion | None:
    """The motion over a whole segment; None when the thing is not seen in two frames.

    A thing that turns at an edge is judged by its first way; one that shrinks at last by its largest growth.
    """
    seen = np.isfinite(track.x) & np.isfinite(track.y) & np.isfinite(track.radius)
    if np.count_nonzero(seen) < 2:
        return None
    x, y, radius = track.x[seen], track.y[seen], _smooth(track.radius[seen])
    ways_x, ways_y = _ways(x), _ways(y)
    wide, high = float(np.ptp(x)), float(np.ptp(y))
    # Growth first: what grows beside an edge is pushed along by it.
    if math.log(radius.max() / radius.min()) > math.log(_GROWS):
        return Motion.GROW
    if max(wide, high) < _MOVES:
        turned = np.ptp(track.turns[seen])
        return Motion.SPIN if turned > _SPINS_TURNS else Motion.STILL
    if min(wide, high) > 0.4 * max(wide, high):
        return Motion.CIRCLE
    if wide > high:
        return Motion.RIGHT if ways_x[0] > 0 else Motion.LEFT
    if len(ways_y) >= 3:
        return Motion.BOUNCE
    return Motion.DOWN if ways_y[0] > 0 else Motion.UP


def size_change(track: Track) -> float:
    """Largest radius over smallest, at least 1; NaN when nothing is seen."""
    radius = track.radius[np.isfinite(track.radius)]
    return float(_smooth(radius).max() / _smooth(radius).min()) if radius.size else float("nan")


def _ways(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    """Signed lengths of the stretches between turning points; wobbles below the jitter don't count as turns."""
    ways: list[float] = []
    anchor = extreme = float(values[0])
    for value in map(float, values[1:]):
        rising = extreme >= anchor
        if (value >= extreme) if rising else (value <= extreme):
            extreme = value
        elif abs(value - extreme) > _JITTER:
            if abs(extreme - anchor) > _JITTER:
                ways.append(extreme - anchor)
                anchor = extreme
            extreme = value
    ways.append(extreme - anchor)
    return ways


def _smooth(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Running median of five."""
    if values.size < 5:
        return values
    padded = np.concatenate((values[:1], values[:1], values, values[-1:], values[-1:]))
    smooth: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.median(
        np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1
    )
    return smooth
