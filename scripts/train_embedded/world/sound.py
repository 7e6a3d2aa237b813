"""The sound of a segment: a tone per thing, panned with it, and a knock at each bounce."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastvideo.eval.meters.track import Floats
from fastvideo.eval.world import FPS
from fastvideo.eval.world.notes import GRID_HZ, tone_of
from scripts.train_embedded.world.segment import Actor, Segment
from scripts.train_embedded.world.sound_rules import (
    CHANGE_POINTS,
    KNOCK_S,
    PARTIALS,
    TIMBRES,
    knock_amplitudes,
    tone_gains,
)

_VOICE_LEVELS = (0.22, 0.12)


def sound_of(segment: Segment, sample_rate_hz: int) -> NDArray[np.float32]:
    """Stereo samples [2, N] of the segment in -1..1. Raises ValueError for a rate that is no multiple of 100 Hz.

    Samples lie on the story's own grid n / sample_rate_hz: those of consecutive segments simply follow each other,
    also where a segment's length is not a whole number of samples.
    """
    if sample_rate_hz % GRID_HZ:
        raise ValueError(f"expected a sample rate that is a multiple of {GRID_HZ} Hz, got {sample_rate_hz}")
    hop = sample_rate_hz // GRID_HZ
    begin, end = (-(-frame * sample_rate_hz // FPS) for frame in (segment.start_frame, segment.end_frame))
    first, last = begin // hop, -(-end // hop)
    left_and_right = _amplitudes(segment, np.arange(first, last + 1))
    # Between two points of the grid amplitudes change evenly.
    share = np.arange(hop) / hop
    wave = np.sin(2 * np.pi * np.arange(1, PARTIALS + 1)[:, None] * share)
    sound = left_and_right[:, :-1] @ (wave * (1 - share)) + left_and_right[:, 1:] @ (wave * share)
    return sound.reshape(2, -1)[:, begin - first * hop : end - first * hop].astype(np.float32)


def _amplitudes(segment: Segment, points: NDArray[np.int64]) -> Floats:
    """Amplitudes of all partials, left and right, at points of the story's grid: [2, T, PARTIALS]."""
    times_s = points / GRID_HZ
    arrived = segment.arrival(times_s)
    entering = arrived if segment.leaving else np.ones_like(arrived)
    total = np.zeros((2, points.size, PARTIALS))
    for actors, gain in ((segment.actors, entering), (segment.leaving, 1 - arrived)):
        for actor in actors:
            amplitudes = gain[:, None] * (_tone(segment, actor, points, arrived) + _knocks(segment, actor, points))
            x, _ = _centre(segment, actor, times_s)
            pan = np.pi / 2 * (0.25 + 0.5 * x)
            total += np.stack((np.cos(pan), np.sin(pan)))[..., None] * amplitudes
    return total


def _tone(segment: Segment, actor: Actor, points: NDArray[np.int64], arrived: Floats) -> Floats:
    heard = np.arange(points[0] - CHANGE_POINTS + 1, points[-1] + 1)
    _, y = _centre(segment, actor, heard / GRID_HZ)
    tones = tone_of(1 - y, actor.voice)
    # A story begins in silence.
    gains = tone_gains(np.where(heard <= 0, 0, tones))
    old, new = TIMBRES[actor.before.kind], TIMBRES[actor.thing.kind]
    timbre = old + arrived[:, None] * (new - old)
    amplitudes = np.zeros((points.size, PARTIALS))
    for tone in range(1, gains.shape[1]):
        for harmonic in range(1, timbre.shape[1] + 1):
            amplitudes[:, tone * harmonic - 1] += gains[:, tone] * timbre[:, harmonic - 1]
    return _VOICE_LEVELS[actor.voice] * amplitudes


def _knocks(segment: Segment, actor: Actor, points: NDArray[np.int64]) -> Floats:
    start_s, end_s = segment.start_frame / FPS, float(points[-1]) / GRID_HZ
    impacts_s = (
        *actor.trajectory_before.impacts(start_s - KNOCK_S, start_s),
        *actor.trajectory.impacts(start_s, end_s),
    )
    amplitudes = np.zeros((points.size, PARTIALS))
    for time_s in impacts_s:
        amplitudes += knock_amplitudes(points - math.ceil(time_s * GRID_HZ))
    return amplitudes


def _centre(segment: Segment, actor: Actor, times_s: Floats) -> tuple[Floats, Floats]:
    """x and y over time, before the segment's start on the actor's way until then."""
    earlier, later = actor.trajectory_before.at(times_s), actor.trajectory.at(times_s)
    before = times_s < segment.start_frame / FPS
    return np.where(before, earlier.x, later.x), np.where(before, earlier.y, later.y)
