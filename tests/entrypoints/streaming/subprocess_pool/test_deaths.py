"""A worker dies: its segment or result goes on elsewhere, or fails with a code."""

import asyncio
import socket
import time
from typing import Any

import numpy as np
import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import CheckpointError, GenerationCancelled, GenerationFailed
from fastvideo.api.results import GenerationResult
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.worker import run_segment
from fastvideo.entrypoints.streaming.worker_messages import JobEnded
from fastvideo.entrypoints.streaming.worker_process import WorkerLoop


@pytest.mark.parametrize("after", [SegmentStarted, SegmentProgress, SegmentInit, SegmentFragment])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_segment_whose_worker_dies_goes_on_elsewhere_and_is_seen_once(fakes, pools, after, workers) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator())
    async with pools.of(launch, workers=workers) as pool:
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
        assert pools.media(events) == pools.media(expected)
        assert isinstance(events[-1], SegmentDone)
        assert events[-1].cursor == expected[-1].cursor
        await fakes.until(lambda: pool.health().available_workers == workers)
        assert len(launch.workers) == workers + 1


async def test_the_worker_that_goes_on_hears_what_comes_next_and_a_dead_one_is_not_missed(fakes, pools) -> None:
    generators = []

    def make(index: int) -> Any:
        generators.append(fakes.StepGenerator())
        generators[-1].hold()
        return generators[-1]

    launch = pools.Threads(fakes, make)
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        begun = 0
        async for event in pool.stream("a", fakes.job("now")):
            if isinstance(event, SegmentStarted):
                launch.workers[0].kill()
                # Told to the one that is dying, to nobody, or to the next: it is for whoever makes the segment.
                pool.encode_ahead("a", fakes.request("old"))
                pool.encode_ahead("a", fakes.request("next"))
                await fakes.until(lambda: len(generators) == 2)
                generators[1].free()
                begun += 1
        assert begun == 1
        generators[0].free()
        assert [(running, request.prompt) for running, request in generators[1].ahead] == [("now", "next")]
        pool.encode_ahead("a", fakes.request("late"))
        await pools.consume(pool, "a", fakes.job("next"))
        assert len(generators[1].ahead) == 1


async def test_a_worker_that_was_dead_already_when_it_got_the_job_is_not_held_against_the_job(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.StepGenerator())
    async with pools.of(launch, workers=3) as pool:
        await pool.start()
        await pool.acquire("a")
        events = []
        async for event in pool.stream("a", fakes.job()):
            events.append(event)
            if isinstance(event, SegmentInit) and len(launch.workers) == 3:
                for worker in launch.workers:
                    worker.kill()
        assert pools.media(events) == pools.media(run_segment(fakes.StepGenerator(), fakes.job(), fakes.token()))


async def test_a_result_whose_worker_dies_is_made_again_and_whole(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: fakes.WholeGenerator())

    def result(request: Any) -> dict[str, Any]:
        if len(launch.workers) == 1:
            launch.workers[0].kill()
        return {"frames": np.zeros((8, 4, 4, 3), np.uint8), "audio": None}

    launch.make = lambda _: fakes.WholeGenerator(result)
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        assert (await pool.run("a", fakes.request())).frames.shape == (8, 4, 4, 3)


async def test_a_segment_that_kills_two_workers_fails_and_the_session_may_try_another(fakes, pools) -> None:
    launch = pools.Threads(fakes, lambda _: None)
    generators: list[Any] = []

    def make(_: int) -> Any:
        generators.append(fakes.StepGenerator())
        worker = launch.workers
        generators[-1].failures["bad"] = lambda: worker[-1].kill() or SystemExit()
        return generators[-1]

    launch.make = make
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        started_s = time.monotonic()
        with pytest.raises(GenerationFailed, match="two workers") as caught:
            await pools.consume(pool, "a", fakes.job("bad"))
        assert time.monotonic() - started_s < 2
        assert (caught.value.code, caught.value.retryable) == ("worker_failed", True)
        assert isinstance((await pools.consume(pool, "a", fakes.job("good")))[-1], SegmentDone)


