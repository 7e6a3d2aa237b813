"""Workers that hang, fall silent or cannot start: ended, replaced, or left alone."""

import asyncio
import threading
from typing import Any

import pytest

from fastvideo.api.errors import CheckpointError
from fastvideo.entrypoints.streaming.gpu_pool import PoolUnavailable
from fastvideo.entrypoints.streaming.health import get_pool_status
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
)
from fastvideo.entrypoints.streaming.worker_supervisor import Limits


async def test_a_worker_that_hangs_is_replaced_and_its_segment_made_again(fakes, pools) -> None:
    hanging = fakes.StepGenerator()
    hanging.hold()
    launch = pools.Threads(fakes, lambda _: hanging if len(launch.workers) == 1 else fakes.StepGenerator())
    async with pools.of(launch, limits=Limits(segment_s=1.0, backoff_s=0.01)) as pool:
        await pool.start()
        await pool.acquire("a")
        events = await asyncio.wait_for(pools.consume(pool, "a", fakes.job()), 10)
        assert isinstance(events[-1], SegmentDone)
        assert launch.workers[0].killed
        hanging.free()


async def test_a_worker_that_does_not_heed_a_cancellation_is_replaced(fakes, pools) -> None:
    hanging = fakes.StepGenerator()
    hanging.hold()
    launch = pools.Threads(fakes, lambda _: hanging if len(launch.workers) == 1 else fakes.StepGenerator())
    async with pools.of(launch, limits=Limits(cancel_s=0.05, backoff_s=0.01)) as pool:
        await pool.start()
        await pool.acquire("a")
        leaving = asyncio.create_task(pools.consume(pool, "a", fakes.job()))
        await asyncio.to_thread(hanging.reached.acquire)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.wait_for(pools.consume(pool, "a", fakes.job()), 10)
        assert launch.workers[0].killed
        hanging.free()


async def test_a_silent_worker_is_replaced(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator())
    async with pools.of(launch, limits=Limits(silence_s=0.1, backoff_s=0.01), heartbeat_s=60.0) as pool:
        await pool.start()
        await fakes.until(lambda: len(launch.workers) > 1)
        assert launch.workers[0].killed


async def test_a_worker_that_is_dead_before_anybody_listens_is_noticed_at_once(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator())

    def stillborn_first(index: int, devices: Any, total: int) -> Any:
        worker = launch(index, devices, total)
        if len(launch.workers) == 1:
            worker.kill()
        return worker

    async with pools.of(stillborn_first) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert len(launch.workers) == 2
        assert pool.ready


async def test_workers_that_cannot_be_launched_are_tried_again(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator())
    failures = [OSError("no more processes"), OSError("no more processes")]

    def launch_third_time(index: int, devices: Any, total: int) -> Any:
        if failures:
            raise failures.pop()
        return launch(index, devices, total)

    async with pools.of(launch_third_time) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert pool.ready


async def test_a_worker_that_cannot_be_launched_at_all_is_told_of(pools) -> None:
    def launch(index: int, devices: Any, total: int) -> Any:
        raise OSError("no more processes")

    async with pools.of(launch) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "it cannot be started"


async def test_nobody_waits_for_a_worker_whose_launch_takes_too_long(fakes, pools) -> None:
    launched = threading.Event()
    threads = pools.Threads(fakes, lambda _: fakes.StepGenerator())

    def launch(index: int, devices: Any, total: int) -> Any:
        assert launched.wait(30)
        return threads(index, devices, total)

    async with pools.of(launch, limits=Limits(boot_s=0.05, backoff_s=0.01)) as pool:
        joining = asyncio.create_task(pool.acquire("a"))
        try:
            await asyncio.wait_for(pool.start(), 10)
            with pytest.raises(PoolUnavailable):
                await joining
            assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "it was not ready within 0.05 s"
        finally:
            launched.set()


async def test_workers_that_never_start_are_left_alone_and_nobody_waits_for_them(fakes, pools) -> None:
    def broken() -> Any:
        raise CheckpointError("no weights there")

    launch = pools.Threads(fakes, lambda _: broken())
    async with pools.of(launch, workers=2) as pool:
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


async def test_a_worker_that_is_not_ready_in_time_is_told_of(fakes, pools) -> None:
    generators = []

    def make(_: int) -> Any:
        generators.append(threading.Event())
        assert generators[-1].wait(30)
        return fakes.StepGenerator()

    async with pools.of(pools.Threads(fakes, make), limits=Limits(boot_s=0.05, backoff_s=0.01)) as pool:
        await asyncio.wait_for(pool.start(), 10)
        status = pool.get_status()
        assert status["warmup_failed_gpus"] == 1
        assert status["gpu_status"]["0"]["warmup_error"] == "it was not ready within 0.05 s"
        for started in generators:
            started.set()


async def test_one_broken_worker_does_not_keep_the_others_from_serving(fakes, pools) -> None:
    def make(index: int) -> Any:
        if index == 0:
            raise CheckpointError("no weights there")
        return fakes.StepGenerator()

    async with pools.of(pools.Threads(fakes, make), workers=2) as pool:
        await asyncio.wait_for(pool.start(), 10)
        assert (await pool.acquire("a")).gpu_id == 1
        await pools.consume(pool, "a", fakes.job())
        assert pool.health().available_workers == 1
