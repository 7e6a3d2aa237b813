"""How large the steps at joins are beside those inside segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PAST_S = 0.05
_SOUND_SPAN_S = 0.004
_INSIDE_EVERY_S = 0.02
_ORDER = 24  # of the prediction: two samples for each partial of a tone, and some to spare
_AUDIBLE = 1e-3


@dataclass(frozen=True)
class Steps:
    """Sizes of one kind of step, inside segments and at the joins."""

    inside: Floats
    at_joins: Floats

    def ratio(self, percentile: float = 95.0) -> float:
        """The joins' percentile over the inside's: at most 1 when a join cannot be told from any other place."""
        inside, joins = (values[np.isfinite(values)] for values in (self.inside, self.at_joins))
        below = float(np.percentile(inside, percentile))
        at = float(np.percentile(joins, percentile))
        return at / below if below > 0 else (1.0 if at == 0 else float("inf"))


def picture_steps(frames: NDArray[np.uint8], joins: Sequence[int]) -> Steps:
    """Mean absolute difference between neighbouring frames; ``joins`` are the first frames of later segments."""
    # Frame by frame: the differences of a whole story at once would be several times its size.
    sizes = [float(np.abs(after.astype(np.int16) - before).mean()) for before, after in pairwise(frames)]
    return _split(np.array(sizes), joins)


def place_steps(x: Floats, y: Floats, joins: Sequence[int]) -> Steps:
    """How far a centroid moves between neighbouring frames, in the units of x and y."""
    return _split(np.hypot(np.diff(x), np.diff(y)), joins)


def velocity_steps(x: Floats, y: Floats, joins: Sequence[int]) -> Steps:
    """Change of a centroid's velocity between neighbouring frames, in the units of x and y.

    A thing that moves on evenly has none, however fast it is: this finds jumps shorter than a fast thing's way.
    """
    velocity_x, velocity_y = np.diff(x), np.diff(y)
    jerk = np.hypot(np.diff(velocity_x), np.diff(velocity_y))
    # Both steps that involve the join's own move count; the larger one is the join's.
    padded = np.concatenate(([jerk[0]], jerk, [jerk[-1]]))
    return _split(np.maximum(padded[:-1], padded[1:]), joins)


def sound_steps(samples: NDArray[np.float32], sample_rate_hz: int, joins_s: Sequence[float]) -> Steps:
    """How far the waveform [channels, N] strays from what its last 50 ms predict, in 4 ms from each place on.

    A linear prediction follows any steady tone, whatever its timbre, and not a click. What is below -60 dB counts as
    -60 dB. Inside places are 20 ms apart, and none is within a window of a join.
    """
    mono = samples.mean(axis=0).astype(np.float64)
    window, span = (round(length_s * sample_rate_hz) for length_s in (_PAST_S, _SOUND_SPAN_S))
    joins = np.round(np.array(joins_s) * sample_rate_hz).astype(int)
    if joins.size and (joins.min() < window or joins.max() > mono.size - span):
        raise ValueError(
            f"joins need {_PAST_S} s of sound before them and {_SOUND_SPAN_S} s after, got {list(joins_s)}"
        )
    places = np.arange(window, mono.size - span, round(_INSIDE_EVERY_S * sample_rate_hz))
    if joins.size:
        places = places[np.abs(places[:, None] - joins).min(axis=1) > window]
    # A join's own place is known to a sample or two only: begin a little before it.
    lead = span // 4
    return Steps(
        np.array([_strays(mono, int(place), window, span) for place in places]),
        np.array([_strays(mono, int(place) - lead, window, span) for place in joins]),
    )


def _strays(mono: Floats, place: int, window: int, span: int) -> float:
    past = np.lib.stride_tricks.sliding_window_view(mono[max(0, place - window) : place], _ORDER + 1)
    ahead = np.lib.stride_tricks.sliding_window_view(mono[place - _ORDER : place + span], _ORDER + 1)
    normal = past.T @ past
    system = normal[:-1, :-1] + np.eye(_ORDER) * (1e-9 * np.trace(normal) + 1e-12)
    weights = np.linalg.solve(system, normal[:-1, -1])
    return max(float(np.abs(ahead[:, -1] - ahead[:, :-1] @ weights).max()), _AUDIBLE)


def _split(sizes: Floats, joins: Sequence[int]) -> Steps:
    """``sizes[i]`` is the step from frame i to frame i + 1."""
    at = np.array(sorted(joins), dtype=int) - 1
    if at.size and (at.min() < 0 or at.max() >= sizes.size):
        raise ValueError(f"joins lie between 1 and {sizes.size}, got {sorted(joins)}")
    return Steps(np.delete(sizes, at), sizes[at])
