"""Several providers asked in turns, the first good answer taken, the others cancelled, all before one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMProviderError,
    LLMProviderMisconfigured,
    LLMTimeoutError,
)
from fastvideo.entrypoints.streaming.prompt.turns import Turns

# How long a cancelled provider may take to let go before it is left alone with that.
LET_GO_S = 0.1

T = TypeVar("T")


async def first_good(
    providers: int, ask: Callable[[int, float], Coroutine[Any, Any, T]], *, timeout_s: float, hedge_after_s: float
) -> T:
    """The first result of ``ask(index, seconds left)`` that comes, over the indexes of ``providers``.

    ``ask`` raises nothing but LLMProviderError. Raises the last of these when nobody is left to ask, and
    LLMTimeoutError at the deadline.
    """
    loop = asyncio.get_running_loop()
    turns = Turns(providers, now_s=loop.time(), timeout_s=timeout_s, hedge_after_s=hedge_after_s)
    running: dict[asyncio.Task[T], int] = {}
    last: LLMProviderError | None = None
    try:
        while True:
            now_s = loop.time()
            for index in turns.due(now_s):
                running[loop.create_task(ask(index, turns.deadline_s - now_s))] = index
            if now_s >= turns.deadline_s:
                before = f"; before that: {last}" if last else ""
                raise LLMTimeoutError(f"no good answer within {timeout_s * 1000:.0f} ms{before}")
            next_s = turns.next_s
            if not running and next_s is None:
                raise last or LLMProviderError("there is nobody to ask", retryable=False, reason="not_configured")
            until_s = turns.deadline_s if next_s is None else min(next_s, turns.deadline_s)
            for task in await _ended(running, max(0.0, until_s - now_s)):
                index = running.pop(task)
                error = _failure(task)
                if error is None:
                    return task.result()
                last = error
                turns.failed(
                    index,
                    loop.time(),
                    others_may=error.retryable or isinstance(error, LLMProviderMisconfigured),
                    again_after_s=error.retry_after_s,
                )
    finally:
        await _cancel(running)


async def _ended(running: dict[asyncio.Task[T], int], timeout_s: float) -> list[asyncio.Task[T]]:
    """The tasks that end first, in the providers' order."""
    if not running:
        await asyncio.sleep(timeout_s)
        return []
    done, _ = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return sorted(done, key=running.__getitem__)


def _failure(task: asyncio.Task[T]) -> LLMProviderError | None:
    if task.cancelled():
        # Not by us, so whoever waits for an answer is not cancelled with it.
        return LLMProviderError("a provider cancelled itself")
    error = task.exception()
    if error is None or isinstance(error, LLMProviderError):
        return error
    raise error


async def _cancel(tasks: Collection[asyncio.Task[T]]) -> None:
    for task in tasks:
        task.cancel()
        # What a loser raises interests nobody, now or later.
        task.add_done_callback(_forget)
    if tasks:
        await asyncio.wait(tasks, timeout=LET_GO_S)


def _forget(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()
