"""Who is served by whom."""

import asyncio

import pytest

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentInit,
)


async def test_sessions_spread_over_the_workers_and_stay_with_the_one_they_know(fakes, pools) -> None:
    generators = [fakes.StepGenerator(), fakes.StepGenerator()]
    async with pools.of(pools.Threads(fakes, lambda index: generators[index]), workers=2) as pool:
        await pool.start()
        for name in "abcd":
            await pool.acquire(name)
        for _ in range(3):
            for name in "abcd":
                await pools.consume(pool, name, fakes.job(name))
        assert [{request.prompt for request in generator.requests} for generator in generators] == [
            {"a", "c"},
            {"b", "d"},
        ]
        clients = [worker["client_count"] for worker in pool.get_status()["gpu_status"].values()]
        assert clients == [2, 2]


async def test_a_session_takes_another_worker_rather_than_wait_for_its_own(fakes, pools) -> None:
    generators = [fakes.StepGenerator(), fakes.StepGenerator()]
    generators[0].hold()
    async with pools.of(pools.Threads(fakes, lambda index: generators[index]), workers=2) as pool:
        await pool.start()
        for name in "abc":
            await pool.acquire(name)
        first = asyncio.create_task(pools.consume(pool, "a", fakes.job("a")))
        await asyncio.to_thread(generators[0].reached.acquire)
        assert isinstance((await pools.consume(pool, "c", fakes.job("c")))[-1], SegmentDone)
        assert [request.prompt for request in generators[1].requests] == ["c"]
        generators[0].free()
        await first


async def test_many_sessions_over_four_workers_finish_in_fair_order(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: MockGenerator(sleep_ms=2))
    finished: list[str] = []
    async with pools.of(launch, workers=4, places=13) as pool:
        await pool.start()

        async def session(name: str) -> None:
            await pool.acquire(name)
            for _ in range(2):
                await pools.consume(pool, name, fakes.job(name, width=32, height=32, num_inference_steps=1))
                finished.append(name)

        await asyncio.gather(*(session(f"s{number}") for number in range(50)))
    # With four workers at most four turns overlap, so nobody gets a second one long before everybody had a first.
    assert len(finished) == 100
    assert len(set(finished[:45])) == 45
    assert len(set(finished[-45:])) == 45


async def test_a_reader_that_is_too_slow_loses_its_segment_and_not_the_worker(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator(noise=True), window_bytes=20_000, stall_s=0.2)
    async with pools.of(launch) as pool:
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
        assert isinstance((await pools.consume(pool, "a", fakes.job()))[-1], SegmentDone)


async def test_a_state_that_cannot_be_sent_is_the_clients_fault_and_costs_no_worker(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator())
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        job = fakes.job()
        job.request.state = ContinuationState("ltx2.v1", {"n": 2**80})
        with pytest.raises(StateInvalid):
            await pools.consume(pool, "a", job)
        await pools.consume(pool, "a", fakes.job())
        assert len(launch.workers) == 1
