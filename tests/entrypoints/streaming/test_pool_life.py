"""The pool of worker processes, whole, in any order of events: its workers are played, and its time is the test's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationCancelled, GenerationFailed
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig
from fastvideo.entrypoints.streaming.admission import QueueFull
from fastvideo.entrypoints.streaming.gpu_pool import PoolHealth, PoolUnavailable, SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentFragment, SegmentJob, SegmentStarted
from fastvideo.entrypoints.streaming.worker_faults import fault_of
from fastvideo.entrypoints.streaming.worker_messages import (
    BootFailed,
    Cancel,
    FromWorker,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Ready,
    RunSegment,
)
from fastvideo.entrypoints.streaming.worker_supervisor import Busy, Dead, Limits
from fastvideo.entrypoints.streaming.worker_wire import MessageReader, encode, send_buffers
from fastvideo.media.timeline import MediaCursor

WORKERS = 3
NAMES = "abcdefg"
FRAGMENTS = 3
LIMITS = Limits(boot_s=30, segment_s=20, cancel_s=5, silence_s=10)
# A pass of the loop after which nothing is left to be called may still be followed by one that reads a socket.
QUIET_PASSES = 3


class Loop(asyncio.SelectorEventLoop):
    """Its time goes by when the test says so, and what is for threads is done at once."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__()
        self.set_default_executor(AtOnce())

    def time(self) -> float:
        return self.now_s

    def settle(self) -> None:
        """Let everything happen that can happen now."""

        async def passes() -> None:
            quiet = 0
            while quiet < QUIET_PASSES:
                await asyncio.sleep(0)
                quiet = 0 if self._ready else quiet + 1

        self.run_until_complete(passes())


