"""How long each part of a segment took, without the time that its consumer took between the events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Sums of milliseconds by name; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ms: dict[str, float] = {}

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the time of this block, also when it fails."""
        began_s = self._clock()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + 1000 * (self._clock() - began_s)

    def timing_each(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """The same items; the time counts in which each is made."""
        while True:
            with self.timing(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
