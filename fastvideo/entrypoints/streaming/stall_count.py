"""How often a player ran dry, as far as its word can be taken."""

from __future__ import annotations

_BURST = 10.0
_PER_S = 1.0


class StallCount:
    """Follows one player's own count, which begins at 0 again when its page does. Whatever it says, at most one stall a
    second counts, and ten at once. ``now_s``: monotonic seconds."""

    def __init__(self, now_s: float) -> None:
        self._last = 0
        self._room = _BURST
        self._at_s = now_s

    def reported(self, stalls: int, now_s: float) -> int:
        """The stalls that are new and believed."""
        self._room = min(_BURST, self._room + max(0.0, now_s - self._at_s) * _PER_S)
        self._at_s = now_s
        new = min(max(0, stalls - self._last), int(self._room))
        self._last = stalls
        self._room -= new
        return new
