"""The race of providers, with coroutines in their place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fastvideo.entrypoints.streaming.prompt.hedge import first_good
from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMProviderError,
    LLMProviderMisconfigured,
    LLMTimeoutError,
)

LONG_S = 30.0


class Racers:
    """Coroutines that may be raced, and which of them were asked and cancelled."""

    def __init__(self, *runs: Callable[[], Awaitable[str]]) -> None:
        self._runs = runs
        self.asked: list[int] = []
        self.cancelled: list[int] = []

    async def ask(self, index: int, left_s: float) -> str:
        self.asked.append(index)
        assert 0 < left_s <= LONG_S
        try:
            return await self._runs[index]()
        except asyncio.CancelledError:
            self.cancelled.append(index)
            raise

    async def race(self, *, timeout_s: float = LONG_S, hedge_after_s: float = LONG_S) -> str:
        async with asyncio.timeout(LONG_S):
            return await first_good(len(self._runs), self.ask, timeout_s=timeout_s, hedge_after_s=hedge_after_s)


def says(text: str) -> Callable[[], Awaitable[str]]:
    async def run() -> str:
        return text

    return run


def fails(error: BaseException) -> Callable[[], Awaitable[str]]:
    async def run() -> str:
        raise error

    return run


async def forever() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_a_quick_first_answer_is_taken_and_nobody_else_is_asked() -> None:
    racers = Racers(says("one"), says("two"))
    assert await racers.race() == "one"
    assert racers.asked == [0]


async def test_a_slow_one_is_overtaken_and_cancelled() -> None:
    racers = Racers(forever, says("two"))
    assert await racers.race(hedge_after_s=0.01) == "two"
    assert racers.cancelled == [0]


async def test_a_slow_one_that_is_good_first_still_wins() -> None:
    second_asked = asyncio.Event()

    async def first() -> str:
        await second_asked.wait()
        return "one"

    async def second() -> str:
        second_asked.set()
        return await forever()

    racers = Racers(first, second)
    assert await racers.race(hedge_after_s=0.01) == "one"
    assert racers.cancelled == [1]


async def test_a_failure_brings_on_the_next() -> None:
    racers = Racers(fails(LLMProviderError("no")), says("two"))
    assert await racers.race() == "two"


async def test_one_that_cannot_answer_anybody_brings_on_the_next() -> None:
    racers = Racers(fails(LLMProviderMisconfigured("no key")), says("two"))
    assert await racers.race() == "two"


async def test_a_question_that_is_wrong_is_put_to_nobody_else() -> None:
    racers = Racers(fails(LLMProviderError("bad request", retryable=False)), says("two"))
    with pytest.raises(LLMProviderError, match="bad request"):
        await racers.race()
    assert racers.asked == [0]


async def test_when_all_fail_the_last_error_is_raised() -> None:
    racers = Racers(fails(LLMProviderError("one")), fails(LLMProviderError("two")))
    with pytest.raises(LLMProviderError, match=r"^two$"):
        await racers.race()


async def test_one_that_says_when_is_asked_again_but_not_for_ever() -> None:
    racers = Racers(fails(LLMProviderError("busy", retry_after_s=0.0)))
    with pytest.raises(LLMProviderError, match="busy"):
        await racers.race()
    assert racers.asked == [0, 0, 0]


async def test_the_deadline_ends_it_and_says_what_failed_before() -> None:
    racers = Racers(fails(LLMProviderError("the first was busy")), forever)
    with pytest.raises(LLMTimeoutError, match=r"within 50 ms; before that: the first was busy"):
        await racers.race(timeout_s=0.05)
    assert racers.cancelled == [1]


async def test_without_time_nobody_is_asked() -> None:
    racers = Racers(says("one"))
    with pytest.raises(LLMTimeoutError):
        await racers.race(timeout_s=0.0)
    assert racers.asked == []


async def test_one_that_does_not_let_go_holds_nobody_up() -> None:
    release, over = asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        over.set()
        raise LLMProviderError("too late for anybody to see")

    racers = Racers(stubborn)
    with pytest.raises(LLMTimeoutError):
        await racers.race(timeout_s=0.01)
    assert not over.is_set()
    release.set()
    async with asyncio.timeout(LONG_S):
        await over.wait()


async def test_whoever_waits_may_be_cancelled_and_takes_the_providers_along() -> None:
    asked = asyncio.Event()

    async def run() -> str:
        asked.set()
        return await forever()

    racers = Racers(run)
    waiting = asyncio.create_task(racers.race())
    async with asyncio.timeout(LONG_S):
        await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert racers.cancelled == [0]


async def test_one_that_cancels_itself_has_failed_like_any_other() -> None:
    racers = Racers(fails(asyncio.CancelledError()), says("two"))
    assert await racers.race() == "two"
