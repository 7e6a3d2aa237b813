"""The world's rules of sound: which tone a height has, how tones change, what a shape's timbre and a knock are.

All sound is made of partials at multiples of 100 Hz whose phases are locked to the story's own grid of 10 ms, one frame
of the mel spectrograms. So a steady mel stands for a steady wave, and a vocoder, which shifts as its mel does, can sing
every one of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.meters.track import Floats
from fastvideo.eval.world.notes import GRID_HZ
from fastvideo.eval.world.scene import Kind

PARTIALS = 48
CHANGE_POINTS = 4
"""How many points of the grid a tone takes to fade into the next one."""
KNOCK_S = 0.3

_KNOCK_DECAY_POINTS = 4.0
_KNOCK_PARTIALS = {1: 0.12, 2: 0.24, 3: 0.14, 11: 0.05, 13: 0.04}

# Amplitudes of the harmonics, scaled below to equal power; the fundamental is the strongest, so a pitch can be heard
# and measured.
_HARMONICS: dict[Kind, tuple[float, ...]] = {
    Kind.BALL: (1.0, 0.1, 0.0, 0.0, 0.0, 0.0),
    Kind.SQUARE: (1.0, 0.0, 0.4, 0.0, 0.3, 0.0),
    Kind.TRIANGLE: (1.0, 0.6, 0.4, 0.28, 0.2, 0.14),
    Kind.STAR: (1.0, 0.0, 0.0, 0.5, 0.0, 0.3),
    Kind.RING: (1.0, 0.7, 0.0, 0.0, 0.0, 0.0),
}
TIMBRES: dict[Kind, Floats] = {
    kind: np.array(harmonics) / np.linalg.norm(harmonics) for kind, harmonics in _HARMONICS.items()
}


def tone_gains(tones: NDArray[np.int64]) -> Floats:
    """Gain of each fundamental 0..8 at points of the grid [T, 9], from the tones up to then [T + CHANGE_POINTS - 1].

    A tone 0 is silence. The gains of a point add up to 1: a change of tone is a fade.
    """
    sung = np.eye(9)[tones]
    count = len(tones) - CHANGE_POINTS + 1
    gains: Floats = sum((sung[start : start + count] for start in range(CHANGE_POINTS)), np.zeros((count, 9)))
    gains[:, 0] = 0.0
    return gains / CHANGE_POINTS


def knock_amplitudes(since_points: NDArray[np.int64]) -> Floats:
    """Amplitudes of all partials [T, PARTIALS] at points of the grid that many points after the one where it begins."""
    decay = np.exp(-(np.maximum(since_points, 1) - 1) / _KNOCK_DECAY_POINTS) * (since_points >= 1)
    decay *= since_points < KNOCK_S * GRID_HZ
    amplitudes = np.zeros((since_points.size, PARTIALS))
    for partial, level in _KNOCK_PARTIALS.items():
        # The bright partials are the stick, which is heard at the start only.
        amplitudes[:, partial - 1] = level * (decay if partial < 10 else decay**3)
    return amplitudes
