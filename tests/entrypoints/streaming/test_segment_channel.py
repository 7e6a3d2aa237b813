import asyncio
import threading

import pytest

from fastvideo.api.errors import GenerationFailed
from fastvideo.entrypoints.streaming.segment_channel import ReaderGone, ReaderTooSlow, SegmentChannel


def channel(max_bytes: int = 100, stall_s: float = 30.0) -> SegmentChannel[int]:
    return SegmentChannel(asyncio.get_running_loop(), max_bytes=max_bytes, stall_s=stall_s)


async def in_thread(work, *arguments):
    return await asyncio.wait_for(asyncio.to_thread(work, *arguments), 10)


async def test_events_arrive_in_order_and_the_end_ends_the_iteration() -> None:
    passage = channel()

    def write() -> None:
        for number in range(100):
            passage.put(number, 10)
        passage.end()

    writer = asyncio.create_task(in_thread(write))
    assert [number async for number in passage] == list(range(100))
    await writer


async def test_an_error_comes_after_the_events_before_it() -> None:
    passage = channel()
    passage.put(1)
    passage.end(GenerationFailed("broken"))
    assert await anext(passage) == 1
    with pytest.raises(GenerationFailed):
        await anext(passage)


async def test_the_writer_waits_while_too_much_is_unread_and_goes_on_when_some_was_read(fakes) -> None:
    passage = channel(max_bytes=100)
    wrote = threading.Event()

    def write() -> None:
        for _ in range(4):
            passage.put(0, 40)
        wrote.set()

    writer = asyncio.create_task(in_thread(write))
    await fakes.until(lambda: passage.held_bytes == 80)
    assert not wrote.is_set()
    assert passage.held_bytes == 80
    await anext(passage)
    await anext(passage)
    await writer
    assert passage.held_bytes == 80


async def test_one_event_larger_than_the_bound_still_passes() -> None:
    passage = channel(max_bytes=10)
    await in_thread(passage.put, 7, 1000)
    assert await anext(passage) == 7


async def test_a_reader_that_stalls_is_reported_to_the_writer() -> None:
    passage = channel(max_bytes=10, stall_s=0.01)
    passage.put(1, 10)
    with pytest.raises(ReaderTooSlow):
        await in_thread(passage.put, 2, 10)


async def test_closing_wakes_a_writer_that_waits_and_stops_later_ones() -> None:
    passage = channel(max_bytes=10)
    passage.put(1, 10)
    writer = asyncio.create_task(in_thread(passage.put, 2, 10))
    passage.close()
    with pytest.raises(ReaderGone):
        await writer
    with pytest.raises(ReaderGone):
        passage.put(3)
    assert passage.held_bytes == 0


def test_a_loop_that_is_gone_counts_as_a_reader_that_is_gone() -> None:
    loop = asyncio.new_event_loop()
    passage: SegmentChannel[int] = SegmentChannel(loop)
    loop.close()
    passage.put(1)
    with pytest.raises(ReaderGone):
        passage.put(2)
