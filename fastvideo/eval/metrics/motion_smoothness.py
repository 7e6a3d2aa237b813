"""How evenly what moves moves on."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Frames, Sample
from fastvideo.eval.metrics.optical_flow import RADIUS, Plane, optical_flow, texture
from fastvideo.eval.result import Score

LEAST_PX = 32
_MOST_PX = 128
# What counts as texture, in levels per px, and as motion, in px of the reduced picture.
_TEXTURE = 8.0
_MOTION = 0.15
# The least share of pixels that move, over the whole clip, for there to be a motion.
_LEAST_SHARE = 1e-4


def measure(sample: Sample) -> Score:
    """1 - sum |forward + backward| / sum (|forward| + |backward|), of the optical flow from each frame to the next one
    and to the one before, over pixels with texture that move and stay in the picture, which is reduced to
    at most 128 px of height.

    What moves evenly comes as far in one step as in the next: 1. What stands and goes by turns has 0, and so has what
    reverses its way in each frame. None where nothing moves.
    """
    frames = sample.require_frames(3)
    if min(sample.video.width_px, sample.video.height_px) < LEAST_PX:
        raise EvaluationError(
            f"motion_smoothness needs pictures of at least {LEAST_PX} px, "
            f"got {sample.video.width_px}x{sample.video.height_px}"
        )
    uneven, whole, moving, seen = 0.0, 0.0, 0, 0
    reduced = [_reduced(frame) for frame in frames]
    for before, (now, after) in zip(reduced, islice(pairwise(reduced), 1, None), strict=False):
        forward, backward = optical_flow(now, after), optical_flow(now, before)
        lengths = np.hypot(*forward) + np.hypot(*backward)
        counted = (texture(now) > _TEXTURE) & (lengths > 2 * _MOTION) & _stays(forward) & _stays(backward)
        uneven += float(np.hypot(*(forward + backward))[counted].sum(dtype=np.float64))
        whole += float(lengths[counted].sum(dtype=np.float64))
        moving += int(np.count_nonzero(counted))
        seen += counted.size
    details = {"moving_share": moving / seen, "frames": len(frames)}
    if moving < _LEAST_SHARE * seen:
        return Score(None, {**details, "reason": "nothing moves"})
    speed = whole / (2 * moving) / reduced[0].shape[1]
    return Score(1 - uneven / whole, {**details, "speed_heights_per_frame": speed})


def _stays(flow: Plane) -> NDArray[np.bool_]:
    """Whether pixels move to places inside the picture, by a window's radius: others cannot be followed."""
    _, height, width = flow.shape
    x, y = np.arange(width) + flow[0], np.arange(height)[:, None] + flow[1]
    stays: NDArray[np.bool_] = (x >= RADIUS) & (x < width - RADIUS) & (y >= RADIUS) & (y < height - RADIUS)
    return stays


def _reduced(frame: Frames) -> Plane:
    """[3, H, W], by whole factors to at most 128 px of height, with the mean of the pixels that become one."""
    factor = -(-frame.shape[0] // _MOST_PX)
    height, width = (length // factor for length in frame.shape[:2])
    cells = frame[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return np.ascontiguousarray(np.moveaxis(cells.mean(axis=(1, 3), dtype=np.float32), -1, 0))
