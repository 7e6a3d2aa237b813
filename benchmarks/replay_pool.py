"""The in-process pool with the coder left out: its worker thread hands on media that is coded already."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from benchmarks.replay import ReplayLoad
from benchmarks.replay_segment import NoGenerator, replay_segment
from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.schema import GpuPoolConfig
from fastvideo.entrypoints.streaming.gpu_pool import InProcessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentEvent, SegmentJob


class ReplayPool(InProcessGpuPool):
    """Turns, thread, channel and admission are the in-process pool's own; only the work of a turn is a replay."""

    def __init__(self, load: ReplayLoad, *, sessions_per_worker: int) -> None:
        super().__init__(NoGenerator(), config=GpuPoolConfig(sessions_per_worker=sessions_per_worker))
        self._load = load
        self._fragment = load.fragment()

    async def stream(
        self, session_id: str, job: SegmentJob, *, cancel: CancellationToken | None = None
    ) -> AsyncGenerator[SegmentEvent, None]:
        token = cancel or CancellationToken()
        replayed = self._turn(session_id, lambda: replay_segment(self._load, self._fragment, job, token), token)
        async with contextlib.aclosing(replayed) as events:
            async for event in events:
                yield event
