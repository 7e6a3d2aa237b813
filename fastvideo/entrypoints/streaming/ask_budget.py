"""How often one session may ask language models. Plain book-keeping: time is an argument, in seconds."""

from __future__ import annotations


class AskBudget:
    """At most ``per_minute`` questions at once, and as many a minute after that."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left = float(per_minute)
        self._at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Whether one more question may be asked; it is then taken to be asked."""
        if self._at_s is not None:
            self._left = min(self._most, self._left + (now_s - self._at_s) * self._most / 60.0)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
