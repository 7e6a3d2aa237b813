"""Which of several providers is asked when. Plain book-keeping: time comes in as an argument, in seconds."""

from __future__ import annotations

from collections import deque

MAX_ASKS = 3


class Turns:
    """One question to several providers: the first at once, each next one when the others failed or take long."""

    def __init__(self, providers: int, *, now_s: float, timeout_s: float, hedge_after_s: float) -> None:
        self.deadline_s = now_s + timeout_s
        self._hedge_after_s = hedge_after_s
        self._fresh = deque(range(providers))
        self._next_fresh_s = now_s
        self._again_s: dict[int, float] = {}
        self._asks = [0] * providers

    def due(self, now_s: float) -> list[int]:
        """The providers to ask now; each is taken to be asked."""
        if now_s >= self.deadline_s:
            return []
        due = [index for index, at_s in self._again_s.items() if at_s <= now_s]
        for index in due:
            del self._again_s[index]
        if self._fresh and self._next_fresh_s <= now_s:
            due.append(self._fresh.popleft())
            self._next_fresh_s = now_s + self._hedge_after_s
        for index in due:
            self._asks[index] += 1
        return due

    def failed(self, index: int, now_s: float, *, others_may: bool, again_after_s: float | None) -> None:
        """A provider gave no good answer. ``others_may``: it is not the question that is wrong, so go on asking;
        ``again_after_s``: when the same one may be asked again, at most three times in all."""
        if not others_may:
            self._fresh.clear()
            self._again_s.clear()
            return
        self._next_fresh_s = now_s
        if again_after_s is None or self._asks[index] >= MAX_ASKS:
            return
        if now_s + again_after_s < self.deadline_s:
            self._again_s[index] = now_s + again_after_s

    @property
    def next_s(self) -> float | None:
        """When :meth:`due` has somebody again, if nobody fails or answers before; None when nobody is left."""
        fresh = [self._next_fresh_s] if self._fresh else []
        return min([*fresh, *self._again_s.values()], default=None)
