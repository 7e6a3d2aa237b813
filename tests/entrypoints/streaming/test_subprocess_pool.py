import asyncio
import contextlib
import functools
import logging
import math
import os
import random
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from benchmarks.faulty_worker import faulty_command
from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import CheckpointError, GenerationCancelled, GenerationFailed, StateInvalid
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import ContinuationState, GeneratorConfig, GpuPoolConfig
from fastvideo.entrypoints.streaming.gpu_pool import PoolHealth, PoolUnavailable, SubprocessGpuPool
from fastvideo.entrypoints.streaming.health import get_pool_status
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.worker import run_segment
from fastvideo.entrypoints.streaming.worker_launch import launch_worker
from fastvideo.entrypoints.streaming.worker_messages import JobEnded
from fastvideo.entrypoints.streaming.worker_process import WorkerLoop
from fastvideo.entrypoints.streaming.worker_supervisor import Limits

# Those of a segment here: its start, two steps, the init segment, some fragments, its end.
EVENTS = 10
SWIFT = Limits(backoff_s=0.01, max_backoff_s=0.05)


class Threads:
    """Starts thread workers, each with a generator from ``make(index)``, and keeps them."""

    def __init__(self, fakes: Any, make: Callable[[int], Any], **settings: Any) -> None:
        self._fakes, self._make, self._settings = fakes, make, settings
        self.workers: list[Any] = []

    def __call__(self, index: int, devices: Any, total: int) -> Any:
        self.workers.append(self._fakes.ThreadWorker(lambda: self._make(index), **self._settings))
        return self.workers[-1]


@contextlib.asynccontextmanager
async def pool_of(launch: Any, *, workers: int = 1, model_path: str = "mock:", **settings: Any) -> AsyncIterator[Any]:
    config = GpuPoolConfig(num_workers=workers, sessions_per_worker=settings.pop("places", 4))
    pool = SubprocessGpuPool(
        GeneratorConfig(model_path), pool_config=config, launch=launch, **{"limits": SWIFT, **settings}
    )
    try:
        yield pool
    finally:
        await pool.shutdown()


async def consume(pool: Any, session_id: str, job: Any, **settings: Any) -> list[Any]:
    return [event async for event in pool.stream(session_id, job, **settings)]


def media(events: Any) -> list[bytes]:
    return [event.data for event in events if isinstance(event, SegmentInit | SegmentFragment)]


def processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def rings() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "fastvideo-ring" in line]


# --- a worker dies


@pytest.mark.parametrize("after", [SegmentStarted, SegmentProgress, SegmentInit, SegmentFragment])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_segment_whose_worker_dies_goes_on_elsewhere_and_is_seen_once(fakes, after, workers) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator())
    async with pool_of(launch, workers=workers) as pool:
        await pool.start()
        await pool.acquire("a")
        events, killed = [], False
        async for event in pool.stream("a", fakes.job()):
            events.append(event)
            if isinstance(event, after) and not killed:
                killed = True
                launch.workers[0].kill()
        expected = list(run_segment(fakes.StepGenerator(), fakes.job(), fakes.token()))
        assert [type(event) for event in events] == [type(event) for event in expected]
        assert media(events) == media(expected)
        assert isinstance(events[-1], SegmentDone)
        assert events[-1].cursor == expected[-1].cursor
        await fakes.until(lambda: pool.health().available_workers == workers)
        assert len(launch.workers) == workers + 1


async def test_a_worker_that_was_dead_already_when_it_got_the_job_is_not_held_against_the_job(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator())
    async with pool_of(launch, workers=3) as pool:
        await pool.start()
        await pool.acquire("a")
        events = []
        async for event in pool.stream("a", fakes.job()):
            events.append(event)
            if isinstance(event, SegmentInit) and len(launch.workers) == 3:
                for worker in launch.workers:
                    worker.kill()
        assert media(events) == media(run_segment(fakes.StepGenerator(), fakes.job(), fakes.token()))


