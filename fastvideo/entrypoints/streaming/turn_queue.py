"""Whose segment is made next, and by which worker. Plain book-keeping."""

from __future__ import annotations

from collections.abc import Sequence


class TurnQueue:
    """Sessions that wait for a worker, one turn each: first come, first served, and if possible by the worker that a
    session knows. As a session asks anew after each segment, sessions take turns."""

    def __init__(self) -> None:
        self._waiting: dict[str, int | None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._waiting

    def ask(self, session_id: str, *, home: int | None, first: bool = False) -> None:
        """Wait for a worker, ``home`` if it is free then. ``first``: before all others. Raises ValueError when the
        session waits already."""
        if session_id in self._waiting:
            raise ValueError(f"session {session_id} waits already")
        if first:
            self._waiting = {session_id: home, **self._waiting}
        else:
            self._waiting[session_id] = home

    def leave(self, session_id: str) -> bool:
        """Wait no longer; tells whether the session did."""
        return self._waiting.pop(session_id, False) is not False

    def take(self, ready: Sequence[int]) -> list[tuple[str, int]]:
        """Give the ready workers to those who wait longest; who gets one does not wait any more."""
        free = list(ready)
        given = []
        for session_id in list(self._waiting)[: len(free)]:
            home = self._waiting.pop(session_id)
            # Of the others, rather one that nobody who waits calls home.
            worker = home if home in free else min(free, key=lambda index: (index in self._waiting.values(), index))
            assert worker is not None
            free.remove(worker)
            given.append((session_id, worker))
        return given
