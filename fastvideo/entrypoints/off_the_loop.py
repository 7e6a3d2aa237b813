"""A blocking iterator, taken from asyncio one item at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor
from typing import TypeVar

from fastvideo.api.cancellation import CancellationToken

T = TypeVar("T")


async def off_the_loop(
    items: Generator[T, None, None], cancel: CancellationToken, thread: Executor
) -> AsyncGenerator[T, None]:
    """The items, each made in ``thread`` when it is asked for; None is no item.

    Leaving early sets ``cancel``, waits for the item that is being made, and closes ``items``.
    """
    loop = asyncio.get_running_loop()
    step: asyncio.Future[T | None] | None = None
    try:
        while True:
            step = loop.run_in_executor(thread, next, items, None)
            item = await asyncio.shield(step)
            step = None
            if item is None:
                return
            yield item
    finally:
        cancel.cancel()
        if step is not None:
            await asyncio.wait([step])
            # Whatever the abandoned step raised, nobody waits for it any more.
            step.exception()
        await loop.run_in_executor(thread, items.close)
