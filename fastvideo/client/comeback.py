"""When a client comes back after its connection ended, and for how long it goes on trying. Time is an argument."""

from __future__ import annotations

# A connection that holds for so long, or brings media, was worth it: the next loss is another matter.
STEADY_S = 5.0
# Whoever asks for more patience is not waited for.
LONGEST_RETRY_AFTER_S = 60.0


class Comeback:
    """Pauses that double from ``first_pause_s`` to ``longest_pause_s``, until a session's grace time is over.

    A server that takes a session back and loses it again at once, again and again, is given no more time than that.
    """

    def __init__(self, first_pause_s: float, longest_pause_s: float) -> None:
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._pause_s = first_pause_s
        self._until_s = self._at_last_s = 0.0
        self._sequence = -1
        self._back_s: float | None = None

    def lost(self, now_s: float, sequence: int, grace_s: float) -> None:
        """The connection ended after fragment ``sequence``; the server keeps the session for ``grace_s``."""
        if self._back_s is None or sequence > self._sequence or now_s - self._back_s >= STEADY_S:
            self._pause_s = self._first_pause_s
            self._until_s = now_s + grace_s
            self._at_last_s = self._until_s + LONGEST_RETRY_AFTER_S
        self._sequence = sequence

    def pause_s(self, now_s: float, chance: float, retry_after_s: float | None = None) -> float | None:
        """How long to wait before the next attempt, None to give up.

        ``chance``, from 0 to 1, spreads clients that lost their connections at once. ``retry_after_s``: what the server
        asked for, which may be longer than the grace time: what it stores of a session lasts longer.
        """
        asked_s = retry_after_s or 0.0
        if asked_s > 0:
            self._until_s = min(max(self._until_s, now_s + asked_s + self._longest_pause_s), self._at_last_s)
        if asked_s > LONGEST_RETRY_AFTER_S or now_s + asked_s + self._pause_s > self._until_s:
            return None
        wait_s = asked_s + self._pause_s * (0.5 + chance / 2)
        self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
        return wait_s

    def back(self, now_s: float) -> None:
        """The session goes on."""
        self._back_s = now_s
