"""The pitch of a tone over time, from its samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LOWEST_NOTE, _HIGHEST_NOTE = 58.0, 92.0
_STEP = 0.1  # semitones
_WINDOW_S = 0.128
_HARMONIC_WEIGHTS = (1.0, 0.35, 0.25)
_SILENCE = 1e-3


def notes_over_time(samples: NDArray[np.float32], sample_rate_hz: int, times_s: Floats) -> Floats:
    """MIDI notes (fractional) of ``samples`` [channels, N] around each time, [T]; NaN where it is silent."""
    mono = samples.mean(axis=0).astype(np.float64)
    size = round(_WINDOW_S * sample_rate_hz)
    padded = np.pad(mono, size // 2)
    starts = np.clip(np.round(times_s * sample_rate_hz).astype(int), 0, max(0, mono.size - 1))
    windows = padded[starts[:, None] + np.arange(size)]
    levels = np.sqrt((windows**2).mean(axis=1))
    points = 8 * size
    strength = np.abs(np.fft.rfft(windows * np.hanning(size), points, axis=1))
    candidates = np.arange(_LOWEST_NOTE, _HIGHEST_NOTE, _STEP)
    bins = 440 * 2 ** ((candidates - 69) / 12) * points / sample_rate_hz
    score = np.zeros((len(windows), candidates.size))
    for number, weight in enumerate(_HARMONIC_WEIGHTS, start=1):
        nearest = np.clip(np.round(number * bins).astype(int), 0, strength.shape[1] - 1)
        score += weight * strength[:, nearest]
    notes: Floats = candidates[score.argmax(axis=1)]
    notes[levels < _SILENCE] = np.nan
    return notes