async def test_a_segment_whose_worker_is_not_replaced_in_time_fails(fakes, pools) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    launch = pools.Threads(fakes, lambda _: generator)
    async with pools.of(launch, retry_s=0.05) as pool:
        await pool.start()
        await pool.acquire("a")
        running = asyncio.create_task(pools.consume(pool, "a", fakes.job()))
        await asyncio.to_thread(generator.reached.acquire)

        def never(index: int) -> Any:
            raise CheckpointError("the disk is gone")

        launch.make = never
        launch.workers[0].kill()
        with pytest.raises(GenerationFailed, match="no other one"):
            await asyncio.wait_for(running, 5)
        assert pool.turns_waiting == 0
        generator.free()


async def test_a_cancelled_segment_whose_worker_dies_is_not_made_again(fakes, pools) -> None:
    generator, cancel = fakes.StepGenerator(), CancellationToken()
    generator.hold()
    launch = pools.Threads(fakes, lambda _: generator)
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        running = asyncio.create_task(pools.consume(pool, "a", fakes.job(), cancel=cancel))
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
async def test_a_whole_segment_is_neither_repeated_nor_failed_by_the_death_of_its_worker(fakes, pools, reads) -> None:
    generator = fakes.StepGenerator()
    launch = pools.Threads(fakes, lambda _: generator, loop=DiesBeforeItIsFree)
    async with pools.of(launch) as pool:
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
            assert pools.media(events) == pools.media(expected)
            await fakes.until(lambda: len(launch.workers) == times + 1 and pool.ready)  # noqa: B023
            # Whoever replaced it has nothing to do.
            assert not pool.get_status()["gpu_status"]["0"]["busy"]
            assert len(generator.requests) == times
        assert pool.turns_waiting == 0


@pytest.mark.parametrize("ring_bytes", [64 * 64 * 3 * 8, 1])
async def test_a_whole_result_is_neither_repeated_nor_failed_by_the_death_of_its_worker(
    fakes, pools, ring_bytes
) -> None:
    generator = fakes.WholeGenerator()
    launch = pools.Threads(fakes, lambda _: generator, loop=DiesBeforeItIsFree)
    async with pools.of(launch, ring_bytes=ring_bytes) as pool:
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
    fakes, pools, caplog, after_frames
) -> None:
    broken = fakes.StepGenerator()
    broken.failures["a prompt"], broken.fail_after_frames = fakes.accelerator_error, after_frames
    launch = pools.Threads(fakes, lambda _: broken if len(launch.workers) == 1 else fakes.StepGenerator())
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        events = await pools.consume(pool, "a", fakes.job())
        expected = list(run_segment(fakes.StepGenerator(), fakes.job(), fakes.token()))
        assert [type(event) for event in events] == [type(event) for event in expected]
        assert pools.media(events) == pools.media(expected)
        assert "is replaced: its accelerator fails" in caplog.text
        assert (len(broken.requests), len(launch.workers)) == (1, 2)


async def test_a_segment_that_costs_two_workers_their_accelerator_fails(fakes, pools) -> None:
    def make(_: int) -> Any:
        generator = fakes.StepGenerator()
        generator.failures["bad"] = fakes.accelerator_error
        return generator

    launch = pools.Threads(fakes, make)
    async with pools.of(launch) as pool:
        await pool.start()
        await pool.acquire("a")
        with pytest.raises(GenerationFailed, match="two workers") as caught:
            await pools.consume(pool, "a", fakes.job("bad"))
        assert (caught.value.code, caught.value.retryable) == ("worker_failed", True)
        assert isinstance((await pools.consume(pool, "a", fakes.job("good")))[-1], SegmentDone)
        assert len(launch.workers) == 3
