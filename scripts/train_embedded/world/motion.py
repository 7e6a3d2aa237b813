"""Where a thing is at any time: closed forms, so that a later segment continues an earlier one exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastvideo.eval.meters.track import Floats, Track
from fastvideo.eval.world import FPS
from fastvideo.eval.world.scene import Motion

EDGE_GAP = 0.02
LARGEST_RADIUS = 0.36
_GRAVITY = 1.4
BOUNCE_HEIGHT = 0.4
ORBIT_RADIUS = 0.2
_ORBIT_SETTLES_PER_S = 2.0


@dataclass(frozen=True)
class Arena:
    """The part of the frame that a thing stays in."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def reach(self, radius: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Lowest and highest x, then y, of the centre of a thing of that radius."""
        margin = radius + EDGE_GAP
        return _span(self.left + margin, self.right - margin), _span(self.top + margin, self.bottom - margin)


@dataclass(frozen=True)
class Pose:
    """Centre, outer radius and rotation (in turns, clockwise)."""

    x: float
    y: float
    radius: float
    turns: float = 0.0


@dataclass(frozen=True)
class Trajectory:
    """One motion from the pose at ``start_frame`` on, for ever: at an edge a directed thing turns round.

    ``rate`` is in frame heights per second (of the radius for GROW), or turns per second for SPIN and CIRCLE.
    """

    motion: Motion
    start_frame: int
    pose: Pose
    arena: Arena
    rate: float

    def at(self, seconds: Floats) -> Track:
        """Poses at times since the story's start, none before ``start_frame``."""
        t = seconds - self.start_frame / FPS
        x, y = np.full_like(t, self.pose.x), np.full_like(t, self.pose.y)
        radius, turns = np.full_like(t, self.pose.radius), np.full_like(t, self.pose.turns)
        (left, right), (top, bottom) = self.arena.reach(self.pose.radius)
        match self.motion:
            case Motion.LEFT | Motion.RIGHT:
                x = _turning(self.pose.x, self.motion.direction[0] * self.rate * t, left, right)
            case Motion.UP | Motion.DOWN:
                y = _turning(self.pose.y, self.motion.direction[1] * self.rate * t, top, bottom)
            case Motion.BOUNCE:
                floor, height, period, since_floor = self._bounce()
                share = ((t + since_floor) / period) % 1.0
                y = floor - 4 * height * share * (1 - share)
            case Motion.CIRCLE:
                x, y = self._orbit(t)
            case Motion.GROW:
                radius = _turning(self.pose.radius, self.rate * t, 0.1, LARGEST_RADIUS)
                # What grows beside an edge is pushed away from it.
                margin = radius + EDGE_GAP
                x = np.clip(x, self.arena.left + margin, self.arena.right - margin)
                y = np.clip(y, self.arena.top + margin, self.arena.bottom - margin)
            case Motion.SPIN:
                turns = turns + self.rate * t
            case Motion.STILL:
                pass
        return Track(x, y, radius, turns)

    def pose_at(self, frame: int) -> Pose:
        track = self.at(np.array([frame / FPS]))
        return Pose(float(track.x[0]), float(track.y[0]), float(track.radius[0]), float(track.turns[0] % 1.0))

    def impacts(self, start_s: float, end_s: float) -> Floats:
        """Times in start_s..end_s, end excluded, at which a bouncing thing hits the floor; none for other motions."""
        if self.motion is not Motion.BOUNCE:
            return np.empty(0)
        _, _, period, since_floor = self._bounce()
        origin = self.start_frame / FPS - since_floor
        first = max(1, math.ceil((start_s - origin) / period))
        last = math.ceil((end_s - origin) / period)
        return origin + period * np.arange(first, last, dtype=np.float64)

    def _bounce(self) -> tuple[float, float, float, float]:
        """Floor, height, period in s, and how long before the start the thing would have left the floor."""
        _, (top, floor) = self.arena.reach(self.pose.radius)
        floor = max(floor, self.pose.y)
        above = floor - self.pose.y
        height = max(above, min(BOUNCE_HEIGHT, floor - top))
        period = 2 * math.sqrt(2 * height / _GRAVITY)
        root = math.sqrt(max(0.0, 1 - above / height))
        # High up it falls, low down it is thrown up first.
        share = (1 + root) / 2 if above >= 0.8 * height else (1 - root) / 2
        return floor, height, period, share * period

    def _orbit(self, t: Floats) -> tuple[Floats, Floats]:
        """A clockwise circle through the pose, towards the middle of the arena, that settles to its radius."""
        (left, right), (top, bottom) = self.arena.reach(self.pose.radius)
        size = min(ORBIT_RADIUS, (right - left) / 2, (bottom - top) / 2)
        to_middle = (left + right) / 2 - self.pose.x, (top + bottom) / 2 - self.pose.y
        distance = math.hypot(*to_middle)
        ahead = (to_middle[0] / distance, to_middle[1] / distance) if distance > 1e-9 else (0.0, 1.0)
        centre_x = min(max(self.pose.x + size * ahead[0], left + size), right - size)
        centre_y = min(max(self.pose.y + size * ahead[1], top + size), bottom - size)
        from_x, from_y = self.pose.x - centre_x, self.pose.y - centre_y
        settled = 1 - np.exp(-_ORBIT_SETTLES_PER_S * t)
        radius = math.hypot(from_x, from_y) + (size - math.hypot(from_x, from_y)) * settled
        angle = math.atan2(from_y, from_x) + 2 * math.pi * self.rate * t
        x, y = centre_x + radius * np.cos(angle), centre_y + radius * np.sin(angle)
        # From a corner the circle begins too wide: until it has settled, it slides along the edge.
        return (
            np.clip(x, min(left, self.pose.x), max(right, self.pose.x)),
            np.clip(y, min(top, self.pose.y), max(bottom, self.pose.y)),
        )


def _span(low: float, high: float) -> tuple[float, float]:
    """The interval, or its middle when a thing is larger than its arena."""
    return (low, high) if low <= high else ((low + high) / 2, (low + high) / 2)


def _turning(start: float, moved: Floats, low: float, high: float) -> Floats:
    """``start + moved``, reflected at both ends of low..high (widened to include the start)."""
    low, high = min(low, start), max(high, start)
    if high - low < 1e-9:
        return np.full_like(moved, start)
    folded = (start - low + moved) % (2 * (high - low))
    return low + np.minimum(folded, 2 * (high - low) - folded)