async def test_a_result_whose_worker_dies_is_made_again_and_whole(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.WholeGenerator())

    def result(request: Any) -> dict[str, Any]:
        if len(launch.workers) == 1:
            launch.workers[0].kill()
        return {"frames": np.zeros((8, 4, 4, 3), np.uint8), "audio": None}

    launch._make = lambda _: fakes.WholeGenerator(result)
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        assert (await pool.run("a", fakes.request())).frames.shape == (8, 4, 4, 3)


async def test_a_segment_that_kills_two_workers_fails_and_the_session_may_try_another(fakes) -> None:
    launch = Threads(fakes, lambda _: None)
    generators: list[Any] = []

    def make(_: int) -> Any:
        generators.append(fakes.StepGenerator())
        worker = launch.workers
        generators[-1].failures["bad"] = lambda: worker[-1].kill() or SystemExit()
        return generators[-1]

    launch._make = make
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        started_s = time.monotonic()
        with pytest.raises(GenerationFailed, match="two workers") as caught:
            await consume(pool, "a", fakes.job("bad"))
        assert time.monotonic() - started_s < 2
        assert (caught.value.code, caught.value.retryable) == ("worker_failed", True)
        assert isinstance((await consume(pool, "a", fakes.job("good")))[-1], SegmentDone)


