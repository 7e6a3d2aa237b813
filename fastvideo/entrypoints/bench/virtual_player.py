"""A player without a picture: what a viewer would see of media that arrives when it does. Time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass

# What the page waits for before it plays, and before it plays on after a stall.
BUFFER_S = 0.5
# Sums of durations are not exact.
_EXACT_S = 1e-6


@dataclass(frozen=True)
class Stall:
    """The picture stood at ``position_s`` of the timeline, from ``at_s`` on for ``duration_s``."""

    at_s: float
    position_s: float
    duration_s: float


@dataclass(frozen=True)
class _Stretch:
    """Played without a pause: from ``position_s`` on, which was shown at ``at_s``."""

    at_s: float
    position_s: float


class VirtualPlayer:
    """Starts once ``buffer_s`` of media is there, plays in real time, and stands still when it has none left.

    Running dry is a stall while more is owed, which it is until :meth:`ended`. After a stall it plays on when
    ``buffer_s`` is there again. Times of calls never go back; ValueError if one does.
    """

    def __init__(self, buffer_s: float = BUFFER_S) -> None:
        self._buffer_s = buffer_s
        self._stretches: list[_Stretch] = []
        self._stalls: list[Stall] = []
        self._start_s: float | None = None
        self._end_s = 0.0
        self._position_s = 0.0
        self._at_s = -math.inf
        self._playing = False
        self._owed = True
        self._dry_at_s: float | None = None

    @property
    def stalls(self) -> list[Stall]:
        """Those that are over."""
        return list(self._stalls)

    @property
    def started_at_s(self) -> float | None:
        """When playback began."""
        return self._stretches[0].at_s if self._stretches else None

    @property
    def begun_at_s(self) -> float:
        """Where on the timeline the picture began."""
        return self._start_s or 0.0

    @property
    def dry_at_s(self) -> float | None:
        """Since when the picture stands, None while it does not."""
        return self._dry_at_s

    @property
    def position_s(self) -> float:
        """Where on the timeline the picture was at the last call."""
        return self._position_s

    @property
    def ahead_s(self) -> float:
        """Media that had arrived and was not yet played at the last call."""
        return self._end_s - self._position_s

    def received(self, start_s: float, end_s: float, now_s: float) -> None:
        """Media from ``start_s`` to ``end_s`` of the timeline has arrived; a timeline may begin anywhere."""
        self.look(now_s)
        if self._start_s is None:
            self._start_s = self._position_s = self._end_s = start_s
        self._end_s = max(self._end_s, end_s)
        self._owed = True
        if not self._playing and self.ahead_s >= self._buffer_s - _EXACT_S:
            self._play(now_s)

    def ended(self, now_s: float) -> None:
        """Nothing more is owed for now: what is there plays to its end, and then the picture rests."""
        self.look(now_s)
        self._owed = False
        if not self._playing:
            if self.ahead_s > 0:
                self._play(now_s)
            else:
                self._stall_over(now_s)

    def look(self, now_s: float) -> None:
        """Play on until ``now_s``."""
        if now_s < self._at_s:
            raise ValueError(f"expected a time of at least {self._at_s:g}, got {now_s:g}")
        if self._playing:
            left_s = self.ahead_s
            if now_s - self._at_s <= left_s:
                self._position_s += now_s - self._at_s
            else:
                self._position_s = self._end_s
                self._playing = False
                if self._owed:
                    self._dry_at_s = self._at_s + left_s
        self._at_s = now_s

    def finish(self, now_s: float) -> None:
        """The viewer leaves; a stall that lasts until then counts up to now."""
        self.look(now_s)
        self._stall_over(now_s)
        self._playing = False

    def shown_at_s(self, position_s: float) -> float | None:
        """When a place of the timeline was on the screen, None if it was not until the last call."""
        if position_s >= self._position_s:
            # Where a player ran dry it has shown what lies before, and not what begins there.
            return None
        for stretch in reversed(self._stretches):
            if stretch.position_s <= position_s:
                return stretch.at_s + position_s - stretch.position_s
        return None

    def _play(self, now_s: float) -> None:
        self._stall_over(now_s)
        self._playing = True
        self._stretches.append(_Stretch(now_s, self._position_s))

    def _stall_over(self, now_s: float) -> None:
        if self._dry_at_s is not None:
            self._stalls.append(Stall(self._dry_at_s, self._position_s, now_s - self._dry_at_s))
            self._dry_at_s = None
