"""Dense optical flow: Lucas and Kanade's least squares, from coarse to fine (Bouguet 2000)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

RADIUS = 4  # of the window, px
_COARSEST = 16  # px
_ITERATIONS = 3
# Along an edge nothing can be told: this keeps what is not known as it was at the coarser scale, in the end at nought.
# In squared levels per px.
_STIFFNESS = np.float32(4.0)


def optical_flow(one: Plane, other: Plane) -> Plane:
    """How far what ``one`` [channels, H, W] (0..255) shows has moved in ``other``: [2, H, W], px to the right and down.

    Of motion along a straight edge only the part across it is seen. Nothing moves where there is no texture.
    """
    pyramid = [(one, other)]
    while min(pyramid[-1][0].shape[1:]) >= 2 * _COARSEST:
        pyramid.append((_halved(pyramid[-1][0]), _halved(pyramid[-1][1])))
    flow = np.zeros((2, *pyramid[-1][0].shape[1:]), np.float32)
    for x, y in reversed(pyramid):
        if flow.shape[1:] != x.shape[1:]:
            flow = 2 * _doubled(flow, x.shape[1:])
        flow = _refined(x, y, flow)
    return flow


def texture(plane: Plane) -> Plane:
    """Size of the gradient of all channels [H, W], levels per px."""
    across, down = _gradient(plane)
    size: Plane = np.sqrt((across**2 + down**2).sum(axis=0))
    return size


def _refined(one: Plane, other: Plane, flow: Plane) -> Plane:
    across, down = _gradient(one)
    xx, xy, yy = _windowed(np.stack([part.sum(axis=0) for part in (across * across, across * down, down * down)]))
    xx, yy = xx + _STIFFNESS, yy + _STIFFNESS
    determinant = xx * yy - xy * xy
    for _ in range(_ITERATIONS):
        # Each pixel of a window speaks for its own flow, which counts in with what that leaves to explain.
        told = one - _warped(other, flow) + across * flow[0] + down * flow[1]
        sums = np.stack([(gradient * told).sum(axis=0) for gradient in (across, down)])
        x, y = _windowed(sums) + _STIFFNESS * flow
        solved = np.stack((yy * x - xy * y, xx * y - xy * x)) / determinant
        flow = flow + np.clip(solved - flow, -2, 2)
    return flow


def _gradient(plane: Plane) -> tuple[Plane, Plane]:
    down, across = (np.asarray(part, np.float32) for part in np.gradient(plane, axis=(1, 2)))
    return across, down


def _windowed(planes: Plane) -> Plane:
    """Means over a square window, by running sums; at the border of what there is of it."""
    for axis in (1, 2):
        length = planes.shape[axis]
        sums = np.cumsum(planes, axis=axis, dtype=np.float64)
        sums = np.concatenate((np.zeros_like(sums.take([0], axis)), sums), axis)
        first = np.clip(np.arange(length) - RADIUS, 0, length)
        last = np.clip(np.arange(length) + RADIUS + 1, 0, length)
        shape = [1, 1, 1]
        shape[axis] = length
        planes = (sums.take(last, axis) - sums.take(first, axis)) / (last - first).reshape(shape)
    return planes.astype(np.float32)


def _warped(plane: Plane, flow: Plane) -> Plane:
    """The channels as seen from where ``flow`` comes from, between pixels by bilinear interpolation."""
    _, height, width = plane.shape
    x = np.clip(np.arange(width, dtype=np.float32) + flow[0], 0, width - 1)
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] + flow[1], 0, height - 1)
    left, top = np.minimum(x.astype(np.intp), width - 2), np.minimum(y.astype(np.intp), height - 2)
    right_share, down_share = x - left, y - top
    place = top * width + left
    pixels = plane.reshape(len(plane), -1)
    upper = pixels[:, place] * (1 - right_share) + pixels[:, place + 1] * right_share
    lower = pixels[:, place + width] * (1 - right_share) + pixels[:, place + width + 1] * right_share
    warped: Plane = (upper * (1 - down_share) + lower * down_share).astype(np.float32)
    return warped


def _halved(plane: Plane) -> Plane:
    height, width = (length // 2 * 2 for length in plane.shape[1:])
    plane = plane[:, :height, :width]
    return (plane[:, ::2, ::2] + plane[:, 1::2, ::2] + plane[:, ::2, 1::2] + plane[:, 1::2, 1::2]) / np.float32(4)


def _doubled(flow: Plane, shape: tuple[int, ...]) -> Plane:
    """Between pixels by bilinear interpolation: [2, H, W] to [2, *shape]."""
    for axis, length in zip((1, 2), shape, strict=True):
        old = flow.shape[axis]
        place = np.clip((np.arange(length) + 0.5) / 2 - 0.5, 0, old - 1).astype(np.float32)
        low = np.minimum(place.astype(np.intp), old - 2)
        sizes = [1, 1, 1]
        sizes[axis] = length
        share = (place - low).reshape(sizes)
        flow = flow.take(low, axis) * (1 - share) + flow.take(low + 1, axis) * share
    return flow
