"""A thread-safe word on what comes after the work that runs now."""

from __future__ import annotations

import threading

from fastvideo.api.schema import GenerationRequest


class UpcomingText:
    """Told by whoever knows the next segment's request, read by the work on this one, which may encode its text.

    It belongs to one piece of work and ends with it. Only the newest request counts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._request: GenerationRequest | None = None

    def tell(self, request: GenerationRequest) -> None:
        """The next request, as far as is known now; its state does not matter."""
        with self._lock:
            self._request = request

    def take(self) -> GenerationRequest | None:
        """The newest request that was told and not taken yet."""
        with self._lock:
            request, self._request = self._request, None
            return request
