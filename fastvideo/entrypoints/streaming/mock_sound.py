"""The fake generator's sound: a soft chord with a pluck on each full second."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

GLIDE_S = 0.25
_VOICE_GAIN = 0.07
_PLUCK_GAIN = 0.12
_PLUCK_ATTACK_S = 0.006
_PLUCK_DECAY_PER_S = 7.0
_TREMOLO_HZ = 0.25

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SoundState:
    """Where the oscillators stand, so that the next segment goes on without a click: phases in turns, 0..1."""

    chord_hz: tuple[float, float, float]
    phases: tuple[float, float, float]


def render_sound(
    chord_hz: tuple[float, float, float],
    *,
    before: SoundState | None,
    start_s: float,
    samples: int,
    sample_rate_hz: int,
    pan: Floats,
) -> tuple[npt.NDArray[np.float32], SoundState]:
    """A stereo waveform, float32 [2, samples], from `start_s` on the stream's clock, and the state after it.

    `pan` [points]: 0 left to 1 right, spread evenly over the waveform. Pitches glide from those of `before`.
    """
    if samples <= 0:
        raise ValueError(f"expected at least one sample, got {samples}")
    old_hz = before.chord_hz if before else chord_hz
    old_phases = before.phases if before else (0.0, 0.0, 0.0)
    elapsed_s = np.arange(samples) / sample_rate_hz
    ease = np.clip(elapsed_s / GLIDE_S, 0.0, 1.0)
    ease = ease * ease * (3 - 2 * ease)
    clock_s = start_s + elapsed_s

    turns: list[Floats] = []
    phases: list[float] = []
    for old, new, phase in zip(old_hz, chord_hz, old_phases, strict=True):
        steps = (old + (new - old) * ease) / sample_rate_hz
        voice = phase + np.cumsum(steps) - steps[0]
        turns.append(voice)
        phases.append(float((voice[-1] + steps[-1]) % 1.0))

    low, middle, high = (np.sin(2 * math.pi * voice) for voice in turns)
    # The octave above is a second sine of the same phase: warm, and as continuous as the voice itself.
    chord = low + 0.8 * middle + 0.7 * high + 0.3 * np.sin(4 * math.pi * turns[0])
    chord *= _VOICE_GAIN * (1.0 + 0.25 * np.sin(2 * math.pi * _TREMOLO_HZ * clock_s))
    beat_s = clock_s % 1.0
    envelope = np.exp(-_PLUCK_DECAY_PER_S * beat_s) * np.clip(beat_s / _PLUCK_ATTACK_S, 0.0, 1.0)
    pluck = _PLUCK_GAIN * envelope * np.sin(8 * math.pi * turns[0])

    angle = np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, len(pan)), np.clip(pan, 0, 1))
    angle = math.pi / 4 * (0.4 + 1.2 * angle)
    mono = chord + pluck
    wave = np.stack([mono * np.cos(angle), mono * np.sin(angle)]) * math.sqrt(2)
    return wave.astype(np.float32), SoundState(chord_hz, (phases[0], phases[1], phases[2]))
