"""Sessions that ended without their client's will, whose states are kept for when it comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable

MAX_SESSIONS = 32


class LeftBehind:
    """The newest ``max_sessions`` of one server, each with what forgets it; thread-safe.

    A store that several servers share has more of them, which go with their time to live.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._lock = threading.Lock()
        self._sessions: dict[str, Callable[[], None]] = {}

    def add(self, session_id: str, forget: Callable[[], None]) -> None:
        """Keep one; :meth:`tidy` follows."""
        with self._lock:
            self._sessions[session_id] = forget

    def tidy(self) -> None:
        """Forget the oldest of too many; may wait for a disk or a network."""
        while len(self._sessions) > self._max_sessions and self.forget_oldest():
            pass

    def take(self, session_id: str) -> None:
        """Its client is back."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def forget_oldest(self) -> bool:
        """Make room in the stores; whether there was one to forget. May wait for a disk or a network."""
        with self._lock:
            if not self._sessions:
                return False
            forget = self._sessions.pop(next(iter(self._sessions)))
        forget()
        return True
