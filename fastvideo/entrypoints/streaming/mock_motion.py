"""Where the fake generator's shape is at a time: one path per motion word, joined smoothly between segments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastvideo.entrypoints.streaming.mock_scene import Scene

JOIN_S = 0.8
TURN_S = 4.0
_WRAP = 1.5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """Centre in parts of the frame (0..1, may leave it a little) and rotation in turns."""

    x: float
    y: float
    turn: float


@dataclass(frozen=True, slots=True)
class Path:
    """Poses of many frames: `x`, `y`, `turn` [frames]."""

    x: Floats
    y: Floats
    turn: Floats

    def last(self) -> Pose:
        """The pose of the last frame."""
        return Pose(float(self.x[-1]), float(self.y[-1]), float(self.turn[-1] % 1.0))


def trace_path(scene: Scene, *, start_s: float, frames: int, fps: float, before: Pose | None) -> Path:
    """The shape's way through a segment that starts at `start_s` on the stream's clock, eased in from `before`."""
    # Frame -1 is where `before` was; the path starts one frame later.
    clock_s = start_s + np.arange(frames) / fps
    free = _free_path(scene, clock_s)
    if before is None:
        return free
    there = _free_path(scene, np.array([start_s - 1 / fps])).last()
    ease = np.clip((np.arange(frames) + 1) / (fps * JOIN_S), 0.0, 1.0)
    left = 1.0 - ease * ease * (3 - 2 * ease)
    # The short way round, so that a join never spins more than half a turn.
    turn_gap = (before.turn - there.turn + 0.5) % 1.0 - 0.5
    return Path(free.x + (before.x - there.x) * left, free.y + (before.y - there.y) * left, free.turn + turn_gap * left)


def _free_path(scene: Scene, clock_s: Floats) -> Path:
    phase = clock_s * scene.speed / TURN_S + scene.spread
    around = 2 * math.pi * phase
    motions = scene.motions
    x = np.full_like(phase, 0.5)
    y = np.full_like(phase, 0.47)
    turn = 0.02 * np.sin(around)
    if "drift" in motions:
        x = 0.5 + 0.26 * np.sin(around)
        y = 0.47 + 0.13 * np.sin(2 * around + 1.0)
    if "circle" in motions:
        x = 0.5 + 0.28 * np.cos(around)
        y = 0.47 + 0.26 * np.sin(around)
    if "bounce" in motions:
        # Touches the ground on each full second, when the sound has its pluck.
        y = 0.70 - 0.48 * np.abs(np.sin(math.pi * clock_s * scene.speed))
    if "left" in motions:
        x = _across(-phase)
    if "right" in motions:
        x = _across(phase)
    if "up" in motions:
        y = _across(-phase)
    if "down" in motions:
        y = _across(phase)
    if "spin" in motions:
        turn = phase * 2
    return Path(x, y, turn)


def _across(phase: Floats) -> Floats:
    # From just outside one edge to just outside the other, again and again.
    return (phase % 1.0) * _WRAP - (_WRAP - 1) / 2
