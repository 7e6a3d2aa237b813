"""What holds for every pool of ours, whoever generates: this process or another one."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig
from fastvideo.entrypoints.streaming.admission import ADMITTED, Place
from fastvideo.entrypoints.streaming.gpu_pool import (
    InProcessGpuPool,
    PoolAcquireTimeout,
    PoolUnavailable,
    QueueFull,
    RayGpuPool,
    SubprocessGpuPool,
)
from fastvideo.entrypoints.streaming.health import get_pool_status
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentProgress, SegmentStarted
from fastvideo.entrypoints.streaming.warmup import Warmup


@contextlib.asynccontextmanager
async def in_process(generator: Any, config: GpuPoolConfig, fakes: Any, **settings: Any) -> AsyncIterator[Any]:
    pool = InProcessGpuPool(generator, config=config, **settings)
    try:
        yield pool
    finally:
        generator.free()
        await pool.shutdown()
        assert not any(thread.name == pool.worker_id for thread in threading.enumerate())


@contextlib.asynccontextmanager
async def subprocess(generator: Any, config: GpuPoolConfig, fakes: Any, **settings: Any) -> AsyncIterator[Any]:
    workers = []

    def launch(index: int, devices: Any, total: int) -> Any:
        workers.append(fakes.ThreadWorker(lambda: generator))
        return workers[-1]

    pool = SubprocessGpuPool(GeneratorConfig("mock:"), pool_config=config, launch=launch, **settings)
    try:
        if "warmup" not in settings:
            await pool.start()
        yield pool
    finally:
        generator.free()
        await pool.shutdown()
        for worker in workers:
            assert worker.wait(10)


@contextlib.asynccontextmanager
async def ray(generator: Any, config: GpuPoolConfig, fakes: Any, **settings: Any) -> AsyncIterator[Any]:
    fakes.relay.generator = generator
    cluster = RayCluster(None, workers=1)
    pool = RayGpuPool(
        GeneratorConfig("mock:"), cluster=cluster, workers=1, actor=fakes.actor, pool_config=config, **settings
    )
    try:
        if "warmup" not in settings:
            await pool.start()
        yield pool
    finally:
        generator.free()
        await pool.shutdown()


@pytest.fixture(params=[in_process, subprocess, ray], ids=lambda make: make.__name__)
def pool_of(request, fakes):
    if request.param is ray:
        fakes = request.getfixturevalue("ray_fakes")

    def make(generator: Any, *, places: int = 1, idle_yield_seconds: float = 20.0, **settings: Any):
        config = GpuPoolConfig(sessions_per_worker=places, idle_yield_seconds=idle_yield_seconds)
        return request.param(generator, config, fakes, **settings)

    return make


async def consume(pool: Any, session_id: str, job: Any, **settings: Any) -> list[Any]:
    return [event async for event in pool.stream(session_id, job, **settings)]


def warmup(fakes, timeout_s: float = 30.0) -> Warmup:
    found = Warmup.of(fakes.config(warmup=fakes.WarmupConfig(enabled=True, prompt="warm up")), {})
    assert found is not None
    return Warmup(found.job, timeout_s)


async def test_acquire_is_sticky_and_says_which_worker(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator()) as pool:
        first = await pool.acquire("a")
        assert first.gpu_id == 0
        assert first.worker_id.startswith(("inproc-", "worker-0"))
        assert await pool.acquire("a") is first
        assert pool.health().active_sessions == 1


async def test_nothing_runs_for_a_session_that_was_not_acquired(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator()) as pool:
        with pytest.raises(RuntimeError, match="acquire"):
            await pool.run("a", fakes.request())
        with pytest.raises(RuntimeError, match="acquire"):
            await consume(pool, "a", fakes.job())


async def test_sessions_take_turns_segment_by_segment(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    async with pool_of(generator, places=3) as pool:

        async def session(name: str) -> None:
            await pool.acquire(name)
            for _ in range(3):
                await consume(pool, name, fakes.job(name))

        await asyncio.gather(*(session(name) for name in "abc"))
        made = [prompt for kind, prompt in generator.trace if kind == "done"]
        # Who is first is up to the threads that their requests are checked on.
        assert set(made[:3]) == {"a", "b", "c"}
        assert made == made[:3] * 3


async def test_a_session_waits_with_its_true_place_and_hears_of_every_change_once(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator()) as pool:
        heard: dict[str, list[Place]] = {name: [] for name in "abcd"}
        await pool.join("a", on_place=heard["a"].append)
        joins = {name: asyncio.create_task(pool.join(name, on_place=heard[name].append)) for name in "bcd"}
        await fakes.until(lambda: all(heard.values()))
        assert pool.health().queued_sessions == 3
        await pool.release("a")
        await joins["b"]
        await pool.release("c")
        with pytest.raises(RuntimeError, match="released"):
            await joins["c"]
        await pool.release("b")
        await joins["d"]
        assert heard["a"] == [ADMITTED]
        assert heard["b"] == [Place(0, 1), Place(0, 2), Place(0, 3)]
        assert heard["c"] == [Place(1, 2), Place(1, 3), Place(0, 2)]
        assert heard["d"] == [Place(2, 3), Place(1, 2), Place(0, 1)]


async def test_a_measured_segment_gives_those_who_wait_an_estimate(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator(), expected_segments=3) as pool:
        heard: list[Place] = []
        await pool.acquire("a")
        join = asyncio.create_task(pool.join("b", on_place=heard.append))
        await fakes.until(lambda: heard)
        assert heard[-1].eta_ms is None
        await consume(pool, "a", fakes.job())
        assert heard[-1].eta_ms is not None
        assert heard[-1].eta_ms >= 1000
        await pool.release("a")
        await join


async def test_waiting_ends_with_an_error_after_the_timeout_and_the_place_is_not_stranded(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator()) as pool:
        await pool.acquire("a")
        with pytest.raises(PoolAcquireTimeout):
            await pool.acquire("b", timeout=0.01)
        assert pool.health().queued_sessions == 0
        await pool.release("a")
        await pool.acquire("c", timeout=1)


async def test_a_waiter_that_is_cancelled_while_it_is_admitted_strands_no_place(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator()) as pool:
        await pool.acquire("a")
        waiter = asyncio.create_task(pool.acquire("b"))
        await fakes.until(lambda: pool.health().queued_sessions == 1)
        # In one go of the loop: the place is given, and its taker is cancelled before it hears of it.
        await pool.release("a")
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert pool.health().active_sessions == 0
        await pool.acquire("c", timeout=1)


async def test_two_callers_for_one_session_share_one_place(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator()) as pool:
        await pool.acquire("a")
        first, second = (asyncio.create_task(pool.acquire("b")) for _ in range(2))
        await fakes.until(lambda: pool.health().queued_sessions == 1)
        first.cancel()
        await pool.release("a")
        assert (await second).gpu_id == 0
        assert pool.health().active_sessions == 1


async def test_a_queue_that_is_full_refuses_at_once(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator(), queue_length=0) as pool:
        await pool.acquire("a")
        with pytest.raises(QueueFull):
            await pool.acquire("b")


async def test_an_idle_session_gives_its_place_to_one_that_waits(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator(), idle_yield_seconds=0.05) as pool:
        await pool.acquire("a")
        await asyncio.wait_for(pool.acquire("b"), 5)
        with pytest.raises(RuntimeError, match="acquire"):
            await consume(pool, "a", fakes.job())
        # It queues again, and gets the place back when the other one is idle.
        await asyncio.wait_for(pool.acquire("a"), 5)
        await consume(pool, "a", fakes.job())


async def test_a_session_that_enters_when_a_lease_is_due_does_not_take_it_from_who_waits(pool_of, fakes) -> None:
    now = [0.0]
    async with pool_of(fakes.StepGenerator(), clock=lambda: now[0]) as pool:
        await pool.acquire("idle")
        first = asyncio.create_task(pool.acquire("first"))
        await fakes.until(lambda: pool.health().queued_sessions == 1)
        now[0] = 25.0
        second = asyncio.create_task(pool.acquire("second"))
        await asyncio.wait_for(first, 5)
        assert not second.done()
        await pool.release("first")
        await asyncio.wait_for(second, 5)


async def test_sessions_that_yield_at_once_still_get_their_turns(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    async with pool_of(generator, idle_yield_seconds=0.0) as pool:

        async def session(name: str) -> None:
            for _ in range(3):
                await pool.acquire(name)
                await consume(pool, name, fakes.job(name))

        await asyncio.wait_for(asyncio.gather(*(session(name) for name in "abc")), 20)
        assert len([kind for kind, _ in generator.trace if kind == "done"]) == 9


async def test_a_pool_forgets_the_sessions_that_left(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator(), places=2) as pool:
        for number in range(5):
            await pool.acquire(f"s{number}")
            await pool.release(f"s{number}")
        assert len(pool._room) == 0


async def test_a_session_that_leaves_frees_the_worker_within_one_step(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator, places=2) as pool:
        await pool.acquire("gone")
        await pool.acquire("waits")
        leaving = asyncio.create_task(consume(pool, "gone", fakes.job("gone", num_inference_steps=50)))
        await asyncio.to_thread(generator.reached.acquire)
        waiting = asyncio.create_task(consume(pool, "waits", fakes.job("waits", num_inference_steps=1)))
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await pool.release("gone")
        assert pool.health().active_sessions == 1
        await fakes.until(lambda: generator.token.cancelled)
        generator.allow(1)
        await fakes.until(lambda: ("cancelled", "gone") in generator.trace)
        assert ("step", "gone") not in generator.trace
        generator.free()
        assert isinstance((await waiting)[-1], SegmentDone)


async def test_releasing_a_session_ends_the_segment_that_somebody_still_reads(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        reading = asyncio.create_task(consume(pool, "a", fakes.job(num_inference_steps=50)))
        await asyncio.to_thread(generator.reached.acquire)
        await pool.release("a")
        # The generator is in the middle of a step, and has heeded nothing yet.
        with pytest.raises(GenerationCancelled):
            await asyncio.wait_for(reading, 5)
        await fakes.until(lambda: generator.token.cancelled)
        generator.free()
        await fakes.until(lambda: generator.trace == [("cancelled", "a prompt")])


async def test_a_cancelled_turn_that_has_not_begun_never_begins(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator, places=2) as pool:
        await pool.acquire("a")
        await pool.acquire("b")
        first = asyncio.create_task(consume(pool, "a", fakes.job("a")))
        await asyncio.to_thread(generator.reached.acquire)
        second = asyncio.create_task(consume(pool, "b", fakes.job("b")))
        await fakes.until(lambda: pool.turns_waiting == 1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert pool.turns_waiting == 0
        generator.free()
        await first
        await consume(pool, "b", fakes.job("b again"))
        assert {prompt for _, prompt in generator.trace} == {"a", "b again"}


async def test_the_worker_of_a_running_segment_hears_what_comes_next(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        # Nobody is there to hear these.
        pool.encode_ahead("a", fakes.request("early"))
        pool.encode_ahead("nobody", fakes.request("lost"))
        following = fakes.request("next")
        following.negative_prompt = "blur"
        events = []
        async for event in pool.stream("a", fakes.job("now", num_inference_steps=50)):
            events.append(event)
            if isinstance(event, SegmentStarted):
                pool.encode_ahead("a", following)
            if generator.ahead:
                generator.free()
            else:
                generator.allow()
        pool.encode_ahead("a", fakes.request("late"))
        assert isinstance(events[-1], SegmentDone)
        assert sum(isinstance(event, SegmentProgress) for event in events) == 50
        ((running, heard),) = generator.ahead
        assert (running, heard.prompt, heard.negative_prompt) == ("now", "next", "blur")
        assert heard.sampling == following.sampling
        await consume(pool, "a", fakes.job("next"))
        assert len(generator.ahead) == 1


async def test_what_comes_next_is_forgotten_with_a_segment_that_is_cancelled(pool_of, fakes) -> None:
    generator, cancel = fakes.StepGenerator(), CancellationToken()
    generator.hold()
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        with pytest.raises(GenerationCancelled):
            async for event in pool.stream("a", fakes.job("now", num_inference_steps=50), cancel=cancel):
                if isinstance(event, SegmentStarted):
                    await asyncio.to_thread(generator.reached.acquire)
                    cancel.cancel()
                    await fakes.until(lambda: generator.token.cancelled)
                    pool.encode_ahead("a", fakes.request("next"))
                    generator.free()
        await consume(pool, "a", fakes.job("another"))
        assert generator.ahead == []


async def test_cancelling_a_running_segment_raises_in_its_stream_after_its_step(pool_of, fakes) -> None:
    generator, cancel = fakes.StepGenerator(), CancellationToken()
    generator.hold()
    generator.allow(1)
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        with pytest.raises(GenerationCancelled):
            async for event in pool.stream("a", fakes.job(num_inference_steps=50), cancel=cancel):
                if isinstance(event, SegmentProgress):
                    cancel.cancel()
                    await fakes.until(lambda: generator.token.cancelled)
                    generator.allow(1)
        assert generator.trace == [("step", "a prompt"), ("cancelled", "a prompt")]
        generator.free()
        await consume(pool, "a", fakes.job())


async def test_one_session_cannot_run_two_segments_at_once(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        first = asyncio.create_task(consume(pool, "a", fakes.job()))
        await asyncio.to_thread(generator.reached.acquire)
        with pytest.raises(RuntimeError, match="running already"):
            await consume(pool, "a", fakes.job())
        generator.free()
        await first


async def test_the_time_in_the_queue_is_measured(pool_of, fakes) -> None:
    generator, now = fakes.StepGenerator(), [0.0]
    generator.hold()
    async with pool_of(generator, places=2, clock=lambda: now[0]) as pool:
        await pool.acquire("a")
        await pool.acquire("b")
        first = asyncio.create_task(consume(pool, "a", fakes.job("a")))
        await asyncio.to_thread(generator.reached.acquire)
        second = asyncio.create_task(consume(pool, "b", fakes.job("b")))
        await fakes.until(lambda: pool.turns_waiting == 1)
        now[0] = 1.5
        generator.free()
        await first
        started = (await second)[0]
        assert isinstance(started, SegmentStarted)
        assert started.queue_ms == 1500.0


async def test_the_pool_tells_the_truth_about_itself(pool_of, fakes) -> None:
    async with pool_of(fakes.StepGenerator(), places=2) as pool:
        await pool.acquire("a")
        status = await get_pool_status(pool)
        assert status["total_gpus"] == status["available_gpus"] == 1
        worker = status["gpu_status"]["0"]
        assert worker["ready"]
        assert worker["process_alive"]
        assert worker["client_count"] == 1
        assert worker["current_model_id"] == "steps"
        await pool.acquire("b")
        assert (await get_pool_status(pool))["available_gpus"] == 0
        await pool.shutdown()
        worker = (await get_pool_status(pool))["gpu_status"]["0"]
        assert not worker["ready"]
        assert not worker["process_alive"]


async def test_shutting_down_ends_what_runs_and_what_waits(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator) as pool:
        await pool.acquire("a")
        running = asyncio.create_task(consume(pool, "a", fakes.job(num_inference_steps=50)))
        await asyncio.to_thread(generator.reached.acquire)
        waiting = asyncio.create_task(pool.acquire("b"))
        await fakes.until(lambda: pool.health().queued_sessions == 1)
        shutting_down = asyncio.create_task(pool.shutdown())
        # Nobody has to wait for a generator that is slow to notice.
        for task in (running, waiting):
            with pytest.raises(PoolUnavailable):
                await asyncio.wait_for(task, 5)
        assert not shutting_down.done()
        await fakes.until(lambda: generator.token.cancelled)
        generator.allow(1)
        await asyncio.wait_for(shutting_down, 10)
        assert generator.trace == [("cancelled", "a prompt")]
        with pytest.raises(PoolUnavailable):
            await pool.acquire("c")
        await pool.shutdown()


async def test_nobody_is_admitted_before_the_warm_up_which_also_continues_a_segment(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    async with pool_of(generator, warmup=warmup(fakes)) as pool:
        starting = asyncio.create_task(pool.start())
        joining = asyncio.create_task(pool.acquire("early"))
        await asyncio.to_thread(generator.reached.acquire)
        assert not pool.ready
        assert not joining.done()
        assert (await get_pool_status(pool))["gpu_status"]["0"]["warmup_success"] is None
        generator.free()
        await starting
        await joining
        assert pool.ready
        fresh, continued = generator.requests
        assert fresh.state is None
        assert continued.state is not None
        assert continued.state.payload["segment_index"] == 0
        assert fresh.prompt == "warm up"
        assert (fresh.sampling.width, fresh.sampling.num_frames, fresh.sampling.num_inference_steps) == (64, 8, 1)
        status = await get_pool_status(pool)
        assert status["warmup_successful_gpus"] == 1
        assert set(status["gpu_status"]["0"]["warmup_timings"]) == {"first_ms", "continued_ms"}
        # A second start warms up nothing.
        await pool.start()
        assert len(generator.requests) == 2


async def test_a_job_gets_turns_while_all_places_of_sessions_are_taken(pool_of, fakes) -> None:
    generator = fakes.StepGenerator()
    async with pool_of(generator) as pool:
        await pool.acquire("viewer")
        assert (await asyncio.wait_for(pool.join_job("job"), 10)).worker_id
        assert pool.health().active_sessions == 1
        assert isinstance((await consume(pool, "job", fakes.job("a job's")))[-1], SegmentDone)
        await pool.release("job")
        with pytest.raises(RuntimeError, match="acquire one first"):
            await consume(pool, "job", fakes.job())
        assert pool.health().active_sessions == 1
