"""The world's rules of sound: which note a pose has, what a shape's timbre is, how a tone's phase runs on."""

from __future__ import annotations

import numpy as np

from scripts.train_embedded.world import FPS
from scripts.train_embedded.world.motion import Floats, Track, Trajectory
from scripts.train_embedded.world.scene import Kind, Size

# Notes change on this grid, whatever the sample rate, so that a tone's phase is exact at every rate.
TICKS_PER_FRAME = 8
KNOCK_S = 0.3
SECOND_VOICE_SEMITONES = -12
_LOWEST_NOTE = 72
_SEMITONES_PER_HEIGHT = 12
_SEMITONES_PER_DOUBLING = 6

# Amplitudes of the harmonics; the fundamental is the strongest, so a pitch can be heard and measured.
TIMBRES: dict[Kind, tuple[float, ...]] = {
    Kind.BALL: (1.0, 0.08, 0.0, 0.0, 0.0, 0.0),
    Kind.SQUARE: (1.0, 0.0, 0.42, 0.0, 0.26, 0.0),
    Kind.TRIANGLE: (1.0, 0.5, 0.34, 0.25, 0.2, 0.16),
    Kind.STAR: (1.0, 0.1, 0.1, 0.6, 0.1, 0.4),
    Kind.RING: (1.0, 0.7, 0.0, 0.0, 0.0, 0.0),
    Kind.CROSS: (1.0, 0.0, 0.0, 0.0, 0.7, 0.0),
}


def note_of(height: float | Floats, radius: float | Floats) -> Floats:
    """MIDI note (whole semitones) of a thing whose centre is ``height`` frame heights above the bottom edge.

    It rises an octave from the bottom to the top, and half an octave as the radius halves.
    """
    by_size = _SEMITONES_PER_DOUBLING * np.log2(Size.MEDIUM.radius / np.asarray(radius, dtype=np.float64))
    notes: Floats = np.round(_LOWEST_NOTE + _SEMITONES_PER_HEIGHT * np.asarray(height) + by_size)
    return notes


def notes(track: Track, voice: int) -> Floats:
    """MIDI notes of a track's poses; the second of two voices is an octave lower."""
    return note_of(1 - track.y, track.radius) + voice * SECOND_VOICE_SEMITONES


def tick_times_s(start_frame: int, num_frames: int) -> Floats:
    """Story times of the ticks of a segment, and of its end: [num_frames * TICKS_PER_FRAME + 1]."""
    ticks = np.arange(num_frames * TICKS_PER_FRAME + 1) + start_frame * TICKS_PER_FRAME
    return ticks / (FPS * TICKS_PER_FRAME)


def phase_at_ticks(trajectory: Trajectory, voice: int, phase_turns: float, times_s: Floats) -> Floats:
    """Phase in turns of a tone at the ticks, from ``phase_turns`` at the first."""
    hz = 440.0 * 2 ** ((notes(trajectory.at(times_s[:-1]), voice) - 69) / 12)
    steps = np.concatenate(([phase_turns], hz / (FPS * TICKS_PER_FRAME)))
    phases: Floats = np.cumsum(steps)
    return phases


def advance_phase(trajectory: Trajectory, voice: int, phase_turns: float, start_frame: int, num_frames: int) -> float:
    """Phase in turns (0..1) of a tone at the end of a segment that began with ``phase_turns``."""
    return float(phase_at_ticks(trajectory, voice, phase_turns, tick_times_s(start_frame, num_frames))[-1] % 1.0)
