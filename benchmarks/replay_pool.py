"""The in-process pool with the coder left out: its worker thread hands on media that is coded already."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from typing import Any

from benchmarks.replay import FRAGMENT_S, ReplayLoad
from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.schema import GenerationRequest, GpuPoolConfig
from fastvideo.entrypoints.streaming.gpu_pool import InProcessGpuPool
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.media.boxes import box

_MIME = 'video/mp4; codecs="avc1.42c01f"'


class _NoGenerator:
    """What the pool runs when nobody asks it to generate."""

    model_id = "replay"

    def generate(self, request: GenerationRequest) -> Any:
        raise NotImplementedError("the replay pool sends what is coded already")


class ReplayPool(InProcessGpuPool):
    """Turns, thread, channel and admission are the in-process pool's own; only the work of a turn is a replay."""

    def __init__(self, load: ReplayLoad, *, sessions_per_worker: int) -> None:
        super().__init__(_NoGenerator(), config=GpuPoolConfig(sessions_per_worker=sessions_per_worker))
        self._load = load
        self._fragment = load.fragment()

    async def stream(
        self, session_id: str, job: SegmentJob, *, cancel: CancellationToken | None = None
    ) -> AsyncGenerator[SegmentEvent, None]:
        token = cancel or CancellationToken()
        async with contextlib.aclosing(self._turn(session_id, lambda: self._replay(job, token), token)) as events:
            async for event in events:
                yield event

    def _replay(self, job: SegmentJob, cancel: CancellationToken) -> Generator[SegmentEvent, None, None]:
        began_s = time.monotonic()
        yield SegmentStarted(1)
        yield SegmentProgress(1, 1)
        yield SegmentInit(_MIME, box(b"ftyp", bytes(8)) + box(b"moov", bytes(800)))
        first, base_ms = job.cursor.sequence, job.segment_idx * self._load.segment_s * 1000
        for index in range(self._load.fragments):
            # A copy each, as a coder would give.
            data = bytes(bytearray(self._fragment))
            yield SegmentFragment(data, first + index, base_ms + index * FRAGMENT_S * 1000, FRAGMENT_S * 1000)
            if cancel.wait(max(0.0, began_s + (index + 1) * self._load.spacing_s - time.monotonic())):
                cancel.raise_if_cancelled()
        yield SegmentDone(
            cursor=replace(job.cursor, sequence=first + self._load.fragments),
            state=None,
            frames=round(self._load.segment_s * job.request.sampling.fps),
            duration_ms=self._load.segment_s * 1000,
            pts_base_ms=base_ms,
            generation_ms=(time.monotonic() - began_s) * 1000,
        )
