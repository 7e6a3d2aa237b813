"""The sound of a segment: a tone per thing, panned with it, and a knock at each bounce."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.train_embedded.world import FPS
from scripts.train_embedded.world.motion import Floats
from scripts.train_embedded.world.segment import Actor, Segment
from scripts.train_embedded.world.sound_rules import KNOCK_S, TIMBRES, phase_at_ticks, tick_times_s

_TONE_LEVEL = 0.16
_SECOND_VOICE_LEVEL = 0.08
_KNOCK_LEVEL = 0.3
_KNOCK_DECAY_S = 0.035


def sound_of(segment: Segment, sample_rate_hz: int) -> NDArray[np.float32]:
    """Stereo samples [2, N] of the segment in -1..1.

    Samples lie on the story's own grid n / sample_rate_hz: those of consecutive segments simply follow each other,
    also where a segment's length is not a whole number of samples.
    """
    start_s, end_s = segment.start_frame / FPS, segment.end_frame / FPS
    first, last = (-(-frame * sample_rate_hz // FPS) for frame in (segment.start_frame, segment.end_frame))
    times_s = np.arange(first, last) / sample_rate_hz
    arrived = segment.arrival(times_s)
    sound = np.zeros((2, times_s.size))
    entering = arrived if segment.leaving else np.ones_like(arrived)
    for actors, gain in ((segment.actors, entering), (segment.leaving, 1 - arrived)):
        for actor in actors:
            tone = gain * _tone(segment, actor, times_s, arrived)
            for time_s in (*actor.knocks_s, *actor.trajectory.impacts(start_s - KNOCK_S, end_s)):
                _add_knock(tone, gain, times_s, float(time_s))
            pan = 0.25 + 0.5 * actor.trajectory.at(times_s).x
            sound += np.stack((np.cos(np.pi / 2 * pan), np.sin(np.pi / 2 * pan))) * tone
    return sound.astype(np.float32)


def _tone(segment: Segment, actor: Actor, times_s: Floats, arrived: Floats) -> Floats:
    ticks_s = tick_times_s(segment.start_frame, segment.num_frames)
    phases = phase_at_ticks(actor.trajectory, actor.voice, actor.phase_turns, ticks_s)
    angle = 2 * np.pi * np.interp(times_s, ticks_s, phases)
    tone = np.zeros_like(times_s)
    for index, (old, new) in enumerate(zip(TIMBRES[actor.before.kind], TIMBRES[actor.thing.kind], strict=True)):
        if old == new == 0:
            continue
        tone += (old + (new - old) * arrived if old != new else new) * np.sin((index + 1) * angle)
    return (_SECOND_VOICE_LEVEL if actor.voice else _TONE_LEVEL) * tone


def _add_knock(sound: Floats, gain: Floats, times_s: Floats, time_s: float) -> None:
    begin, end = np.searchsorted(times_s, (time_s, time_s + KNOCK_S))
    since_s = times_s[begin:end] - time_s
    knock = np.sin(2 * np.pi * 140 * since_s) + 0.5 * np.sin(2 * np.pi * 290 * since_s)
    sound[begin:end] += gain[begin:end] * _KNOCK_LEVEL * knock * np.exp(-since_s / _KNOCK_DECAY_S)
