"""Many viewers at once, who arrive at random moments."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from fastvideo.entrypoints.bench.live_session import LiveSession, Visit, watch
from fastvideo.entrypoints.bench.session_trace import SessionTrace


class LiveLoad:
    """Sessions that arrive at ``arrivals_s`` after the start. What is known of them can be read at any time."""

    def __init__(
        self,
        url: str,
        visit: Visit,
        arrivals_s: Sequence[float],
        *,
        seed: int,
        api_key: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._visit = visit
        self._arrivals_s = arrivals_s
        self._seed = seed
        self._api_key = api_key
        self._clock = clock
        self.begun_s = self.ended_s = clock()
        self.sessions: list[LiveSession] = []

    @property
    def total(self) -> int:
        """Sessions there will be."""
        return len(self._arrivals_s)

    async def run(self) -> None:
        """Until the last viewer has left."""
        self.begun_s = self._clock()
        try:
            async with asyncio.TaskGroup() as viewers:
                for index, arrival_s in enumerate(self._arrivals_s):
                    await asyncio.sleep(self.begun_s + arrival_s - self._clock())
                    session = LiveSession(SessionTrace(self._clock(), self._visit.buffer_s))
                    self.sessions.append(session)
                    # Each viewer has random numbers of its own, so that the order of events changes nothing.
                    rng = random.Random(f"{self._seed}/{index}")
                    viewers.create_task(watch(session, self._url, self._visit, rng, self._clock, self._api_key))
        finally:
            self.ended_s = self._clock()
