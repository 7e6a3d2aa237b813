from typing import Any

import pytest

from fastvideo.api.errors import GenerationFailed
from fastvideo.api.results import GenerationResult
from fastvideo.entrypoints.streaming.segment_events import SegmentCut, SegmentDone, SegmentFragment, SegmentStarted
from fastvideo.entrypoints.streaming.worker_messages import JobEvent, ResultDone
from fastvideo.entrypoints.streaming.worker_turn import BegunAgain, WorkerTurn
from fastvideo.media.timeline import MediaCursor

CURSOR = MediaCursor.start()
DONE = JobEvent(1, SegmentDone(CURSOR, None, frames=1, duration_ms=1.0, pts_base_ms=0.0, generation_ms=1.0))
FRAGMENT = JobEvent(1, SegmentFragment(b"12345", 1, 0.0, 1.0))


class Clock:
    now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def consumed() -> list[int]:
    return []


@pytest.fixture
def turn(clock, consumed) -> WorkerTurn:
    return WorkerTurn("a", 1, consumed=lambda _, size_bytes: consumed.append(size_bytes), clock=clock)


async def read(turn: WorkerTurn) -> list[Any]:
    return [item async for item in turn]


async def test_what_the_worker_sends_is_read_in_order_and_then_the_error(turn, consumed) -> None:
    turn.begin(0)
    turn.put(FRAGMENT)
    turn.end(GenerationFailed("it broke"))
    assert await anext(turn) == FRAGMENT
    assert consumed == [5]
    with pytest.raises(GenerationFailed, match="it broke"):
        await anext(turn)


@pytest.mark.parametrize("last", [DONE, ResultDone(1, GenerationResult())], ids=["segment", "result"])
async def test_no_error_follows_what_is_whole(turn, last) -> None:
    turn.begin(0)
    turn.put(FRAGMENT)
    turn.put(last)
    assert turn.whole
    assert not turn.ended
    turn.end(GenerationFailed("its worker died"))
    assert await read(turn) == [FRAGMENT, last]


async def test_nothing_is_added_to_what_is_whole(turn, consumed) -> None:
    turn.begin(0)
    turn.put(DONE)
    turn.put(FRAGMENT)
    turn.put(JobEvent(1, SegmentCut(CURSOR)))
    turn.end()
    assert await read(turn) == [DONE]
    assert consumed == [5, 0]


async def test_what_was_not_read_of_a_dead_worker_comes_from_the_next_one(turn) -> None:
    turn.begin(0)
    turn.put(FRAGMENT)
    turn.begin(1)
    turn.put(DONE)
    turn.end(busy_s=2.0)
    again, done = await read(turn)
    assert isinstance(again, BegunAgain)
    assert done == DONE
    assert (turn.worker, turn.begun, turn.busy_s) == (1, 2, 2.0)


async def test_the_start_tells_how_long_the_turn_was_waited_for(turn, clock) -> None:
    clock.now_s = 5.25
    turn.begin(0)
    turn.put(JobEvent(1, SegmentStarted(4)))
    assert (await anext(turn)).event == SegmentStarted(4, queue_ms=250.0)


async def test_what_nobody_reads_is_told_to_the_worker_as_read(turn, consumed) -> None:
    turn.begin(0)
    turn.put(FRAGMENT)
    turn.abandon()
    turn.put(FRAGMENT)
    assert consumed == [5, 5]
