"""The pitch of the first voice over time, from samples, and how far it is from the one that a picture asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.meters.track import Floats
from fastvideo.eval.world.notes import note_of

# A little more than the first voice's 400 to 800 Hz; the second one is softer, and mostly below.
_LOWEST_NOTE, _HIGHEST_NOTE = 66.0, 81.0
_STEP = 0.1  # semitones
_WINDOW_S = 0.128
_HARMONIC_WEIGHTS = (1.0, 0.35, 0.25)
_SILENCE = 1e-3
# How exactly a height is known, in frame heights: so near to the border of two tones either will do.
_HEIGHT_MARGIN = 0.02


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


def pitch_error_semitones(y: Floats, times_s: Floats, samples: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Median distance between the notes heard in ``samples`` and those of a first voice whose centre is ``y`` frame
    heights below the top at ``times_s`` (NaN where it is not seen); NaN when all is silent or unseen."""
    heard = notes_over_time(samples, sample_rate_hz, times_s)
    seen = np.isfinite(y) & np.isfinite(heard)
    if not seen.any():
        return float("nan")
    asked = [note_of(1 - y[seen] + margin, 0) for margin in (-_HEIGHT_MARGIN, _HEIGHT_MARGIN)]
    return float(np.median(np.min([np.abs(heard[seen] - notes) for notes in asked], axis=0)))
