import asyncio
import contextlib
import threading
from typing import Any

import pytest

from fastvideo.api.errors import GenerationFailed
from fastvideo.api.schema import GpuPoolConfig
from fastvideo.entrypoints.streaming.gpu_pool import InProcessGpuPool, PoolUnavailable
from fastvideo.entrypoints.streaming.health import get_pool_status
from fastvideo.entrypoints.streaming.segment_events import SegmentDone
from fastvideo.entrypoints.streaming.warmup import Warmup


@contextlib.asynccontextmanager
async def pool_of(generator: Any, *, places: int = 1, **settings: Any):
    config = GpuPoolConfig(sessions_per_worker=places, idle_yield_seconds=settings.pop("idle_yield_seconds", 20.0))
    pool = InProcessGpuPool(generator, config=config, **settings)
    try:
        yield pool
    finally:
        if hasattr(generator, "free"):
            generator.free()
        await pool.shutdown()
        assert not any(thread.name == pool.worker_id for thread in threading.enumerate())


async def consume(pool: InProcessGpuPool, session_id: str, job: Any, **settings: Any) -> list[Any]:
    return [event async for event in pool.stream(session_id, job, **settings)]


async def test_run_gives_the_generators_own_result(fakes) -> None:
    generator = fakes.WholeGenerator(lambda request: {"frames": [], "prompt": request.prompt})
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        assert await pool.run("a", fakes.request("hello")) == {"frames": [], "prompt": "hello"}


async def test_generation_happens_on_one_thread_of_the_pools_own(fakes) -> None:
    seen = set()
    generator = fakes.WholeGenerator(lambda _: seen.add(threading.current_thread().name))
    async with pool_of(generator, places=2) as pool:
        await asyncio.gather(pool.acquire("a"), pool.acquire("b"))
        await asyncio.gather(pool.run("a", fakes.request()), pool.run("b", fakes.request()))
        assert seen == {pool.worker_id}


@pytest.mark.parametrize("raised", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
async def test_the_worker_outlives_whatever_a_generator_raises(fakes, raised) -> None:
    generator = fakes.StepGenerator()
    generator.failures["bad"] = lambda: raised
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        with pytest.raises(GenerationFailed):
            await consume(pool, "a", fakes.job("bad"))
        assert pool.ready
        assert isinstance((await consume(pool, "a", fakes.job("good")))[-1], SegmentDone)


def warmup(fakes, timeout_s: float = 30.0) -> Warmup:
    found = Warmup.of(fakes.config(warmup=fakes.WarmupConfig(enabled=True, prompt="warm up")), {})
    assert found is not None
    return Warmup(found.job, timeout_s)


async def test_a_failed_warm_up_is_told_and_nobody_waits_for_ever(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    generator.failures["warm up"] = lambda: ZeroDivisionError()
    async with pool_of(generator, warmup=warmup(fakes)) as pool:
        starting = asyncio.create_task(pool.start())
        joining = asyncio.create_task(pool.acquire("early"))
        await fakes.until(lambda: pool.health().queued_sessions == 1)
        generator.free()
        await starting
        with pytest.raises(PoolUnavailable):
            await joining
        with pytest.raises(PoolUnavailable):
            await pool.acquire("late")
        status = await get_pool_status(pool)
        assert status["warmup_failed_gpus"] == 1
        assert not status["gpu_status"]["0"]["ready"]
        assert status["gpu_status"]["0"]["warmup_error"]
        assert status["available_gpus"] == 0


async def test_a_warm_up_that_takes_too_long_is_a_failed_one(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator, warmup=warmup(fakes, timeout_s=0.05)) as pool:
        await asyncio.wait_for(pool.start(), 5)
        assert pool.get_status()["gpu_status"]["0"]["warmup_error"] == "timed out"
        assert not pool.ready


async def test_a_worker_has_a_name_and_the_number_that_it_was_given(fakes) -> None:
    async with pool_of(fakes.StepGenerator(), gpu_id=2) as pool:
        assignment = await pool.acquire("a")
        assert (assignment.gpu_id, assignment.worker_id) == (2, pool.worker_id)
        assert pool.worker_id.startswith("inproc-")
        assert len(pool.worker_id) == len("inproc-") + 6
