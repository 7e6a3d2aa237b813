"""The pool that lives in the server's own process: one worker thread around one generator.

Between sessions the segments take turns, first come, first served.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import logging
import os
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationCancelled
from fastvideo.api.schema import GenerationRequest, GpuPoolConfig
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.streaming.admission import Admission
from fastvideo.entrypoints.streaming.pool_base import (
    GpuPool,
    OnPlace,
    PoolAssignment,
    PoolHealth,
    PoolUnavailable,
    WorkerStanding,
    WorkerState,
)
from fastvideo.entrypoints.streaming.segment_channel import SegmentChannel
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentEvent, SegmentJob
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.entrypoints.streaming.waiting_room import WaitingRoom
from fastvideo.entrypoints.streaming.warmup import Warmup, WarmupReport, run_warmup
from fastvideo.entrypoints.streaming.worker import SegmentGenerator, generate_whole, preset_defaults, run_segment
from fastvideo.entrypoints.streaming.worker_thread import Turn, WorkerThread

logger = logging.getLogger(__name__)

_JOIN_S = 5.0

T = TypeVar("T")


class InProcessGpuPool(GpuPool):
    """One worker thread around one generator.

    ``config``: sessions admitted at once and how soon an idle one yields; ``queue_length``: sessions that may wait;
    ``warmup``: what to generate in :meth:`start` before the first session is admitted; ``expected_segments`` per
    session, for estimates; ``clock`` gives monotonic seconds. ``session_store`` is the one that the server shares.
    """

    def __init__(
        self,
        generator: SegmentGenerator,
        *,
        gpu_id: int = 0,
        session_store: SessionStore | None = None,
        config: GpuPoolConfig | None = None,
        queue_length: int = 256,
        warmup: Warmup | None = None,
        expected_segments: int = 6,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = config or GpuPoolConfig()
        self.session_store = session_store
        self.model_id = getattr(generator, "model_id", None)
        self.request_defaults = preset_defaults(generator)
        self.worker_id = f"inproc-{uuid.uuid4().hex[:6]}"
        self._generator = generator
        self._gpu_id = gpu_id
        self._clock = clock
        self._slots = settings.sessions_per_worker
        self._warmup = warmup
        self._report = WarmupReport(enabled=warmup is not None)
        self._admission = Admission(
            slots=self._slots if warmup is None else 0,
            max_waiting=queue_length,
            idle_yield_s=settings.idle_yield_seconds,
            segments_per_lease=expected_segments,
        )
        self._room = WaitingRoom(self._admission, assign=self._assign, clock=clock)
        self._turns: dict[str, Turn[Any]] = {}
        self._upcoming: dict[str, UpcomingText] = {}
        self._worker = WorkerThread(self.worker_id)
        self._closed = False

    # --- admission

    async def acquire(
        self,
        session_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> PoolAssignment:
        return await self.join(session_id, timeout=timeout)

    async def join(
        self,
        session_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        on_place: OnPlace | None = None,
    ) -> PoolAssignment:
        self._check_open()
        return await self._room.join(session_id, timeout=timeout, on_place=on_place)

    async def join_job(self, job_id: str) -> PoolAssignment:
        self._check_open()
        return await self._room.join_job(job_id)

    def _check_open(self) -> None:
        if self._closed or self._report.success is False:
            raise PoolUnavailable("no worker is ready to generate")

    async def release(self, session_id: str) -> None:
        turn = self._turns.pop(session_id, None)
        if turn is not None:
            # Whoever still reads does not wait for the generator to heed it.
            turn.channel.end(GenerationCancelled("the segment was cancelled"))
            turn.abandon()
        self._room.leave(session_id)

    def _assign(self, session_id: str) -> PoolAssignment:
        del session_id
        return PoolAssignment(self._gpu_id, self.worker_id, self._clock())

    # --- turns

    async def stream(
        self, session_id: str, job: SegmentJob, *, cancel: CancellationToken | None = None
    ) -> AsyncGenerator[SegmentEvent, None]:
        token, upcoming = cancel or CancellationToken(), UpcomingText()
        work = functools.partial(run_segment, self._generator, job, token, upcoming)
        async with contextlib.aclosing(self._turn(session_id, work, token)) as events:
            self._upcoming[session_id] = upcoming
            try:
                async for event in events:
                    yield event
            finally:
                if self._upcoming.get(session_id) is upcoming:
                    del self._upcoming[session_id]

    def encode_ahead(self, session_id: str, request: GenerationRequest) -> None:
        upcoming = self._upcoming.get(session_id)
        if upcoming is not None:
            # A copy, as a worker process has one: whoever asks may go on to change theirs.
            upcoming.tell(copy.deepcopy(request))

    async def run(self, session_id: str, request: GenerationRequest) -> Any:
        cancel = CancellationToken()

        def generate() -> Generator[Any, None, None]:
            yield generate_whole(self._generator, request, cancel)

        async with contextlib.aclosing(self._turn(session_id, generate, cancel)) as results:
            return await anext(results)

    async def _turn(
        self, session_id: str, work: Callable[[], Generator[T, None, None]], cancel: CancellationToken
    ) -> AsyncGenerator[T, None]:
        if not self._room.holds(session_id):
            raise RuntimeError(f"session {session_id} has no worker; acquire one first")
        if session_id in self._turns:
            raise RuntimeError(f"session {session_id} has a segment running already")
        turn = Turn(work, SegmentChannel(asyncio.get_running_loop()), cancel, clock=self._clock)
        self._worker.submit(turn)
        self._turns[session_id] = turn
        self._room.started(session_id)
        try:
            async for event in turn.channel:
                yield event
        finally:
            turn.abandon()
            if self._turns.get(session_id) is turn:
                del self._turns[session_id]
                self._room.finished(session_id, turn.busy_s)

    # --- life

    async def start(self) -> None:
        """Warm up, then admit sessions; a failed warm-up is logged and shows in the health report."""
        if self._warmup is None or self._report.success is not None:
            return
        cancel = CancellationToken()
        warmup = self._warmup
        turn = Turn(
            lambda: run_warmup(self._generator, warmup, cancel), SegmentChannel(asyncio.get_running_loop()), cancel
        )
        self._worker.submit(turn)
        try:
            async with asyncio.timeout(warmup.timeout_s):
                names = iter(("first_ms", "continued_ms"))
                async for event in turn.channel:
                    if isinstance(event, SegmentDone):
                        self._report.timings_ms[next(names)] = event.generation_ms
        except (FastVideoError, TimeoutError) as error:
            logger.exception("the warm-up failed: no session will be admitted")
            self._report.success = False
            self._report.error = "timed out" if isinstance(error, TimeoutError) else str(error)
            self._fail_waiters()
        else:
            self._report.success = True
            self._room.set_slots(self._slots)
        finally:
            turn.abandon()

    async def shutdown(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._room.close()
        for turn in self._turns.values():
            turn.cancel.cancel()
            turn.channel.end(PoolUnavailable("the pool is shut down"))
        self._fail_waiters()
        self._worker.stop()
        if not await asyncio.to_thread(self._worker.join, _JOIN_S):
            logger.error("the generator did not stop within %g s; its thread is left behind", _JOIN_S)

    def _fail_waiters(self) -> None:
        self._room.fail(lambda: PoolUnavailable("no worker is ready to generate"))

    # --- health

    @property
    def turns_waiting(self) -> int:
        """Segments that are asked for and wait for their turn."""
        return max(0, len(self._turns) - 1)

    @property
    def ready(self) -> bool:
        """Whether a session that comes now would be served."""
        return self._worker.alive and self._report.ready

    @property
    def workers(self) -> list[WorkerStanding]:
        return [WorkerStanding(self.worker_id, self._state(), os.getpid())]

    def _state(self) -> WorkerState:
        if self._report.enabled and self._report.success is None:
            return "booting"
        if not self.ready:
            return "dead"
        return "busy" if self._turns else "ready"

    def health(self) -> PoolHealth:
        return PoolHealth(
            total_workers=1,
            available_workers=int(self.ready and self._admission.free_slots > 0),
            active_sessions=self._admission.leases,
            queued_sessions=self._admission.waiting,
        )

    def get_status(self) -> dict[str, Any]:
        """The documented shape of ``/status``."""
        health = self.health()
        report = self._report
        return {
            "total_gpus": health.total_workers,
            "available_gpus": health.available_workers,
            "queue_size": health.queued_sessions,
            "warmup_enabled": report.enabled,
            "warmup_successful_gpus": int(report.success is True),
            "warmup_failed_gpus": int(report.success is False),
            "gpu_status": {
                str(self._gpu_id): {
                    "ready": self.ready,
                    "available": health.available_workers > 0,
                    "client_count": health.active_sessions,
                    "current_model_id": self.model_id,
                    "process_alive": self._worker.alive,
                    "warmup_enabled": report.enabled,
                    "warmup_success": report.success,
                    "warmup_error": report.error,
                    "warmup_timings": dict(report.timings_ms),
                }
            },
        }
