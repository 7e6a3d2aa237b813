"""The worker processes of a pool: started, heard, supervised, ended. What they are to do is somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from fastvideo.entrypoints.streaming.frames_view import FramesView
from fastvideo.entrypoints.streaming.pool_base import WorkerStanding, WorkerState
from fastvideo.entrypoints.streaming.process_memory import resident_bytes
from fastvideo.entrypoints.streaming.ring_memory import RING_BYTES
from fastvideo.entrypoints.streaming.warmup import WarmupReport
from fastvideo.entrypoints.streaming.worker_buffers import Buffer
from fastvideo.entrypoints.streaming.worker_faults import error_of
from fastvideo.entrypoints.streaming.worker_launch import Launch
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
    Unusable,
    WarmedUp,
)
from fastvideo.entrypoints.streaming.worker_supervisor import Action, Booting, Busy, Dead, Limits, Spawn, Supervisor
from fastvideo.entrypoints.streaming.worker_supervisor import Ready as SupervisedReady
from fastvideo.entrypoints.streaming.worker_turn import WorkerTurn
from fastvideo.entrypoints.streaming.worker_wire import encode

logger = logging.getLogger(__name__)

_MEMORY_POLL_S = 0.5
_END_S = 5.0
_WARMUP_NAMES = ("first_ms", "continued_ms")


class WorkerFleet:
    """One worker per entry of ``devices``, each told ``boot`` first.

    ``on_change`` is called whenever a worker became ready or is lost, ``on_lost`` before that with the turn that a lost
    worker had. ``ring_bytes``: what of a result's frames may lie between a worker and its reader. ``clock`` gives
    monotonic seconds.
    """

    def __init__(
        self,
        boot: Boot,
        devices: Sequence[Sequence[str]],
        *,
        limits: Limits,
        launch: Launch,
        on_change: Callable[[], None],
        on_lost: Callable[[WorkerTurn], None],
        clock: Callable[[], float],
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self.model_id: str | None = None
        self._boot = boot
        self._limits = limits
        self._launch = launch
        self._on_change = on_change
        self._on_lost = on_lost
        self._clock = clock
        self._ring_bytes = ring_bytes
        self._workers = [_Worker(index, names, boot.warmup is not None) for index, names in enumerate(devices)]
        self._supervisor = Supervisor(len(self._workers), limits)
        self._due = asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None
        self._closed = False

    # --- what is so

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def ready(self) -> list[int]:
        """Workers that could take a turn now."""
        return [] if self._closed else self._supervisor.ready

    @property
    def alive(self) -> list[int]:
        """Workers that take turns, now or after the one that they have."""
        return [] if self._closed else [w.index for w in self._workers if self._supervisor.alive(w.index)]

    @property
    def hopeless(self) -> bool:
        """Whether no worker is, or will soon be, ready."""
        return self._supervisor.hopeless

    @property
    def settled(self) -> bool:
        """Whether each worker is ready, or was left alone for a while."""
        supervisor = self._supervisor
        return all(supervisor.alive(w.index) or supervisor.resting(w.index) for w in self._workers)

    @property
    def reports(self) -> list[WarmupReport]:
        """How each worker's last start went."""
        return [worker.report for worker in self._workers]

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def standings(self) -> list[WorkerStanding]:
        """How each worker stands."""
        return [WorkerStanding(w.name, self._state(w.index), w.pid, w.restarts) for w in self._workers]

    def _state(self, index: int) -> WorkerState:
        match self._supervisor.state(index):
            case _ if self._closed:
                return "dead"
            case Dead():
                return "dead"
            case Booting():
                return "booting"
            case SupervisedReady():
                return "ready"
            case Busy():
                return "busy"

    def name(self, index: int) -> str:
        """What a worker is called in the log."""
        return self._workers[index].name

    def status(self, index: int) -> dict[str, Any]:
        """What ``/status`` says of a worker."""
        worker = self._workers[index]
        alive, report = index in self.alive, worker.report
        return {
            "ready": alive,
            "current_model_id": worker.model_id if alive else None,
            "process_alive": not self._closed and worker.link is not None,
            "busy": isinstance(self._supervisor.state(index), Busy),
            "warmup_enabled": report.enabled,
            "warmup_success": report.success if report.enabled else None,
            "warmup_error": report.error,
            "warmup_timings": dict(report.timings_ms),
        }

    # --- turns

    def give(self, index: int, turn: WorkerTurn) -> None:
        """Have a ready worker do a turn. Raises ValueError for one that is not."""
        worker = self._workers[index]
        self._supervisor.leased(index, self._clock())
        worker.turn = turn
        turn.begin(index)
        worker.send(turn.buffers)
        self.encode_ahead(turn)
        self._due.set()

    def cancel(self, turn: WorkerTurn) -> None:
        """Tell the worker that has a turn to stop it."""
        if turn.worker is not None:
            self._workers[turn.worker].send(encode(Cancel(turn.job_id)))
            self._supervisor.cancelled(turn.worker, self._clock())
            self._due.set()

    def encode_ahead(self, turn: WorkerTurn) -> None:
        """Tell the worker that has a turn what comes after it, if that is known."""
        if turn.worker is not None and turn.ahead:
            self._workers[turn.worker].send(turn.ahead)

    def consumed(self, turn: WorkerTurn, size_bytes: int) -> None:
        """Tell the worker that has a turn that so much of its media was read."""
        if turn.worker is not None and size_bytes:
            self._workers[turn.worker].send(encode(Consumed(turn.job_id, size_bytes)))

    # --- life

    def start(self) -> None:
        """Start the workers and watch over them; twice is the same as once."""
        if self._supervising is None and not self._closed:
            self._supervising = asyncio.create_task(self._supervise(), name="worker-supervisor")
            self._supervising.add_done_callback(_tell_failure)

    async def shutdown(self) -> None:
        """End all workers; returns when their processes are gone."""
        self._closed = True
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.wait({self._supervising})
        tasks = [task for worker in self._workers for task in (worker.starting, worker.ending) if task is not None]
        for worker in self._workers:
            if worker.link is not None:
                tasks.append(asyncio.create_task(worker.link.end(grace_s=_END_S)))
                worker.link, worker.turn = None, None
        if tasks:
            await asyncio.wait(tasks)

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
            worker.failed(action.reason)
            if worker.link is None:
                # It is being launched, and ended as soon as that is done.
                self._on_change()
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
            link = WorkerLink(
                worker.name,
                launched,
                ring_bytes=self._ring_bytes,
                on_message=lambda message: self._heard(worker, message),
                on_frames=lambda job_id, view: self._got_frames(worker, job_id, view),
                on_gone=lambda reason: self._lost(worker, reason),
            )
            await link.open()
        except Exception:
            # The task's boundary: what cannot be started now may be later.
            logger.exception("%s cannot be started", worker.name)
            worker.failed("it cannot be started")
            self._supervisor.died(worker.index, self._clock())
            self._due.set()
            self._on_change()
            return
        if self._closed or not isinstance(self._supervisor.state(worker.index), Booting):
            # Its time to boot ran out while it was started.
            await link.end()
            return
        worker.link = link
        link.greet(encode(self._boot))
        if link.gone:
            # It died before anybody could hear of it.
            self._lost(worker, "its process is gone")

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
                self._due.set()
                self._on_change()
            case WarmedUp():
                name = _WARMUP_NAMES[min(len(worker.report.timings_ms), len(_WARMUP_NAMES) - 1)]
                worker.report.timings_ms[name] = message.generation_ms
            case BootFailed():
                worker.report.error = message.fault.message
            case Unusable():
                self._lost(worker, message.reason)
            case Ready():
                worker.report.success, worker.report.error = True, None
                worker.model_id = message.model_id
                self.model_id = message.model_id
                self._supervisor.booted(worker.index, now_s)
                logger.info("%s is ready (process %s)", worker.name, worker.pid)
                self._due.set()
                self._on_change()

    def _got_frames(self, worker: _Worker, job_id: int, view: FramesView) -> None:
        self._supervisor.heard(worker.index, self._clock())
        if worker.turn is not None and worker.has(job_id):
            worker.turn.put(view)
        else:
            view.release()

    def _lost(self, worker: _Worker, reason: str) -> None:
        """A worker is gone, or has to go: its job is done again elsewhere, and another process takes its place."""
        if self._closed or worker.link is None:
            return
        self._supervisor.died(worker.index, self._clock())
        logger.warning("%s (process %s) is replaced: %s", worker.name, worker.pid, worker.report.error or reason)
        worker.failed(reason)
        worker.restarts += 1
        worker.ending = asyncio.create_task(worker.link.end())
        worker.link = None
        turn, worker.turn = worker.turn, None
        if turn is not None:
            turn.worker = None
            self._on_lost(turn)
        self._due.set()
        self._on_change()


class _Worker:
    """One of the pool's workers, whichever process it has at the time."""

    def __init__(self, index: int, devices: Sequence[str], warms_up: bool) -> None:
        self.index = index
        self.name = f"worker-{index}"
        self.devices = devices
        self.report = WarmupReport(warms_up)
        self.model_id: str | None = None
        self.restarts = 0
        self.link: WorkerLink | None = None
        self.turn: WorkerTurn | None = None
        self.starting: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self.link.pid if self.link is not None else None

    def failed(self, reason: str) -> None:
        """Report why a process was never ready; what it said of it itself counts for more. Nothing if it was."""
        if self.report.success is None:
            self.report.success, self.report.error = False, self.report.error or reason

    def has(self, job_id: int) -> bool:
        """Whether this is the worker's job."""
        return self.turn is not None and self.turn.job_id == job_id

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send an encoded message, if there is a process to take it."""
        if self.link is not None:
            self.link.send(buffers)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("workers are not supervised any more", exc_info=error)
