"""Sample-rate conversion by a windowed sinc, computed block by block from any position.

The kernel is ``sinc(t) * kaiser(t)``, which is one at its centre and zero at every other whole source sample: going up,
an output sample that falls on a source sample *is* that sample. So from a converted waveform at a multiple of its rate
the source samples can be read back, and the next piece converted with them as context gives what converting both in one
piece gives.
"""

from __future__ import annotations

from math import gcd

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

HALF_WIDTH = 32  # samples of the lower rate on each side; the transition band is some 5 % of that rate
_KAISER_BETA = 9.0  # side lobes below -90 dB


def kernel(distance: NDArray[np.float64], cutoff: float = 1.0) -> NDArray[np.float64]:
    """Weight of a source sample at a distance in source samples; ``cutoff`` (0..1) is the share of its band to keep."""
    scaled = distance * cutoff
    inside = np.clip(1.0 - np.square(scaled / HALF_WIDTH), 0.0, None)
    window = np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    weights: NDArray[np.float64] = cutoff * np.sinc(scaled) * window * (np.abs(scaled) < HALF_WIDTH)
    return weights


def interpolate(source: Samples, positions: NDArray[np.float64]) -> Samples:
    """Values of ``source`` [channels, n] at fractional positions; it counts as zero outside."""
    if not source.shape[1]:
        return np.zeros((len(source), len(positions)), np.float32)
    nearest = np.floor(positions).astype(np.int64)
    taps = nearest[:, None] + np.arange(-HALF_WIDTH + 1, HALF_WIDTH + 1)
    known = (taps >= 0) & (taps < source.shape[1])
    weights = kernel(positions[:, None] - taps) * known
    values: Samples = np.einsum("cpt,pt->cp", source[:, np.where(known, taps, 0)], weights).astype(np.float32)
    return values


class Resampler:
    """Converts ranges of a source to another rate; holds only its table of weights.

    Output sample ``m`` lies at source position ``m * source_rate_hz / target_rate_hz``. Outputs come in blocks of
    ``up`` for ``down`` source samples, each block the same linear map of its window. ``reach`` is how many source
    samples on each side an output sample depends on.
    """

    def __init__(self, source_rate_hz: int, target_rate_hz: int) -> None:
        common = gcd(source_rate_hz, target_rate_hz)
        self.up = target_rate_hz // common
        self.down = source_rate_hz // common
        self.reach = max(HALF_WIDTH, -(-HALF_WIDTH * self.down // self.up))
        taps = np.arange(-self.reach + 1, self.down + self.reach)
        positions = np.arange(self.up) * self.down / self.up
        cutoff = min(1.0, self.up / self.down)
        self._weights = kernel(positions[None, :] - taps[:, None], cutoff).astype(np.float32)

    @property
    def is_identity(self) -> bool:
        """Whether both rates are the same."""
        return self.up == self.down == 1

    def convert(self, source: Samples, source_start: int, start: int, stop: int) -> Samples:
        """Output samples ``start`` to ``stop``; ``source[:, 0]`` is source sample ``source_start``, zero outside."""
        first, last = start // self.up, -(-stop // self.up)
        want_from = first * self.down - self.reach + 1
        want_to = last * self.down + self.reach
        window = zero_padded(source, want_from - source_start, want_to - source_start)
        if self.is_identity:
            return window[:, self.reach - 1 : self.reach - 1 + stop - start]
        blocks = np.lib.stride_tricks.sliding_window_view(window, len(self._weights), axis=1)[:, :: self.down]
        converted = (blocks @ self._weights).reshape(len(source), -1)
        return converted[:, start - first * self.up : stop - first * self.up]


def zero_padded(source: Samples, start: int, stop: int) -> Samples:
    """``source[:, start:stop]`` where positions outside the source are zero (both may be negative)."""
    inside = source[:, max(start, 0) : max(stop, 0)]
    if inside.shape[1] == stop - start:
        return inside
    padded = np.zeros((len(source), stop - start), np.float32)
    at = max(-start, 0)
    padded[:, at : at + inside.shape[1]] = inside
    return padded
