"""A thread-safe request to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fastvideo.api.errors import GenerationCancelled


class CancellationToken:
    """Set once by whoever wants the work to stop, read by the work at each step and chunk."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self) -> None:
        with self._lock:
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back once somebody asks to stop, on their thread; at once when they have."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``, or until cancelled; tells whether it was."""
        return self._event.wait(timeout_s)

    def raise_if_cancelled(self) -> None:
        """Raise :class:`GenerationCancelled` when somebody asked to stop."""
        if self._event.is_set():
            raise GenerationCancelled("the generation was cancelled")