class AtOnce(ThreadPoolExecutor):
    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(task(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class PlayedWorker:
    """A worker that does nothing by itself. ``job``: what it was given and has not ended, ``over``: it is no more."""

    output = None
    pid = None

    def __init__(self) -> None:
        self.connection, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._reader = MessageReader()
        self.over = self.ready = self.cancelled = self.taken = False
        self.job: RunSegment | None = None
        self.sent = 0

    @property
    def session(self) -> str | None:
        return None if self.job is None else str(self.job.job.request.prompt)

    def read(self) -> None:
        """Take what the pool said."""
        while not self.over:
            try:
                data = self._theirs.recv(1 << 16)
            except BlockingIOError:
                return
            if not data:
                self.die()
            for message in self._reader.feed(data):
                if isinstance(message, RunSegment):
                    assert self.ready
                    assert self.job is None, "two jobs at once"
                    self.job, self.cancelled, self.taken, self.sent = message, False, False, 0
                elif isinstance(message, Cancel):
                    self.cancelled = self.cancelled or (self.job is not None and self.job.job_id == message.job_id)

    def say(self, message: FromWorker) -> None:
        send_buffers(self._theirs, encode(message))

    def boot(self, can: bool = True) -> None:
        """Be ready, or say why not and end."""
        self.ready = can
        if can:
            self.say(Ready("played"))
        else:
            self.say(BootFailed(fault_of(GenerationFailed("no weights there"))))
            self.die()

    def take(self) -> None:
        assert self.job is not None
        if not self.taken:
            self.taken = True
            self.say(JobTaken(self.job.job_id))
            self.say(JobEvent(self.job.job_id, SegmentStarted(1)))

    def send_fragment(self) -> None:
        self.take()
        assert self.job is not None
        if self.sent < FRAGMENTS:
            self.sent += 1
            self.say(JobEvent(self.job.job_id, SegmentFragment(b"media", self.sent, 0.0, 0.0)))

    def send_all(self) -> None:
        while self.sent < FRAGMENTS:
            self.send_fragment()
        assert self.job is not None
        self.say(JobEvent(self.job.job_id, SegmentDone(MediaCursor.start(), None, 1, 0.0, 0.0, 0.0)))

    def end_job(self, error: FastVideoError | None = None) -> None:
        """Do the rest of a job, unless it fails or was cancelled, and say that it is over."""
        assert self.job is not None
        if self.cancelled and error is None:
            error = GenerationCancelled("at this step")
        if error is None:
            self.send_all()
        else:
            self.take()
        job, self.job = self.job, None
        self.say(JobEnded(job.job_id, 1.0 if error is None else None, None if error is None else fault_of(error)))

    def die(self) -> None:
        self.over, self.job = True, None
        self._theirs.close()

    kill = die

    def wait(self, timeout_s: float) -> bool:
        return self.over


class Viewer:
    """A session that has asked for a segment, and what it has of it."""

    def __init__(self, loop: Loop, pool: SubprocessGpuPool, name: str) -> None:
        self.cancel = CancellationToken()
        self.sequences: list[int] = []
        self.whole = False
        self._events = pool.stream(
            name, SegmentJob(GenerationRequest(prompt=name), MediaCursor.start()), cancel=self.cancel
        )
        self.task = loop.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            async for event in self._events:
                if isinstance(event, SegmentFragment):
                    self.sequences.append(event.sequence)
                elif isinstance(event, SegmentDone):
                    assert not self.whole
                    self.whole = True
        finally:
            await self._events.aclose()


class PoolLife(RuleBasedStateMachine):
    """Sessions come, ask, cancel and leave; workers boot, work, hang, fail, die and come back."""

    names = st.sampled_from(NAMES)

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.played: dict[int, PlayedWorker] = {}
        self.joins: dict[str, asyncio.Task[Any]] = {}
        self.viewers: dict[str, Viewer] = {}
        self.pool = SubprocessGpuPool(
            GeneratorConfig("mock:"),
            pool_config=GpuPoolConfig(num_workers=WORKERS, sessions_per_worker=1, idle_yield_seconds=15.0),
            limits=LIMITS,
            queue_length=3,
            ring_bytes=4096,
            launch=self._launch,
            clock=self.loop.time,
        )
        self.starting = self.loop.create_task(self.pool.start())
        self._settle()

    def _launch(self, index: int, devices: Any, total: int) -> PlayedWorker:
        assert index not in self.played or self.played[index].over, "two processes for one worker"
        self.played[index] = PlayedWorker()
        return self.played[index]

    def _settle(self) -> None:
        self.loop.settle()
        for worker in self.played.values():
            worker.read()
        for name, join in list(self.joins.items()):
            if join.done():
                del self.joins[name]
                if not join.cancelled() and (error := join.exception()) is not None:
                    # The last is for one that was released while it waited.
                    assert type(error) in (QueueFull, PoolUnavailable, RuntimeError)
        for name, viewer in list(self.viewers.items()):
            assert viewer.sequences == list(range(1, len(viewer.sequences) + 1))
            if viewer.task.done():
                del self.viewers[name]
                error = None if viewer.task.cancelled() else viewer.task.exception()
                assert isinstance(error, GenerationFailed | GenerationCancelled | None)
                if not viewer.task.cancelled() and error is None:
                    assert viewer.whole
                    assert len(viewer.sequences) == FRAGMENTS

    # --- sessions

    @initialize()
    def all_workers_are_warm_and_busy(self) -> None:
        for worker in self.played.values():
            worker.boot()
        self._settle()
        for name in NAMES[:WORKERS]:
            self.joins[name] = self.loop.create_task(self.pool.acquire(name))
            self._settle()
            self._ask(name)

    @rule(name=names)
    def a_session_acquires(self, name: str) -> None:
        if name not in self.joins:
            self.joins[name] = self.loop.create_task(self.pool.acquire(name))
        self._settle()

    @precondition(lambda self: self.joins)
    @rule(data=st.data())
    def a_session_gives_up_waiting(self, data: st.DataObject) -> None:
        self.joins[data.draw(st.sampled_from(sorted(self.joins)))].cancel()
        self._settle()

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def a_session_asks_for_a_segment(self, data: st.DataObject) -> None:
        self._ask(data.draw(st.sampled_from(self.idle)))

    @precondition(lambda self: self.idle)
    @rule()
    def all_sessions_ask_for_a_segment(self) -> None:
        for name in self.idle:
            self._ask(name)

    @precondition(lambda self: self.viewers)
    @rule(data=st.data())
    def a_session_cancels_its_segment(self, data: st.DataObject) -> None:
        self.viewers[data.draw(st.sampled_from(sorted(self.viewers)))].cancel.cancel()
        self._settle()

    @precondition(lambda self: self.viewers)
    @rule(data=st.data())
    def a_session_leaves_its_segment(self, data: st.DataObject) -> None:
        self.viewers[data.draw(st.sampled_from(sorted(self.viewers)))].task.cancel()
        self._settle()

    @rule(name=names)
    def a_session_releases_its_place(self, name: str) -> None:
        self.loop.run_until_complete(self.pool.release(name))
        self._settle()
        assert not self.pool._room.holds(name)
        assert name not in self.joins

    @property
    def idle(self) -> list[str]:
        """Sessions with a place that have asked for nothing."""
        return [name for name in NAMES if self.pool._room.holds(name) and name not in self.viewers]

    def _ask(self, name: str) -> None:
        self.viewers[name] = Viewer(self.loop, self.pool, name)
        self._settle()

    # --- workers

    @precondition(lambda self: self.booting)
    @rule(data=st.data(), can=st.sampled_from([True, True, False]))
    def a_worker_is_warm_or_cannot_boot(self, data: st.DataObject, can: bool) -> None:
        data.draw(st.sampled_from(self.booting)).boot(can)
        self._settle()

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_worker_sends_a_fragment(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.at_work)).send_fragment()
        self._settle()

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_worker_ends_its_job(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.at_work)).end_job()
        self._settle()

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_worker_fails_its_job(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.at_work)).end_job(GenerationFailed("out of memory"))
        self._settle()

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_worker_dies_before_it_says_that_its_job_is_over(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.at_work))
        worker.send_all()
        worker.die()
        self._settle()

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def a_worker_is_killed_at_work(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.at_work))
        worker.take()
        worker.die()
        self._settle()

    @rule(indexes=st.sets(st.integers(0, WORKERS - 1), min_size=1))
    def workers_are_killed(self, indexes: set[int]) -> None:
        for index in indexes:
            self.played[index].die()
        self._settle()

    @property
    def booting(self) -> list[PlayedWorker]:
        return [worker for worker in self.played.values() if not worker.over and not worker.ready]

    @property
    def at_work(self) -> list[PlayedWorker]:
        return [worker for worker in self.played.values() if worker.job is not None]

    @rule(quarters=st.integers(1, 36), silent=st.just(set()) | st.sets(st.integers(0, WORKERS - 1)))
    def time_passes(self, quarters: int, silent: set[int]) -> None:
        self.loop.now_s += quarters / 4
        self._settle()
        for index, worker in self.played.items():
            if index not in silent and not worker.over:
                worker.say(Heartbeat())
        self._settle()

    # --- what always holds

    @invariant()
    def every_worker_is_free_or_busy_or_dead_or_booting(self) -> None:
        fleet = self.pool._fleet
        counts = fleet._supervisor.counts()
        assert counts.ready + counts.busy + counts.dead + counts.booting == len(fleet) == WORKERS
        states = [fleet._supervisor.state(index) for index in range(WORKERS)]
        assert [isinstance(state, Dead) for state in states] == [self.played[index].over for index in range(WORKERS)]
        assert [isinstance(state, Busy) for state in states] == [
            self.played[index].job is not None for index in range(WORKERS)
        ]
        health = self.pool.health()
        assert health.total_workers == WORKERS
        assert health.active_sessions == sum(self.pool._room.holds(name) for name in NAMES)

    @invariant()
    def no_wake_up_is_lost(self) -> None:
        assert not (self.pool.turns_waiting and self.pool._fleet.ready), "a turn waits beside a worker that is free"
        queued = self.pool._admission.places()
        assert not (queued and self.pool._admission.free_slots), "a session waits beside a place that is free"
        assert set(queued) == set(self.joins)
        served = {worker.session for worker in self.at_work}
        for name in self.viewers:
            assert name in served or name in self.pool._queue, "nobody will make this segment"
        assert self.pool._fleet._supervisor.next_due_s() > self.loop.now_s
        assert not self.pool._fleet._supervising.done()

    def teardown(self) -> None:
        try:
            self._serve_everybody()
        finally:
            self.loop.run_until_complete(self.pool.shutdown())
            self.loop.settle()
            left = asyncio.all_tasks(self.loop)
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
        assert left == set()
        assert self.starting.done()
        assert all(worker.over for worker in self.played.values())

    def _serve_everybody(self) -> None:
        """Once workers do what they should, nobody waits any more, and nothing is left."""
        for _ in range(100):
            for worker in self.at_work:
                worker.end_job()
            for worker in self.booting:
                worker.boot()
            self._settle()
            for name in set(NAMES) - set(self.joins) - set(self.viewers):
                self.a_session_releases_its_place(name)
            self.time_passes(4, silent=set())
            if self.pool.health() == PoolHealth(WORKERS, WORKERS, 0, 0) and not self.viewers:
                break
        assert self.pool.health() == PoolHealth(WORKERS, WORKERS, 0, 0)
        assert (self.viewers, self.joins, self.pool._turns, self.pool.turns_waiting) == ({}, {}, {}, 0)
        assert len(self.pool._room) == 0


TestPoolLife = PoolLife.TestCase
TestPoolLife.settings = settings(max_examples=12, stateful_step_count=40, deadline=None)
