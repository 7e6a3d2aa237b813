"""A thread-safe request to stop."""

from __future__ import annotations

import threading

from fastvideo.api.errors import GenerationCancelled


class CancellationToken:
    """Set once by whoever wants the work to stop, read by the work at each step and chunk."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

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
