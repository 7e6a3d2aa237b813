"""Names for colours, looked up in a table over quantised RGB: fast enough for every pixel of a clip."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.world.scene import Colour

COLOURS = tuple(Colour)

_BITS = 5
_LEVELS = 1 << _BITS
# Weights of luma and the two colour differences: a shade is still its colour, another hue is not.
_OPPONENT = np.array([[0.299, 0.587, 0.114], [-0.253, -0.497, 0.75], [0.75, -0.628, -0.122]])


def cells(frames: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Table indices of pixels [..., 3]: [...]."""
    quantised = (frames >> (8 - _BITS)).astype(np.intp)
    index: NDArray[np.intp] = (quantised[..., 0] * _LEVELS + quantised[..., 1]) * _LEVELS + quantised[..., 2]
    return index


@cache
def cell_colours() -> NDArray[np.float64]:
    """RGB at the middle of each table cell, [cells, 3]."""
    levels = (np.arange(_LEVELS) + 0.5) * (256 / _LEVELS)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


@cache
def names() -> NDArray[np.uint8]:
    """For each table cell the index in ``COLOURS`` of the nearest colour, in any of its tones."""
    distances = []
    for colour in COLOURS:
        tones = np.linspace(colour.rgb, colour.shade, 4)
        apart = (cell_colours()[:, None] - tones) @ _OPPONENT.T
        distances.append((apart**2).sum(axis=-1).min(axis=1))
    nearest: NDArray[np.uint8] = np.argmin(distances, axis=0).astype(np.uint8)
    return nearest
