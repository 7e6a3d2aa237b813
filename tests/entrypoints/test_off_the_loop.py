import asyncio
import contextlib
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.entrypoints.off_the_loop import off_the_loop


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


class Work:
    """Items 1, 2, 3; it remembers where it ran, and whether it was closed."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.closed = False
        self.in_step = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def items(self) -> Generator[int, None, None]:
        try:
            for item in (1, 2, 3):
                self.threads.add(threading.get_ident())
                self.in_step.set()
                assert self.go_on.wait(30)
                yield item
        finally:
            self.closed = True


async def test_items_come_in_order_from_the_thread(thread: ThreadPoolExecutor) -> None:
    work = Work()
    assert [item async for item in off_the_loop(work.items(), CancellationToken(), thread)] == [1, 2, 3]
    assert threading.get_ident() not in work.threads
    assert work.closed


async def test_closing_early_cancels_and_closes_the_iterator(thread: ThreadPoolExecutor) -> None:
    work, cancel = Work(), CancellationToken()
    async with contextlib.aclosing(off_the_loop(work.items(), cancel, thread)) as items:
        assert await anext(items) == 1
    assert cancel.cancelled
    assert work.closed


async def test_cancelling_the_task_in_mid_step_waits_for_that_step_only(thread: ThreadPoolExecutor) -> None:
    work, cancel = Work(), CancellationToken()
    work.go_on.clear()

    async def consume() -> None:
        async for _ in off_the_loop(work.items(), cancel, thread):
            raise AssertionError("no item is finished")

    task = asyncio.create_task(consume())
    await asyncio.get_running_loop().run_in_executor(None, work.in_step.wait, 30)
    task.cancel()
    # The loop has to run for the task to see it.
    assert await asyncio.get_running_loop().run_in_executor(None, cancel.wait, 30)
    assert not task.done()
    work.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.closed


async def test_an_error_of_the_work_is_raised(thread: ThreadPoolExecutor) -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise KeyError("broken")

    items = off_the_loop(failing(), CancellationToken(), thread)
    assert await anext(items) == 1
    with pytest.raises(KeyError, match="broken"):
        await anext(items)
