"""Real processes: killed, hung, grown and silent ones, and nothing that is left of them."""

import asyncio
import contextlib
import functools
import logging
import math
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.faulty_worker import faulty_command
from fastvideo.api.errors import GenerationFailed
from fastvideo.entrypoints.streaming.gpu_pool import PoolHealth, PoolUnavailable
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentFragment,
    SegmentInit,
)
from fastvideo.entrypoints.streaming.worker_launch import launch_worker
from fastvideo.entrypoints.streaming.worker_supervisor import Limits

# Those of a segment here: its start, two steps, the init segment, some fragments, its end.
EVENTS = 10


def processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def rings() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "fastvideo-ring" in line]


@contextlib.asynccontextmanager
async def real_pool(pools: Any, **settings: Any) -> AsyncIterator[Any]:
    """A pool of processes; checks that nothing is left of it."""
    await asyncio.to_thread(lambda: None)
    before = descriptors()
    launch = settings.pop("launch", launch_worker)
    # A process takes long to start while other tests run.
    async with pools.of(launch, **{"retry_s": 60.0, **settings}) as pool:
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
async def test_streams_go_on_or_fail_with_a_code_while_workers_are_killed_at_twenty_points_of_a_segment(
    fakes, pools
) -> None:
    async with real_pool(pools, workers=2, model_path="mock:?sleep_ms=40") as pool:
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


async def test_the_stream_goes_on_within_two_seconds_of_the_new_worker(fakes, pools) -> None:
    async with real_pool(pools, model_path="mock:?sleep_ms=100") as pool:
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


async def test_a_process_that_grows_or_prints_or_leaves_children_is_dealt_with(fakes, pools, caplog) -> None:
    caplog.set_level(logging.INFO)
    limits = Limits(memory_bytes=300 << 20, backoff_s=0.01, max_backoff_s=0.02)
    async with real_pool(pools, workers=2, launch=faulty, limits=limits) as pool:
        for name in ("good", "bad"):
            await pool.acquire(name)
        assert isinstance((await pools.consume(pool, "bad", fakes.job("print a lot")))[-1], SegmentDone)
        for prompt, reason in (("grow beyond", "allowed"), ("fork and go", "gone")):
            caplog.clear()
            failing = asyncio.create_task(pools.consume(pool, "bad", fakes.job(prompt)))
            while not failing.done():
                events = await asyncio.wait_for(pools.consume(pool, "good", fakes.job("a red circle")), 60)
                assert isinstance(events[-1], SegmentDone)
            with pytest.raises(GenerationFailed):
                await failing
            assert reason in caplog.text
        await fakes.until(lambda: pool.health().available_workers == 2, seconds=60)


async def test_a_process_that_hangs_is_ended_at_its_deadline_and_others_are_served(fakes, pools, caplog) -> None:
    caplog.set_level(logging.INFO)
    ahead_s = 0.0
    # The limit on memory has the workers looked at twice a second, so a clock that jumps is noticed.
    limits = Limits(segment_s=600.0, silence_s=math.inf, memory_bytes=1 << 40, backoff_s=0.01)
    async with real_pool(
        pools, workers=2, launch=faulty, limits=limits, clock=lambda: time.monotonic() + ahead_s
    ) as pool:
        for name in ("good", "bad"):
            await pool.acquire(name)
        failing = asyncio.create_task(pools.consume(pool, "bad", fakes.job("hang for ever")))
        for beginnings in (1, 2):
            await fakes.until(lambda: "bad" in pool._turns and pool._turns["bad"].taken == beginnings)  # noqa: B023
            hanging = pool._turns["bad"].worker
            events = await asyncio.wait_for(pools.consume(pool, "good", fakes.job("a red circle")), 60)
            assert isinstance(events[-1], SegmentDone)
            assert pool.get_status()["gpu_status"][str(hanging)]["busy"]
            ahead_s += 600.0
            await fakes.until(lambda: hanging not in pool._fleet.alive)  # noqa: B023
        with pytest.raises(GenerationFailed, match="two workers"):
            await failing
        assert caplog.text.count("in time") == 2
        await fakes.until(lambda: pool.health().available_workers == 2, seconds=60)


async def test_what_a_process_prints_is_in_the_log(fakes, pools, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with real_pool(pools, launch=faulty) as pool:
        await pool.acquire("a")
        await pools.consume(pool, "a", fakes.job("print a lot"))
        await fakes.until(lambda: "many words" in caplog.text)
    assert "more lines were printed and left out" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 3000


async def test_processes_that_die_while_they_boot_are_left_alone_after_three_times(pools, tmp_path) -> None:
    for number in range(3):
        (tmp_path / str(number)).touch()
    launch = functools.partial(launch_worker, command=faulty_command(tmp_path))
    async with real_pool(pools, launch=launch) as pool:
        with pytest.raises(PoolUnavailable):
            await pool.acquire("a")
        assert not pool.ready
        assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "its process is gone"


async def test_a_pool_that_ends_in_the_middle_of_everything_leaves_nothing(fakes, pools) -> None:
    before = descriptors()
    async with pools.of(launch_worker, workers=2, model_path="mock:?sleep_ms=60000") as pool:
        starting = asyncio.create_task(pool.start())
        await fakes.until(lambda: processes())
    await starting
    async with pools.of(launch_worker, model_path="mock:?sleep_ms=60000") as pool:
        await pool.start()
        await pool.acquire("a")
        running = asyncio.create_task(pools.consume(pool, "a", fakes.job()))
        await fakes.until(lambda: pool.get_status()["gpu_status"]["0"]["busy"])
        started_s = time.monotonic()
        await pool.shutdown()
        assert time.monotonic() - started_s < 3
        with pytest.raises(PoolUnavailable):
            await running
    assert processes() == []
    assert descriptors() == before
