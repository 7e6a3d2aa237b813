"""The pool of worker processes: each has a generator of its own, and may die without a session losing its stream.

Segments are leased one at a time to whichever worker is free. A segment whose worker died is made once more, by another
worker or by the one that replaces it, and what the client has of it already is not sent again.
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
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.admission import Admission
from fastvideo.entrypoints.streaming.pool_base import GpuPool, OnPlace, PoolAssignment, PoolHealth, PoolUnavailable
from fastvideo.entrypoints.streaming.process_memory import resident_bytes
from fastvideo.entrypoints.streaming.replay import Replay
from fastvideo.entrypoints.streaming.segment_events import SegmentEvent, SegmentJob
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.entrypoints.streaming.turn_queue import TurnQueue
from fastvideo.entrypoints.streaming.waiting_room import WaitingRoom
from fastvideo.entrypoints.streaming.warmup import Warmup, WarmupReport
from fastvideo.entrypoints.streaming.worker_faults import error_of
from fastvideo.entrypoints.streaming.worker_launch import Launch, launch_worker
from fastvideo.entrypoints.streaming.worker_link import WorkerLink
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Cancel,
    Consumed,
    JobEnded,
    JobEvent,
    JobTaken,
    Message,
    Ready,
    ResultDone,
    ResultFrames,
    RunRequest,
    RunSegment,
    WarmedUp,
)
from fastvideo.entrypoints.streaming.worker_supervisor import Action, Booting, Busy, Limits, Spawn, Supervisor
from fastvideo.entrypoints.streaming.worker_turn import BegunAgain, TurnItem, WorkerTurn
from fastvideo.entrypoints.streaming.worker_wire import Buffer, encode

logger = logging.getLogger(__name__)

_RETRY_S = 10.0
_MEMORY_POLL_S = 0.5
_MOST_BEGINNINGS = 8
_END_S = 5.0
_WARMUP_NAMES = ("first_ms", "continued_ms")


class SubprocessGpuPool(GpuPool):
    """One process per entry of ``devices``, which names the GPUs that it may see (none: it uses the CPU).

    ``pool_config``: sessions admitted per worker, and how soon an idle one yields; ``warmup``: what each worker
    generates before it is ready; ``limits``: what a worker may take before it is ended; ``request_limits``: what a
    request may ask for; ``request_defaults``: what the model's preset prefers; ``retry_s``: how long a segment whose
    worker died may wait for another; ``heartbeat_s`` between signs of life. ``launch`` starts a worker, ``clock`` gives
    monotonic seconds, and the rest is as for the pool in the server's process.
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
        launch: Launch = launch_worker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = pool_config or GpuPoolConfig()
        found = devices if devices is not None else [()] * (settings.num_workers or 1)
        self.session_store = session_store
        self.request_defaults = request_defaults
        job = warmup.job if warmup is not None else None
        self._boot = Boot(generator_config, settings, request_limits or RequestLimits(), job, heartbeat_s)
        self._per_worker = settings.sessions_per_worker
        self._retry_s = retry_s
        self._launch = launch
        self._clock = clock
        self._workers = [_Worker(index, names, warmup is not None) for index, names in enumerate(found)]
        self._limits = limits or Limits()
        self._supervisor = Supervisor(len(self._workers), self._limits)
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
        self._due = asyncio.Event()
        self._settled = asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None
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
        if self._closed or self._supervisor.hopeless:
            raise _unavailable()
        return await self._room.join(session_id, timeout=timeout, on_place=on_place)

    async def release(self, session_id: str) -> None:
        turn = self._turns.get(session_id)
        if turn is not None:
            self._abandon(turn)
            del self._turns[session_id]
        self._homes.pop(session_id, None)
        self._room.leave(session_id)

    def _assign(self, session_id: str) -> PoolAssignment:
        alive = [worker.index for worker in self._workers if self._supervisor.alive(worker.index)]
        homes = list(self._homes.values())
        home = min(alive or range(len(self._workers)), key=lambda index: (homes.count(index), index))
        self._homes[session_id] = home
        return PoolAssignment(home, self._workers[home].name, self._clock())

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

    async def run(self, session_id: str, request: GenerationRequest) -> Any:
        frames: list[np.ndarray[Any, Any]] = []
        work = functools.partial(RunRequest, request=request)
        async with contextlib.aclosing(self._turn(session_id, work, CancellationToken())) as items:
            async for item in items:
                match item:
                    case BegunAgain():
                        frames.clear()
                    case ResultFrames():
                        frames.append(item.frames)
                    case ResultDone():
                        return replace(item.result, frames=np.concatenate(frames) if frames else None)
        raise GenerationFailed("the worker ended without a result")

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
        turn = WorkerTurn(session_id, job_id, consumed=self._consumed, clock=self._clock)
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
        if self._supervisor.hopeless:
            self._give_up(turn)
        self._give_turns()

    def _give_turns(self) -> None:
        now_s = self._clock()
        for session_id, index in self._queue.take(self._supervisor.ready):
            turn, worker = self._turns[session_id], self._workers[index]
            self._supervisor.leased(index, now_s)
            self._homes[session_id] = index
            worker.turn = turn
            turn.begin(index)
            worker.send(turn.buffers)
        self._due.set()

    def _cancel(self, turn: WorkerTurn) -> None:
        if turn.cancelled or turn.ended:
            return
        turn.cancelled = True
        if turn.worker is not None:
            self._workers[turn.worker].send(encode(Cancel(turn.job_id)))
            self._supervisor.cancelled(turn.worker, self._clock())
            self._due.set()
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

    def _consumed(self, turn: WorkerTurn, size_bytes: int) -> None:
        if turn.worker is not None and size_bytes:
            self._workers[turn.worker].send(encode(Consumed(turn.job_id, size_bytes)))

    # --- what workers say

    def _heard(self, worker: _Worker, message: Message) -> None:
        now_s = self._clock()
        self._supervisor.heard(worker.index, now_s)
        match message:
            case JobTaken() if worker.has(message.job_id):
                assert worker.turn is not None
                worker.turn.taken += 1
            case JobEvent() | ResultFrames() | ResultDone() if worker.has(message.job_id):
                assert worker.turn is not None
                worker.turn.put(message)
            case JobEnded() if worker.has(message.job_id):
                assert worker.turn is not None
                turn, worker.turn = worker.turn, None
                turn.worker = None
                turn.end(None if message.fault is None else error_of(message.fault), message.busy_s)
                self._supervisor.finished(worker.index, now_s)
                self._give_turns()
            case WarmedUp():
                name = _WARMUP_NAMES[min(len(worker.report.timings_ms), len(_WARMUP_NAMES) - 1)]
                worker.report.timings_ms[name] = message.generation_ms
            case BootFailed():
                worker.report.error = message.fault.message
            case Ready():
                worker.report.success, worker.report.error = True, None
                worker.model_id = message.model_id
                self.model_id = message.model_id
                self._supervisor.booted(worker.index, now_s)
                logger.info("%s is ready (process %s)", worker.name, worker.pid)
                self._after_change()

    def _lost(self, worker: _Worker, reason: str) -> None:
        """A worker is gone, or has to go: its job is done again elsewhere, and another process takes its place."""
        if self._closed or worker.link is None:
            return
        booting = isinstance(self._supervisor.state(worker.index), Booting)
        self._supervisor.died(worker.index, self._clock())
        logger.warning("%s (process %s) is replaced: %s", worker.name, worker.pid, worker.report.error or reason)
        if booting:
            worker.report.success = False
            worker.report.error = worker.report.error or reason
        worker.ending = asyncio.create_task(worker.link.end())
        worker.link = None
        turn, worker.turn = worker.turn, None
        if turn is not None:
            turn.worker = None
            self._do_again(turn)
        self._after_change()

    def _do_again(self, turn: WorkerTurn) -> None:
        if turn.abandoned or turn.ended:
            return
        if turn.cancelled:
            turn.end(_cancelled())
        elif turn.taken > 1 or turn.begun > _MOST_BEGINNINGS:
            # A worker that was dead already when it got the job does not count, or not for ever.
            turn.end(GenerationFailed("two workers died of the segment"))
        else:
            asyncio.get_running_loop().call_later(self._retry_s, self._give_up, turn)
            self._ask(turn, first=True)

    def _after_change(self) -> None:
        """Workers came or went: so do the places of sessions."""
        if self._closed:
            return
        supervisor = self._supervisor
        self._room.set_slots(self._alive * self._per_worker)
        if supervisor.hopeless:
            self._room.fail(_unavailable)
            for turn in list(self._turns.values()):
                self._give_up(turn)
        if all(supervisor.alive(worker.index) or supervisor.resting(worker.index) for worker in self._workers):
            self._settled.set()
        self._give_turns()

    # --- life

    async def start(self) -> None:
        """Start the workers; returns when each is ready, or has failed so often that it is left alone for a while."""
        if self._supervising is None and not self._closed:
            self._supervising = asyncio.create_task(self._supervise(), name="worker-supervisor")
            self._supervising.add_done_callback(_tell_failure)
        await self._settled.wait()

    async def _supervise(self) -> None:
        while True:
            self._due.clear()
            for action in [*self._supervisor.due(self._clock()), *self._too_large()]:
                self._act(action)
            wait_s = max(0.0, self._supervisor.next_due_s() - self._clock())
            if self._limits.memory_bytes is not None:
                wait_s = min(wait_s, _MEMORY_POLL_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._due.wait()

    def _too_large(self) -> list[Action]:
        actions: list[Action] = []
        if self._limits.memory_bytes is not None:
            for worker in self._workers:
                held_bytes = resident_bytes(worker.pid) if worker.pid is not None else None
                if held_bytes is not None:
                    actions += self._supervisor.measured(worker.index, held_bytes, self._clock())
        return actions

    def _act(self, action: Action) -> None:
        worker = self._workers[action.worker]
        if isinstance(action, Spawn):
            worker.starting = asyncio.create_task(self._start(worker, worker.starting), name=f"start-{worker.name}")
        else:
            self._lost(worker, action.reason)

    async def _start(self, worker: _Worker, before: asyncio.Task[None] | None) -> None:
        """Give a worker a process, once there is nothing left of the one before."""
        for task in (before, worker.ending):
            if task is not None:
                await asyncio.wait({task})
        if worker.link is not None:
            return
        worker.report = WarmupReport(worker.report.enabled)
        try:
            launched = await asyncio.to_thread(self._launch, worker.index, worker.devices, len(self._workers))
        except Exception:
            # The task's boundary: what cannot be started now may be later.
            logger.exception("%s cannot be started", worker.name)
            self._supervisor.died(worker.index, self._clock())
            self._after_change()
            return
        link = WorkerLink(
            worker.name,
            launched,
            on_message=lambda message: self._heard(worker, message),
            on_gone=lambda reason: self._lost(worker, reason),
        )
        await link.open()
        if self._closed or not isinstance(self._supervisor.state(worker.index), Booting):
            # Its time to boot ran out while it was started.
            await link.end()
            return
        worker.link = link
        link.send(encode(self._boot))

    async def shutdown(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._settled.set()
        self._room.close()
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.wait({self._supervising})
        for turn in self._turns.values():
            turn.end(_unavailable())
        self._room.fail(_unavailable)
        tasks = [task for worker in self._workers for task in (worker.starting, worker.ending) if task is not None]
        for worker in self._workers:
            if worker.link is not None:
                tasks.append(asyncio.create_task(worker.link.end(grace_s=_END_S)))
                worker.link, worker.turn = None, None
        if tasks:
            await asyncio.wait(tasks)

    # --- health

    @property
    def _alive(self) -> int:
        counts = self._supervisor.counts()
        return 0 if self._closed else counts.ready + counts.busy

    @property
    def turns_waiting(self) -> int:
        """Segments that are asked for and wait for a worker."""
        return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether a session that comes now would be served."""
        return self._alive > 0

    def health(self) -> PoolHealth:
        return PoolHealth(
            total_workers=len(self._workers),
            available_workers=min(self._alive, self._admission.free_slots),
            active_sessions=self._admission.leases,
            queued_sessions=self._admission.waiting,
        )

    def get_status(self) -> dict[str, Any]:
        """The documented shape of ``/status``."""
        health = self.health()
        homes = list(self._homes.values())
        workers = {}
        for worker in self._workers:
            alive = not self._closed and self._supervisor.alive(worker.index)
            report = worker.report
            workers[str(worker.index)] = {
                "ready": alive,
                "available": alive and health.available_workers > 0,
                "client_count": homes.count(worker.index),
                "current_model_id": worker.model_id if alive else None,
                "process_alive": not self._closed and worker.link is not None,
                "busy": isinstance(self._supervisor.state(worker.index), Busy),
                "warmup_enabled": report.enabled,
                "warmup_success": report.success if report.enabled else None,
                "warmup_error": report.error,
                "warmup_timings": dict(report.timings_ms),
            }
        warmed = [worker.report for worker in self._workers]
        return {
            "total_gpus": health.total_workers,
            "available_gpus": health.available_workers,
            "queue_size": health.queued_sessions,
            "warmup_enabled": any(report.enabled for report in warmed),
            "warmup_successful_gpus": sum(report.enabled and report.success is True for report in warmed),
            "warmup_failed_gpus": sum(report.success is False for report in warmed),
            "gpu_status": workers,
        }


class _Worker:
    """One of the pool's workers, whichever process it has at the time."""

    def __init__(self, index: int, devices: Sequence[str], warms_up: bool) -> None:
        self.index = index
        self.name = f"worker-{index}"
        self.devices = devices
        self.report = WarmupReport(warms_up)
        self.model_id: str | None = None
        self.link: WorkerLink | None = None
        self.turn: WorkerTurn | None = None
        self.starting: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self.link.pid if self.link is not None else None

    def has(self, job_id: int) -> bool:
        """Whether this is the worker's job."""
        return self.turn is not None and self.turn.job_id == job_id

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send an encoded message, if there is a process to take it."""
        if self.link is not None:
            self.link.send(buffers)


def _cancelled() -> GenerationCancelled:
    return GenerationCancelled("the segment was cancelled")


def _unavailable() -> PoolUnavailable:
    return PoolUnavailable("no worker is ready to generate")


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[WorkerTurn], None], turn: WorkerTurn) -> None:
    # The loop may be closed by the time that somebody cancels.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, turn)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("workers are not supervised any more", exc_info=error)
