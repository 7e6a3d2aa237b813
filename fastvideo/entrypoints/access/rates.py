"""How often something may happen. Plain book-keeping: time is an argument, in seconds, and never goes back."""

from __future__ import annotations

from collections import deque


class Rate:
    """``per_second`` on average, and twice as many at once, or one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, 2.0 * per_second)
        self._left = self._most
        self._at_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """How long until one more may happen; 0.0 is now."""
        self._refill(now_s)
        return max(0.0, (1.0 - self._left) / self._per_second)

    def note(self, now_s: float) -> None:
        """One more happens."""
        self._refill(now_s)
        self._left -= 1.0

    def idle(self, now_s: float) -> bool:
        """Whether nothing happened for so long that it makes no difference any more."""
        self._refill(now_s)
        return self._left >= self._most

    def _refill(self, now_s: float) -> None:
        if self._at_s is not None:
            self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s


class Window:
    """At most ``count`` (which is ``most``) in any ``seconds``."""

    def __init__(self, count: int, seconds: float) -> None:
        self.most = count
        self._seconds = seconds
        self._happened_s: deque[float] = deque()

    def wait_s(self, now_s: float, count: int = 1) -> float:
        """How long until so many more, at most ``most``, may happen; 0.0 is now."""
        self._forget(now_s)
        over = len(self._happened_s) + count - self.most
        if over <= 0:
            return 0.0
        return self._happened_s[over - 1] + self._seconds - now_s

    def note(self, now_s: float, count: int = 1) -> None:
        """So many more happen."""
        self._happened_s.extend([now_s] * count)

    def idle(self, now_s: float) -> bool:
        """Whether nothing happened for so long that it makes no difference any more."""
        self._forget(now_s)
        return not self._happened_s

    def _forget(self, now_s: float) -> None:
        while self._happened_s and self._happened_s[0] + self._seconds <= now_s:
            self._happened_s.popleft()
