import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled, GenerationFailed
from fastvideo.entrypoints.streaming.segment_channel import SegmentChannel
from fastvideo.entrypoints.streaming.worker_thread import Turn, WorkerThread


@pytest.fixture
def worker() -> Iterator[WorkerThread]:
    thread = WorkerThread("test-worker")
    yield thread
    thread.stop()
    assert thread.join(10)
    assert not thread.alive


def turn_of(events: Callable[[], Iterator[Any]]) -> Turn[Any]:
    def work() -> Generator[Any, None, None]:
        yield from events()

    return Turn(work, SegmentChannel(asyncio.get_running_loop()), CancellationToken())


async def test_turns_are_taken_in_order_on_one_thread(worker) -> None:
    turns = [turn_of(lambda number=number: iter([(number, threading.current_thread().name)])) for number in range(5)]
    for turn in turns:
        worker.submit(turn)
    taken = [[event async for event in turn.channel] for turn in turns]
    assert taken == [[(number, "test-worker")] for number in range(5)]
    assert all(turn.busy_s is not None for turn in turns)


async def test_a_turn_abandoned_before_it_begins_does_no_work(worker) -> None:
    did: list[int] = []
    turn = turn_of(lambda: iter([did.append(1)]))
    turn.abandon()
    worker.submit(turn)
    last = turn_of(lambda: iter([0]))
    worker.submit(last)
    assert [event async for event in last.channel] == [0]
    assert did == []
    assert turn.busy_s is None


async def test_work_whose_reader_left_is_closed(worker) -> None:
    closed = threading.Event()

    def work() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    turn = turn_of(work)
    worker.submit(turn)
    assert await anext(turn.channel) == 0
    turn.abandon()
    assert await asyncio.to_thread(closed.wait, 10)


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("x"), GenerationFailed),
        (SystemExit(1), GenerationFailed),
        (GenerationCancelled("x"), GenerationCancelled),
    ],
)
async def test_an_error_reaches_the_reader_and_the_thread_goes_on(worker, raised, seen) -> None:
    def work() -> Iterator[int]:
        yield 1
        raise raised

    turn = turn_of(work)
    worker.submit(turn)
    assert await anext(turn.channel) == 1
    with pytest.raises(seen):
        await anext(turn.channel)
    following = turn_of(lambda: iter([2]))
    worker.submit(following)
    assert await anext(following.channel) == 2
    assert worker.alive


async def test_a_stopped_worker_takes_no_more_turns() -> None:
    thread = WorkerThread("short")
    assert thread.alive
    thread.stop()
    assert thread.join(1)
    with pytest.raises(RuntimeError, match="stopped"):
        thread.submit(turn_of(lambda: iter([])))
