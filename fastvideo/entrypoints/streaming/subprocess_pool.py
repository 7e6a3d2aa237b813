"""The pool of worker processes: each has a generator of its own, and may die without a session losing its stream.

Segments are leased one at a time to whichever worker is free. A segment whose worker died before its end is made once
more, by another worker or by the one that replaces it, and what the client has of it already is not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled, GenerationFailed
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.admission import Admission
from fastvideo.entrypoints.streaming.frame_stack import FrameStack
from fastvideo.entrypoints.streaming.frames_view import FramesView
from fastvideo.entrypoints.streaming.pool_base import (
    GpuPool,
    OnPlace,
    PoolAssignment,
    PoolHealth,
    PoolUnavailable,
    WorkerStanding,
)
from fastvideo.entrypoints.streaming.replay import Replay
from fastvideo.entrypoints.streaming.ring_memory import RING_BYTES
from fastvideo.entrypoints.streaming.segment_events import SegmentEvent, SegmentJob
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.entrypoints.streaming.turn_queue import TurnQueue
from fastvideo.entrypoints.streaming.waiting_room import WaitingRoom
from fastvideo.entrypoints.streaming.warmup import Warmup
from fastvideo.entrypoints.streaming.worker_fleet import WorkerFleet
from fastvideo.entrypoints.streaming.worker_launch import Launch, launch_worker
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    EncodeAhead,
    JobEvent,
    ResultDone,
    ResultFrames,
    RunRequest,
    RunSegment,
)
from fastvideo.entrypoints.streaming.worker_supervisor import Limits
from fastvideo.entrypoints.streaming.worker_turn import BegunAgain, TurnItem, WorkerTurn
from fastvideo.entrypoints.streaming.worker_wire import encode

logger = logging.getLogger(__name__)

_RETRY_S = 10.0
_MOST_BEGINNINGS = 8


class SubprocessGpuPool(GpuPool):
    """One process per entry of ``devices``, which names the GPUs that it may see (none: it uses the CPU).

    ``pool_config``: sessions admitted per worker, and how soon an idle one yields; ``warmup``: what each worker
    generates before it is ready; ``limits``: what a worker may take before it is ended; ``request_limits``: what a
    request may ask for; ``request_defaults``: what the model's preset prefers; ``retry_s``: how long a segment whose
    worker died may wait for another; ``heartbeat_s`` between signs of life; ``ring_bytes``: what of a result's frames
    may lie between a worker and its reader. ``launch`` starts a worker, ``clock`` gives monotonic seconds, and the rest
    is as for the pool in the server's process.
    """

    def __init__(
        self,
        generator_config: GeneratorConfig,
        *,
        pool_config: GpuPoolConfig | None = None,
        warmup: Warmup | None = None,
        session_store: SessionStore | None = None,
        devices: Sequence[Sequence[str]] | None = None,
        limits: Limits | None = None,
        request_limits: RequestLimits | None = None,
        request_defaults: Mapping[str, Any] = MappingProxyType({}),
        queue_length: int = 256,
        expected_segments: int = 6,
        retry_s: float = _RETRY_S,
        heartbeat_s: float = 1.0,
        ring_bytes: int = RING_BYTES,
        launch: Launch = launch_worker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = pool_config or GpuPoolConfig()
        found = devices if devices is not None else [()] * (settings.num_workers or 1)
        self.session_store = session_store
        self.request_defaults = request_defaults
        self._per_worker = settings.sessions_per_worker
        self._retry_s = retry_s
        self._clock = clock
        job = warmup.job if warmup is not None else None
        self._fleet = WorkerFleet(
            Boot(generator_config, settings, request_limits or RequestLimits(), job, heartbeat_s),
            found,
            limits=limits or Limits(),
            launch=launch,
            on_change=self._after_change,
            on_lost=self._do_again,
            clock=clock,
            ring_bytes=ring_bytes,
        )
        self._queue = TurnQueue()
        self._turns: dict[str, WorkerTurn] = {}
        self._homes: dict[str, int] = {}
        self._job_ids = itertools.count(1)
        self._admission = Admission(
            slots=0,
            max_waiting=queue_length,
            idle_yield_s=settings.idle_yield_seconds,
            segments_per_lease=expected_segments,
        )
        self._room = WaitingRoom(self._admission, assign=self._assign, clock=clock)
        self._settled = asyncio.Event()
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
        if self._closed or self._fleet.hopeless:
            raise _unavailable()

    async def release(self, session_id: str) -> None:
        turn = self._turns.get(session_id)
        if turn is not None:
            self._cancel(turn)
            # Whoever still reads waits neither for the worker to heed that, nor for one that dies meanwhile.
            turn.end(_cancelled())
            del self._turns[session_id]
        self._homes.pop(session_id, None)
        self._room.leave(session_id)

    def _assign(self, session_id: str) -> PoolAssignment:
        homes = list(self._homes.values())
        home = min(self._fleet.alive or range(len(self._fleet)), key=lambda index: (homes.count(index), index))
        self._homes[session_id] = home
        return PoolAssignment(home, self._fleet.name(home), self._clock())

    # --- turns

    async def stream(
        self, session_id: str, job: SegmentJob, *, cancel: CancellationToken | None = None
    ) -> AsyncGenerator[SegmentEvent, None]:
        replay = Replay()
        token = cancel or CancellationToken()
        work = functools.partial(RunSegment, job=job)
        async with contextlib.aclosing(self._turn(session_id, work, token)) as items:
            async for item in items:
                if isinstance(item, BegunAgain):
                    replay.begin_again()
                elif isinstance(item, JobEvent) and replay.new(item.event):
                    yield item.event

    def encode_ahead(self, session_id: str, request: GenerationRequest) -> None:
        turn = self._turns.get(session_id)
        if turn is not None and not (turn.ended or turn.cancelled or turn.whole):
            turn.ahead = encode(EncodeAhead(turn.job_id, request))
            self._fleet.encode_ahead(turn)

    async def run(self, session_id: str, request: GenerationRequest) -> Any:
        stack = FrameStack()
        async with contextlib.aclosing(self.views(session_id, request)) as items:
            async for item in items:
                if isinstance(item, GenerationResult):
                    return replace(item, frames=stack.whole())
                with item as view:
                    # On a thread, because the loop has other sessions to serve for the milliseconds that it takes.
                    await asyncio.to_thread(np.copyto, stack.place(view), view.frames)
        raise GenerationFailed("the worker ended without a result")

    async def views(
        self, session_id: str, request: GenerationRequest, *, cancel: CancellationToken | None = None
    ) -> AsyncGenerator[FramesView | GenerationResult, None]:
        """:meth:`run` without a copy: the frames, in order, where the worker put them, then the result without frames.

        Release each view when done with it. After a worker's death views come again from frame 0 on, of another worker.
        """
        work = functools.partial(RunRequest, request=request)
        next_frame = 0
        async with contextlib.aclosing(self._turn(session_id, work, cancel or CancellationToken())) as items:
            async for item in items:
                match item:
                    case BegunAgain():
                        next_frame = 0
                    case FramesView():
                        yield item
                    case ResultFrames():
                        yield FramesView(item.frames, next_frame)
                        next_frame += len(item.frames)
                    case ResultDone():
                        yield item.result

    async def _turn(
        self, session_id: str, work: Callable[[int], RunSegment | RunRequest], cancel: CancellationToken
    ) -> AsyncGenerator[TurnItem, None]:
        if not self._room.holds(session_id):
            raise RuntimeError(f"session {session_id} has no worker; acquire one first")
        if session_id in self._turns:
            raise RuntimeError(f"session {session_id} has a segment running already")
        if self._closed:
            raise _unavailable()
        loop = asyncio.get_running_loop()
        job_id = next(self._job_ids)
        turn = WorkerTurn(session_id, job_id, consumed=self._fleet.consumed, clock=self._clock)
        self._turns[session_id] = turn
        self._room.started(session_id)
        try:
            # A state may be large; requests are checked here as well.
            turn.buffers = await asyncio.to_thread(encode, work(job_id))
            cancel.raise_if_cancelled()
            cancel.on_cancel(lambda: _call_soon(loop, self._cancel, turn))
            if not turn.ended:
                self._ask(turn)
            async for item in turn:
                yield item
        finally:
            self._abandon(turn)
            if self._turns.get(session_id) is turn:
                del self._turns[session_id]
                self._room.finished(session_id, turn.busy_s)

    def _ask(self, turn: WorkerTurn, *, first: bool = False) -> None:
        self._queue.ask(turn.session_id, home=self._homes.get(turn.session_id), first=first)
        if self._fleet.hopeless:
            self._give_up(turn)
        self._give_turns()

    def _give_turns(self) -> None:
        for session_id, index in self._queue.take(self._fleet.ready):
            self._homes[session_id] = index
            self._fleet.give(index, self._turns[session_id])

    def _cancel(self, turn: WorkerTurn) -> None:
        if turn.cancelled or turn.ended:
            return
        turn.cancelled = True
        if turn.worker is not None:
            self._fleet.cancel(turn)
            return
        if self._queue_has(turn):
            self._queue.leave(turn.session_id)
        turn.end(_cancelled())

    def _abandon(self, turn: WorkerTurn) -> None:
        self._cancel(turn)
        turn.abandon()

    def _give_up(self, turn: WorkerTurn) -> None:
        """End a turn that waits for a worker, and will not get one in time."""
        if self._queue_has(turn):
            self._queue.leave(turn.session_id)
            turn.end(GenerationFailed("the worker died, and no other one could make the segment"))

    def _queue_has(self, turn: WorkerTurn) -> bool:
        return self._turns.get(turn.session_id) is turn and turn.session_id in self._queue

    def _do_again(self, turn: WorkerTurn) -> None:
        if turn.ended:
            return
        if turn.whole:
            turn.end()
        elif turn.cancelled or turn.abandoned:
            turn.end(_cancelled())
        elif turn.taken > 1 or turn.begun > _MOST_BEGINNINGS:
            # A worker that was dead already when it got the job does not count, or not for ever.
            turn.end(GenerationFailed("two workers died of the segment"))
        else:
            asyncio.get_running_loop().call_later(self._retry_s, self._give_up, turn)
            self._ask(turn, first=True)

    def _after_change(self) -> None:
        """Workers came, went or became free."""
        if self._closed:
            return
        self.model_id = self._fleet.model_id
        self._room.set_slots(len(self._fleet.alive) * self._per_worker)
        if self._fleet.hopeless:
            self._room.fail(_unavailable)
            for turn in list(self._turns.values()):
                self._give_up(turn)
        if self._fleet.settled:
            self._settled.set()
        self._give_turns()

    # --- life

    async def start(self) -> None:
        """Start the workers; returns when each is ready, or has failed so often that it is left alone for a while."""
        self._fleet.start()
        await self._settled.wait()

    async def shutdown(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._settled.set()
        self._room.close()
        for turn in self._turns.values():
            turn.end(_unavailable())
        self._room.fail(_unavailable)
        await self._fleet.shutdown()

    # --- health

    @property
    def turns_waiting(self) -> int:
        """Segments that are asked for and wait for a worker."""
        return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether a session that comes now would be served."""
        return bool(self._fleet.alive)

    @property
    def workers(self) -> list[WorkerStanding]:
        return self._fleet.standings

    def health(self) -> PoolHealth:
        return PoolHealth(
            total_workers=len(self._fleet),
            available_workers=min(len(self._fleet.alive), self._admission.free_slots),
            active_sessions=self._admission.leases,
            queued_sessions=self._admission.waiting,
        )

    def get_status(self) -> dict[str, Any]:
        """The documented shape of ``/status``."""
        health = self.health()
        homes = list(self._homes.values())
        workers = {}
        for index in range(len(self._fleet)):
            found = self._fleet.status(index)
            available = found["ready"] and health.available_workers > 0
            workers[str(index)] = {**found, "available": available, "client_count": homes.count(index)}
        reports = self._fleet.reports
        return {
            "total_gpus": health.total_workers,
            "available_gpus": health.available_workers,
            "queue_size": health.queued_sessions,
            "warmup_enabled": any(report.enabled for report in reports),
            "warmup_successful_gpus": sum(report.enabled and report.success is True for report in reports),
            "warmup_failed_gpus": sum(report.success is False for report in reports),
            "gpu_status": workers,
        }


def _cancelled() -> GenerationCancelled:
    return GenerationCancelled("the segment was cancelled")


def _unavailable() -> PoolUnavailable:
    return PoolUnavailable("no worker is ready to generate")


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[WorkerTurn], None], turn: WorkerTurn) -> None:
    # The loop may be closed by the time that somebody cancels.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, turn)
