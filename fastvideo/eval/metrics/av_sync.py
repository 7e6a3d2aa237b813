"""How long after the picture the sound comes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.clip import Clip, Frames, Sample, Samples
from fastvideo.eval.result import Score

Floats = NDArray[np.float64]

MOST_MS = 500
# Below this the best offset is one that any two clips would have.
LEAST_CORRELATION = 0.55
_GRID_HZ = 1000
_HOP_S = 0.005
_ONE_EVENT_S = 0.2
# What is this far below the loudest counts as silence: its changes are no onsets.
_FLOOR = 1e-4
_RECENT_HOPS = 10
_LEAST_RISE = 0.55


def measure(sample: Sample) -> Score:
    """The offset within 500 ms at which onsets of sound and sudden changes of picture correlate best, in ms; positive
    where the sound is late.

    A frame counts at the time at which it is shown, so an event between two frames counts from the later one. None
    where nothing changes, or the best correlation is below 0.55. Raises EvaluationError below 1 s.
    """
    samples, rate_hz = sample.sound()
    video = sample.video
    if video.duration_s < 1 or samples.shape[1] < rate_hz:
        raise EvaluationError(f"av_sync needs at least 1 s of picture and sound; {video.name} has less")
    seen = _spread(_picture_changes(video.frames, video.fps), 1 / video.fps, video)
    heard = _spread(_sound_onsets(samples, rate_hz), _HOP_S, video)
    for name, found in (("picture", seen), ("sound", heard)):
        if not found.any():
            return Score(None, {"reason": f"nothing begins in the {name}"})
    correlations = _correlations(seen, heard)
    best = int(correlations.argmax())
    details: dict[str, object] = {"correlation": float(correlations[best])}
    if correlations[best] < LEAST_CORRELATION:
        return Score(None, {**details, "reason": "sound and picture have too few onsets in common"})
    return Score(float(best - MOST_MS), details)


def _picture_changes(frames: Frames, fps: float) -> Floats:
    """How much frames differ from the one before, in levels, beyond what they usually do: [T - 1]."""
    sizes = [float(np.abs(now.astype(np.int16) - before).mean()) for before, now in pairwise(frames)]
    # Steady motion changes every frame: an event stands out.
    beyond = np.maximum(np.array(sizes) - 2 * np.median(sizes) - 0.01, 0)
    # What soon follows a change as large is its end: a flash goes out.
    soon = max(1, round(_ONE_EVENT_S * fps))
    before = np.lib.stride_tricks.sliding_window_view(np.pad(beyond, (soon, 0)), soon)[: beyond.size].max(axis=1)
    changes: Floats = np.maximum(beyond - before, 0)
    return changes


def _sound_onsets(samples: Samples, rate_hz: int) -> Floats:
    """Rises of the level from each window of 5 ms to the next, in log units."""
    hop = round(_HOP_S * rate_hz)
    count = samples.shape[1] // hop
    power = (samples[:, : count * hop].astype(np.float64) ** 2).mean(axis=0).reshape(count, hop).mean(axis=1)
    if not power.any():
        return np.zeros(count - 1)
    level = np.log(power + _FLOOR * power.max())
    # The loudest of the last 50 ms is what has to be exceeded: within a period of a low tone the level swings.
    padded = np.pad(level, (_RECENT_HOPS, 0), mode="edge")
    recent = np.lib.stride_tricks.sliding_window_view(padded, _RECENT_HOPS)[: level.size].max(axis=1)
    rises: Floats = np.maximum(level - recent, 0)[1:]
    return np.where(rises > _LEAST_RISE, rises, 0)


def _spread(strengths: Floats, step_s: float, video: Clip) -> Floats:
    """Strengths at 1, 2, ... steps, on a grid of 1 ms as long as the video, each blurred over about a frame."""
    grid = np.zeros(round(video.duration_s * _GRID_HZ) + 1)
    places = np.round(np.arange(1, strengths.size + 1) * (step_s * _GRID_HZ)).astype(int)
    inside = places < grid.size
    np.add.at(grid, places[inside], strengths[inside])
    sigma = _GRID_HZ / video.fps / 2
    reach = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    blurred: Floats = np.convolve(grid, np.exp(-(reach**2) / (2 * sigma**2)), mode="same")
    return blurred


def _correlations(seen: Floats, heard: Floats) -> Floats:
    """Correlation of the picture with the sound that is -500 to 500 ms further on: [1001]."""
    seen, heard = seen - seen.mean(), heard - heard.mean()
    points = 1 << (2 * seen.size).bit_length()
    products = np.fft.irfft(np.conj(np.fft.rfft(seen, points)) * np.fft.rfft(heard, points), points)
    within = np.concatenate((products[-MOST_MS:], products[: MOST_MS + 1]))
    found: Floats = within / np.sqrt((seen**2).sum() * (heard**2).sum())
    return found
