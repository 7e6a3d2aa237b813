"""The parts that SSIM is made of, for one channel of a picture (Wang, Bovik, Sheikh and Simoncelli 2004)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

WINDOW = 11  # px
_SIGMA = 1.5  # px
_PEAK = 255.0
_LUMINANCE = (0.01 * _PEAK) ** 2
_CONTRAST = (0.03 * _PEAK) ** 2
# Rows that are filtered at once: five planes of them lie in a core's cache.
_ROWS = 48

_offsets = np.arange(WINDOW) - WINDOW // 2
_weights = np.exp(-(_offsets**2) / (2 * _SIGMA**2))
_WEIGHTS = tuple(np.float32(weight) for weight in _weights / _weights.sum())


def similarity(one: Plane, other: Plane) -> tuple[float, float]:
    """Mean SSIM, and the mean of its part without luminance (contrast and structure), of two planes [H, W] in 0..255.

    The window is a Gaussian of 11 px with sigma 1.5; means are over its places that lie wholly inside. Both sides must
    be at least 11 px.
    """
    # Around the middle of the range squares keep their digits; variances do not change.
    one, other = one - np.float32(_PEAK / 2), other - np.float32(_PEAK / 2)
    total, structure, count = 0.0, 0.0, 0
    for top in range(0, one.shape[0] - WINDOW + 1, _ROWS):
        x, y = (plane[top : top + _ROWS + WINDOW - 1] for plane in (one, other))
        mean_x, mean_y, square_x, square_y, product = _blurred(np.stack((x, y, x * x, y * y, x * y)))
        variances = square_x - mean_x**2 + square_y - mean_y**2
        covariance = product - mean_x * mean_y
        alike = (2 * covariance + _CONTRAST) / (variances + _CONTRAST)
        mean_x += np.float32(_PEAK / 2)
        mean_y += np.float32(_PEAK / 2)
        luminance = (2 * mean_x * mean_y + _LUMINANCE) / (mean_x**2 + mean_y**2 + _LUMINANCE)
        structure += float(alike.sum(dtype=np.float64))
        total += float((alike * luminance).sum(dtype=np.float64))
        count += alike.size
    return total / count, structure / count


def _blurred(planes: Plane) -> Plane:
    """[K, H, W] to [K, H - 10, W - 10]."""
    for _ in range(2):
        # Filtered along rows, then turned; twice is both ways.
        length = planes.shape[1] - WINDOW + 1
        middle = WINDOW // 2
        blurred = planes[:, middle : middle + length] * _WEIGHTS[middle]
        for place in range(middle):
            opposite = WINDOW - 1 - place
            blurred += (planes[:, place : place + length] + planes[:, opposite : opposite + length]) * _WEIGHTS[place]
        planes = np.ascontiguousarray(blurred.swapaxes(1, 2))
    return planes
