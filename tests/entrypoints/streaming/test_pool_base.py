import asyncio
import contextlib
from typing import Any

import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled, GenerationFailed, StateInvalid
from fastvideo.entrypoints.streaming.admission import ADMITTED
from fastvideo.entrypoints.streaming.gpu_pool import GpuPool, PoolAcquireTimeout, PoolAssignment, PoolHealth
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentProgress, SegmentStarted


class FiveMethodPool(GpuPool):
    """A pool as the documents describe it, with nothing of ours."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.running = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def acquire(self, session_id: str, *, timeout: float | None = None) -> PoolAssignment:  # noqa: ASYNC109
        return PoolAssignment(3, "mine")

    async def run(self, session_id: str, request: Any) -> Any:
        self.running.set()
        await self.go_on.wait()
        return self.generator.generate(request)

    async def release(self, session_id: str) -> None: ...

    async def shutdown(self) -> None: ...

    def health(self) -> PoolHealth:
        return PoolHealth(1, 1, 0)


async def test_a_pool_with_the_five_documented_methods_can_stream(fakes) -> None:
    pool = FiveMethodPool(fakes.WholeGenerator())
    places = []
    assert (await pool.join("s", on_place=places.append)).gpu_id == 3
    assert places == [ADMITTED]
    events = [event async for event in pool.stream("s", fakes.job(num_inference_steps=4))]
    assert events[0] == SegmentStarted(4)
    assert events[1] == SegmentProgress(4, 4)
    done = events[-1]
    assert isinstance(done, SegmentDone)
    assert done.frames == 8
    assert sum(isinstance(event, SegmentStarted) for event in events) == 1


async def test_a_cancelled_segment_does_not_wait_for_a_pool_that_cannot_be_interrupted(fakes) -> None:
    pool, cancel = FiveMethodPool(fakes.WholeGenerator()), CancellationToken()
    pool.go_on.clear()

    async def consume() -> None:
        async for _ in pool.stream("s", fakes.job(), cancel=cancel):
            pass

    consumer = asyncio.create_task(consume())
    await pool.running.wait()
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        await asyncio.wait_for(consumer, 5)


async def test_leaving_the_stream_cancels_the_run(fakes) -> None:
    pool = FiveMethodPool(fakes.WholeGenerator())
    pool.go_on.clear()
    async with contextlib.aclosing(pool.stream("s", fakes.job())) as events:
        assert isinstance(await anext(events), SegmentStarted)
        waiting = asyncio.ensure_future(anext(events))
        await pool.running.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others


@pytest.mark.parametrize(
    ("raised", "seen"), [(KeyError("secret"), GenerationFailed), (StateInvalid("x"), StateInvalid)]
)
async def test_what_run_raises_becomes_a_failure_of_the_segment(fakes, raised, seen) -> None:
    def fail(_: Any) -> Any:
        raise raised

    pool = FiveMethodPool(fakes.WholeGenerator(fail))
    with pytest.raises(seen) as caught:
        async for _ in pool.stream("s", fakes.job()):
            pass
    assert "secret" not in str(caught.value)


def test_the_documented_error_is_a_runtime_error() -> None:
    assert issubclass(PoolAcquireTimeout, RuntimeError)
