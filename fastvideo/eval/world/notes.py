"""The notes of the world: which one a thing sings at which height."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID_HZ = 100
"""Points of the grid in a second, and the frequency of the first partial."""


def tone_of(height: float | Floats, voice: int) -> NDArray[np.int64]:
    """Fundamental, in multiples of 100 Hz, of a thing whose centre is ``height`` frame heights above the bottom edge.

    The first voice has five tones, 400 Hz below a quarter of the height to 800 Hz above three quarters: a chord on the
    natural harmonics. The second voice has three of them, an octave lower.
    """
    low, high = (4, 8) if voice == 0 else (2, 4)
    tones: NDArray[np.int64] = np.clip(np.rint(low * (0.5 + 2 * np.asarray(height))), low, high).astype(np.int64)
    return tones


def note_of(height: float | Floats, voice: int) -> Floats:
    """The same as a MIDI note, a fraction."""
    notes: Floats = 69 + 12 * np.log2(GRID_HZ * tone_of(height, voice) / 440)
    return notes
