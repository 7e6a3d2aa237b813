"""Many jobs, which arrive at random moments, so many at a time at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from fastvideo.entrypoints.bench.job import JobMetrics, JobOutcome, JobRequest, calculate_metrics
from fastvideo.entrypoints.bench.job_client import JobClient


class JobLoad:
    """Requests that arrive at ``arrivals_s`` after the start. What is known of them can be read at any time."""

    def __init__(
        self,
        client: JobClient,
        requests: Sequence[JobRequest],
        arrivals_s: Sequence[float],
        *,
        max_concurrency: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._requests = requests
        self._arrivals_s = arrivals_s
        self._free = asyncio.Semaphore(max_concurrency)
        self._clock = clock
        self.begun_s = self.ended_s = clock()
        self.outcomes: list[JobOutcome] = []

    @property
    def total(self) -> int:
        """Jobs there will be."""
        return len(self._requests)

    def metrics(self) -> JobMetrics:
        """What they come to."""
        return calculate_metrics(self.outcomes, self.ended_s - self.begun_s)

    async def run(self) -> None:
        """Until the last job is over."""
        self.begun_s = self._clock()
        try:
            async with asyncio.TaskGroup() as jobs:
                for request, arrival_s in zip(self._requests, self._arrivals_s, strict=True):
                    due_s = self.begun_s + arrival_s
                    await asyncio.sleep(due_s - self._clock())
                    outcome = JobOutcome(due_s)
                    self.outcomes.append(outcome)
                    jobs.create_task(self._run(request, outcome))
        finally:
            self.ended_s = self._clock()

    async def _run(self, request: JobRequest, outcome: JobOutcome) -> None:
        async with self._free:
            await self._client.run(request, outcome, self._clock)