async def test_a_segment_whose_worker_is_not_replaced_in_time_fails(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    launch = Threads(fakes, lambda _: generator)
    async with pool_of(launch, retry_s=0.05) as pool:
        await pool.start()
        await pool.acquire("a")
        running = asyncio.create_task(consume(pool, "a", fakes.job()))
        await asyncio.to_thread(generator.reached.acquire)

        def never(index: int) -> Any:
            raise CheckpointError("the disk is gone")

        launch._make = never
        launch.workers[0].kill()
        with pytest.raises(GenerationFailed, match="no other one"):
            await asyncio.wait_for(running, 5)
        assert pool.turns_waiting == 0
        generator.free()


async def test_a_cancelled_segment_whose_worker_dies_is_not_made_again(fakes) -> None:
    generator, cancel = fakes.StepGenerator(), CancellationToken()
    generator.hold()
    launch = Threads(fakes, lambda _: generator)
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        running = asyncio.create_task(consume(pool, "a", fakes.job(), cancel=cancel))
        await asyncio.to_thread(generator.reached.acquire)
        cancel.cancel()
        await fakes.until(lambda: generator.token.cancelled)
        launch.workers[0].kill()
        with pytest.raises(GenerationCancelled):
            await asyncio.wait_for(running, 5)
        generator.free()
        assert len(generator.requests) == 1


class DiesBeforeItIsFree(WorkerLoop):
    """Says all that belongs to a job, and dies before it says that it ended."""

    def _done(self, job: Any, generator: Any) -> JobEnded:
        ended = super()._done(job, generator)
        self._connection.shutdown(socket.SHUT_RDWR)
        return ended


@pytest.mark.parametrize("reads", ["at once", "when the worker is gone"])
async def test_a_whole_segment_is_neither_repeated_nor_failed_by_the_death_of_its_worker(fakes, reads) -> None:
    generator = fakes.StepGenerator()
    launch = Threads(fakes, lambda _: generator, loop=DiesBeforeItIsFree)
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        expected = list(run_segment(fakes.StepGenerator(), fakes.job(), fakes.token()))
        for times in (1, 2):
            events = []
            async for event in pool.stream("a", fakes.job()):
                events.append(event)
                if reads != "at once":
                    await fakes.until(lambda: len(launch.workers) == times + 1 and pool.ready)  # noqa: B023
            assert [type(event) for event in events] == [type(event) for event in expected]
            assert media(events) == media(expected)
            await fakes.until(lambda: len(launch.workers) == times + 1 and pool.ready)  # noqa: B023
            # Whoever replaced it has nothing to do.
            assert not pool.get_status()["gpu_status"]["0"]["busy"]
            assert len(generator.requests) == times
        assert pool.turns_waiting == 0


@pytest.mark.parametrize("ring_bytes", [64 * 64 * 3 * 8, 1])
async def test_a_whole_result_is_neither_repeated_nor_failed_by_the_death_of_its_worker(fakes, ring_bytes) -> None:
    generator = fakes.WholeGenerator()
    launch = Threads(fakes, lambda _: generator, loop=DiesBeforeItIsFree)
    async with pool_of(launch, ring_bytes=ring_bytes) as pool:
        await pool.start()
        await pool.acquire("a")
        frames = 0
        async for item in pool.views("a", fakes.request()):
            if isinstance(item, GenerationResult):
                assert item.state.kind == "ltx2.v1"
                break
            with item as view:
                await fakes.until(lambda: len(launch.workers) == 2 and pool.ready)
                frames += len(view.frames)
        assert frames == 8
        assert len(generator.requests) == 1


@pytest.mark.parametrize("after_frames", [None, 4])
async def test_a_segment_whose_worker_lost_its_accelerator_goes_on_elsewhere_and_is_seen_once(
    fakes, caplog, after_frames
) -> None:
    broken = fakes.StepGenerator()
    broken.failures["a prompt"], broken.fail_after_frames = fakes.accelerator_error, after_frames
    launch = Threads(fakes, lambda _: broken if len(launch.workers) == 1 else fakes.StepGenerator())
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        events = await consume(pool, "a", fakes.job())
        expected = list(run_segment(fakes.StepGenerator(), fakes.job(), fakes.token()))
        assert [type(event) for event in events] == [type(event) for event in expected]
        assert media(events) == media(expected)
        assert "is replaced: its accelerator fails" in caplog.text
        assert (len(broken.requests), len(launch.workers)) == (1, 2)


async def test_a_segment_that_costs_two_workers_their_accelerator_fails(fakes) -> None:
    def make(_: int) -> Any:
        generator = fakes.StepGenerator()
        generator.failures["bad"] = fakes.accelerator_error
        return generator

    launch = Threads(fakes, make)
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        with pytest.raises(GenerationFailed, match="two workers") as caught:
            await consume(pool, "a", fakes.job("bad"))
        assert (caught.value.code, caught.value.retryable) == ("worker_failed", True)
        assert isinstance((await consume(pool, "a", fakes.job("good")))[-1], SegmentDone)
        assert len(launch.workers) == 3


# --- workers that are ended


async def test_a_worker_that_hangs_is_replaced_and_its_segment_made_again(fakes) -> None:
    hanging = fakes.StepGenerator()
    hanging.hold()
    launch = Threads(fakes, lambda _: hanging if len(launch.workers) == 1 else fakes.StepGenerator())
    async with pool_of(launch, limits=Limits(segment_s=1.0, backoff_s=0.01)) as pool:
        await pool.start()
        await pool.acquire("a")
        events = await asyncio.wait_for(consume(pool, "a", fakes.job()), 10)
        assert isinstance(events[-1], SegmentDone)
        assert launch.workers[0].killed
        hanging.free()


async def test_a_worker_that_does_not_heed_a_cancellation_is_replaced(fakes) -> None:
    hanging = fakes.StepGenerator()
    hanging.hold()
    launch = Threads(fakes, lambda _: hanging if len(launch.workers) == 1 else fakes.StepGenerator())
    async with pool_of(launch, limits=Limits(cancel_s=0.05, backoff_s=0.01)) as pool:
        await pool.start()
        await pool.acquire("a")
        leaving = asyncio.create_task(consume(pool, "a", fakes.job()))
        await asyncio.to_thread(hanging.reached.acquire)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.wait_for(consume(pool, "a", fakes.job()), 10)
        assert launch.workers[0].killed
        hanging.free()


async def test_a_silent_worker_is_replaced(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator())
    async with pool_of(launch, limits=Limits(silence_s=0.1, backoff_s=0.01), heartbeat_s=60.0) as pool:
        await pool.start()
        await fakes.until(lambda: len(launch.workers) > 1)
        assert launch.workers[0].killed


async def test_a_worker_that_is_dead_before_anybody_listens_is_noticed_at_once(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator())

    def stillborn_first(index: int, devices: Any, total: int) -> Any:
        worker = launch(index, devices, total)
        if len(launch.workers) == 1:
            worker.kill()
        return worker

    async with pool_of(stillborn_first) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert len(launch.workers) == 2
        assert pool.ready


async def test_workers_that_cannot_be_launched_are_tried_again(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator())
    failures = [OSError("no more processes"), OSError("no more processes")]

    def launch_third_time(index: int, devices: Any, total: int) -> Any:
        if failures:
            raise failures.pop()
        return launch(index, devices, total)

    async with pool_of(launch_third_time) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert pool.ready


async def test_a_worker_that_cannot_be_launched_at_all_is_told_of() -> None:
    def launch(index: int, devices: Any, total: int) -> Any:
        raise OSError("no more processes")

    async with pool_of(launch) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "it cannot be started"


async def test_nobody_waits_for_a_worker_whose_launch_takes_too_long(fakes) -> None:
    launched = threading.Event()
    threads = Threads(fakes, lambda _: fakes.StepGenerator())

    def launch(index: int, devices: Any, total: int) -> Any:
        assert launched.wait(30)
        return threads(index, devices, total)

    async with pool_of(launch, limits=Limits(boot_s=0.05, backoff_s=0.01)) as pool:
        joining = asyncio.create_task(pool.acquire("a"))
        try:
            await asyncio.wait_for(pool.start(), 10)
            with pytest.raises(PoolUnavailable):
                await joining
            assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "it was not ready within 0.05 s"
        finally:
            launched.set()


async def test_workers_that_never_start_are_left_alone_and_nobody_waits_for_them(fakes) -> None:
    def broken() -> Any:
        raise CheckpointError("no weights there")

    launch = Threads(fakes, lambda _: broken())
    async with pool_of(launch, workers=2) as pool:
        joining = asyncio.create_task(pool.acquire("early"))
        await asyncio.wait_for(pool.start(), 10)
        with pytest.raises(PoolUnavailable):
            await joining
        with pytest.raises(PoolUnavailable):
            await pool.acquire("late")
        status = await get_pool_status(pool)
        assert status["warmup_failed_gpus"] == 2
        assert status["gpu_status"]["1"]["warmup_error"] == "no weights there"
        assert not status["gpu_status"]["1"]["process_alive"]
        assert len(launch.workers) == 6


async def test_a_worker_that_is_not_ready_in_time_is_told_of(fakes) -> None:
    generators = []

    def make(_: int) -> Any:
        generators.append(threading.Event())
        assert generators[-1].wait(30)
        return fakes.StepGenerator()

    async with pool_of(Threads(fakes, make), limits=Limits(boot_s=0.05, backoff_s=0.01)) as pool:
        await asyncio.wait_for(pool.start(), 10)
        status = pool.get_status()
        assert status["warmup_failed_gpus"] == 1
        assert status["gpu_status"]["0"]["warmup_error"] == "it was not ready within 0.05 s"
        for started in generators:
            started.set()


async def test_one_broken_worker_does_not_keep_the_others_from_serving(fakes) -> None:
    def make(index: int) -> Any:
        if index == 0:
            raise CheckpointError("no weights there")
        return fakes.StepGenerator()

    async with pool_of(Threads(fakes, make), workers=2) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert (await pool.acquire("a")).gpu_id == 1
        await consume(pool, "a", fakes.job())
        assert pool.health().available_workers == 1


# --- who is served by whom


async def test_sessions_spread_over_the_workers_and_stay_with_the_one_they_know(fakes) -> None:
    generators = [fakes.StepGenerator(), fakes.StepGenerator()]
    async with pool_of(Threads(fakes, lambda index: generators[index]), workers=2) as pool:
        await pool.start()
        for name in "abcd":
            await pool.acquire(name)
        for _ in range(3):
            for name in "abcd":
                await consume(pool, name, fakes.job(name))
        assert [{request.prompt for request in generator.requests} for generator in generators] == [
            {"a", "c"},
            {"b", "d"},
        ]
        clients = [worker["client_count"] for worker in pool.get_status()["gpu_status"].values()]
        assert clients == [2, 2]


async def test_a_session_takes_another_worker_rather_than_wait_for_its_own(fakes) -> None:
    generators = [fakes.StepGenerator(), fakes.StepGenerator()]
    generators[0].hold()
    async with pool_of(Threads(fakes, lambda index: generators[index]), workers=2) as pool:
        await pool.start()
        for name in "abc":
            await pool.acquire(name)
        first = asyncio.create_task(consume(pool, "a", fakes.job("a")))
        await asyncio.to_thread(generators[0].reached.acquire)
        assert isinstance((await consume(pool, "c", fakes.job("c")))[-1], SegmentDone)
        assert [request.prompt for request in generators[1].requests] == ["c"]
        generators[0].free()
        await first


async def test_many_sessions_over_four_workers_finish_in_fair_order(fakes) -> None:
    launch = Threads(fakes, lambda _: MockGenerator(sleep_ms=2))
    finished: list[str] = []
    async with pool_of(launch, workers=4, places=13) as pool:
        await pool.start()

        async def session(name: str) -> None:
            await pool.acquire(name)
            for _ in range(2):
                await consume(pool, name, fakes.job(name, width=32, height=32, num_inference_steps=1))
                finished.append(name)

        await asyncio.gather(*(session(f"s{number}") for number in range(50)))
    # With four workers at most four turns overlap, so nobody gets a second one long before everybody had a first.
    assert len(finished) == 100
    assert len(set(finished[:45])) == 45
    assert len(set(finished[-45:])) == 45


async def test_a_reader_that_is_too_slow_loses_its_segment_and_not_the_worker(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator(noise=True), window_bytes=20_000, stall_s=0.2)
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        stream = pool.stream("a", fakes.job())
        async for event in stream:
            if isinstance(event, SegmentInit):
                break
        await fakes.until(lambda: pool._turns["a"].ended)
        with pytest.raises(ReaderTooSlow):
            async for _ in stream:
                pass
        assert isinstance((await consume(pool, "a", fakes.job()))[-1], SegmentDone)


async def test_a_state_that_cannot_be_sent_is_the_clients_fault_and_costs_no_worker(fakes) -> None:
    launch = Threads(fakes, lambda _: fakes.StepGenerator())
    async with pool_of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        job = fakes.job()
        job.request.state = ContinuationState("ltx2.v1", {"n": 2**80})
        with pytest.raises(StateInvalid):
            await consume(pool, "a", job)
        await consume(pool, "a", fakes.job())
        assert len(launch.workers) == 1


# --- real processes


@contextlib.asynccontextmanager
async def real_pool(**settings: Any) -> AsyncIterator[Any]:
    """A pool of processes; checks that nothing is left of it."""
    await asyncio.to_thread(lambda: None)
    before = descriptors()
    launch = settings.pop("launch", launch_worker)
    # A process takes long to start while other tests run.
    async with pool_of(launch, **{"retry_s": 60.0, **settings}) as pool:
        await asyncio.wait_for(pool.start(), 60)
        yield pool
    assert processes() == []
    assert descriptors() == before
    assert rings() == []


faulty = functools.partial(launch_worker, command=faulty_command())


class Killer:
    """Kills one worker or all of them, ``times`` times, each time behind a random one of some segment's events."""

    def __init__(self, pool: Any, times: int) -> None:
        self._pool = pool
        self._chance = random.Random(4)
        self._workers = pool.health().total_workers
        self._events_left = self._chance.randrange(EVENTS)
        self.left = times
        self.pids: set[int] = set()

    def event(self) -> None:
        """A session got an event of a segment."""
        running = self._pool._fleet.pids
        if not self.left or self._pool.health().available_workers < self._workers or self.pids & set(running):
            return
        self._events_left -= 1
        if self._events_left >= 0:
            return
        victims = running if self._chance.random() < 0.3 else [self._chance.choice(running)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.pids |= set(victims)
        self._events_left = self._chance.randrange(EVENTS)
        self.left -= 1


@pytest.mark.timeout(400)
async def test_streams_go_on_or_fail_with_a_code_while_workers_are_killed_at_twenty_points_of_a_segment(fakes) -> None:
    async with real_pool(workers=2, model_path="mock:?sleep_ms=40") as pool:
        killer = Killer(pool, times=20)
        done: list[str] = []
        failures: list[tuple[str, bool]] = []

        async def session(name: str) -> None:
            await pool.acquire(name)
            cursor, index, last = fakes.job().cursor, 0, 0
            while killer.left:
                sequences = []
                try:
                    async for event in pool.stream(name, fakes.job(name, cursor=cursor, index=index)):
                        if isinstance(event, SegmentFragment):
                            sequences.append(event.sequence)
                        elif isinstance(event, SegmentDone):
                            cursor = event.cursor
                        killer.event()
                except GenerationFailed as error:
                    # Two workers died of one segment: it is told, and the same segment can be asked for again.
                    failures.append((error.code, error.retryable))
                    continue
                assert sequences == list(range(last + 1, last + 1 + len(sequences)))
                last, index = sequences[-1], index + 1
                done.append(name)
            await pool.release(name)

        await asyncio.wait_for(asyncio.gather(*(session(f"s{n}") for n in range(3))), 300)
        assert len(done) > 5
        assert set(failures) <= {("worker_failed", True)}
        await fakes.until(lambda: pool.health() == PoolHealth(2, 2, 0, 0), seconds=60)
        assert pool.turns_waiting == 0
        workers = pool.get_status()["gpu_status"].values()
        assert not any(worker["busy"] or worker["client_count"] for worker in workers)
        assert len(processes()) == 2
        assert not killer.pids & set(pool._fleet.pids)


async def test_the_stream_goes_on_within_two_seconds_of_the_new_worker(fakes) -> None:
    async with real_pool(model_path="mock:?sleep_ms=100") as pool:
        await pool.acquire("a")
        started_s = time.monotonic()
        events = pool.stream("a", fakes.job())
        while not isinstance(await anext(events), SegmentFragment):
            pass
        unhurt_s = time.monotonic() - started_s
        await events.aclose()

        ready_s = done_s = None
        async for event in pool.stream("a", fakes.job()):
            if isinstance(event, SegmentInit):
                os.kill(pool._fleet.pids[0], signal.SIGKILL)
                await fakes.until(lambda: not pool.ready)
                await fakes.until(lambda: pool.ready, seconds=60)
                ready_s = time.monotonic()
            elif isinstance(event, SegmentFragment) and done_s is None:
                done_s = time.monotonic()
        assert ready_s is not None
        # Where others use the machine, a segment that nobody disturbs takes as long.
        assert done_s - ready_s < max(2.0, 5 * unhurt_s)


async def test_a_process_that_grows_or_prints_or_leaves_children_is_dealt_with(fakes, caplog) -> None:
    caplog.set_level(logging.INFO)
    limits = Limits(memory_bytes=300 << 20, backoff_s=0.01, max_backoff_s=0.02)
    async with real_pool(workers=2, launch=faulty, limits=limits) as pool:
        for name in ("good", "bad"):
            await pool.acquire(name)
        assert isinstance((await consume(pool, "bad", fakes.job("print a lot")))[-1], SegmentDone)
        for prompt, reason in (("grow beyond", "allowed"), ("fork and go", "gone")):
            caplog.clear()
            failing = asyncio.create_task(consume(pool, "bad", fakes.job(prompt)))
            while not failing.done():
                events = await asyncio.wait_for(consume(pool, "good", fakes.job("a red circle")), 60)
                assert isinstance(events[-1], SegmentDone)
            with pytest.raises(GenerationFailed):
                await failing
            assert reason in caplog.text
        await fakes.until(lambda: pool.health().available_workers == 2, seconds=60)


async def test_a_process_that_hangs_is_ended_at_its_deadline_and_others_are_served(fakes, caplog) -> None:
    caplog.set_level(logging.INFO)
    ahead_s = 0.0
    # The limit on memory has the workers looked at twice a second, so a clock that jumps is noticed.
    limits = Limits(segment_s=600.0, silence_s=math.inf, memory_bytes=1 << 40, backoff_s=0.01)
    async with real_pool(workers=2, launch=faulty, limits=limits, clock=lambda: time.monotonic() + ahead_s) as pool:
        for name in ("good", "bad"):
            await pool.acquire(name)
        failing = asyncio.create_task(consume(pool, "bad", fakes.job("hang for ever")))
        for beginnings in (1, 2):
            await fakes.until(lambda: "bad" in pool._turns and pool._turns["bad"].taken == beginnings)  # noqa: B023
            hanging = pool._turns["bad"].worker
            events = await asyncio.wait_for(consume(pool, "good", fakes.job("a red circle")), 60)
            assert isinstance(events[-1], SegmentDone)
            assert pool.get_status()["gpu_status"][str(hanging)]["busy"]
            ahead_s += 600.0
            await fakes.until(lambda: hanging not in pool._fleet.alive)  # noqa: B023
        with pytest.raises(GenerationFailed, match="two workers"):
            await failing
        assert caplog.text.count("in time") == 2
        await fakes.until(lambda: pool.health().available_workers == 2, seconds=60)


async def test_what_a_process_prints_is_in_the_log(fakes, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with real_pool(launch=faulty) as pool:
        await pool.acquire("a")
        await consume(pool, "a", fakes.job("print a lot"))
        await fakes.until(lambda: "many words" in caplog.text)
    assert "more lines were printed and left out" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 3000


async def test_processes_that_die_while_they_boot_are_left_alone_after_three_times(tmp_path) -> None:
    for number in range(3):
        (tmp_path / str(number)).touch()
    launch = functools.partial(launch_worker, command=faulty_command(tmp_path))
    async with real_pool(launch=launch) as pool:
        with pytest.raises(PoolUnavailable):
            await pool.acquire("a")
        assert not pool.ready
        assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "its process is gone"


async def test_a_pool_that_ends_in_the_middle_of_everything_leaves_nothing(fakes) -> None:
    before = descriptors()
    async with pool_of(launch_worker, workers=2, model_path="mock:?sleep_ms=60000") as pool:
        starting = asyncio.create_task(pool.start())
        await fakes.until(lambda: processes())
    await starting
    async with pool_of(launch_worker, model_path="mock:?sleep_ms=60000") as pool:
        await pool.start()
        await pool.acquire("a")
        running = asyncio.create_task(consume(pool, "a", fakes.job()))
        await fakes.until(lambda: pool.get_status()["gpu_status"]["0"]["busy"])
        started_s = time.monotonic()
        await pool.shutdown()
        assert time.monotonic() - started_s < 3
        with pytest.raises(PoolUnavailable):
            await running
    assert processes() == []
    assert descriptors() == before
