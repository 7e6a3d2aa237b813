"""Where the viewer is on the timeline, and so how far generation is ahead."""

from __future__ import annotations

# Players come to rest up to this much before the end of what they have: they hold before they run dry, and sound ends
# before the picture.
REST_MS = 250.0


class ViewerClock:
    """The viewer's position in milliseconds of the timeline, told by the player or else by the wall clock.

    Playback starts with the first media sent, goes on in real time, and stops at the end of what was sent.
    """

    def __init__(self) -> None:
        self._position_ms = 0.0
        self._at_s: float | None = None
        self._end_ms = 0.0
        self._reports = False

    def begin_at(self, position_ms: float) -> None:
        """Before anything else: what lies before came from elsewhere, and the viewer is taken to be at its end."""
        self._position_ms = self._end_ms = position_ms

    @property
    def reports(self) -> bool:
        """Whether the player tells where it is."""
        return self._reports

    @property
    def end_ms(self) -> float:
        """End of the media sent so far."""
        return self._end_ms

    def sent(self, end_ms: float, now_s: float) -> None:
        """Media up to ``end_ms`` is on its way to the viewer."""
        self._advance(now_s)
        if self._at_s is None or self._position_ms >= self._end_ms:
            # Playback starts, or starts again after it ran dry.
            self._at_s = now_s
        self._end_ms = max(self._end_ms, end_ms)

    def reported(self, position_ms: float, now_s: float) -> None:
        """The player says where it is; it cannot be beyond what was sent. One that rests at the end of that has been
        dry since it came there, however often it says so."""
        self._reports = True
        self._advance(now_s)
        position_ms = min(position_ms, self._end_ms)
        ran_dry = self._at_s is not None and self._position_ms >= self._end_ms
        if ran_dry and self._end_ms - position_ms <= REST_MS:
            return
        self._position_ms = position_ms
        if self._at_s is not None:
            self._at_s = now_s

    def ahead_ms(self, now_s: float) -> float:
        """Media sent and not yet played."""
        self._advance(now_s)
        return self._end_ms - self._position_ms

    def dry_ms(self, now_s: float) -> float:
        """How long the viewer has had nothing left to play; 0 while there is something."""
        if self._at_s is None:
            return 0.0
        return max(0.0, self._position_ms + (now_s - self._at_s) * 1000.0 - self._end_ms)

    def _advance(self, now_s: float) -> None:
        if self._at_s is None:
            return
        played_ms = max(0.0, now_s - self._at_s) * 1000.0
        if self._position_ms + played_ms < self._end_ms:
            self._position_ms += played_ms
            self._at_s = now_s
        else:
            # Out of media: the clock stays at the moment that happened, so that dry_ms can tell.
            self._at_s += (self._end_ms - self._position_ms) / 1000.0
            self._position_ms = self._end_ms
