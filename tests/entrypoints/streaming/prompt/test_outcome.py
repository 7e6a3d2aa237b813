"""A segment's prompt over real HTTP: in time whatever the services do, and it says what happened."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fastvideo.entrypoints.streaming.prompt.outcome import (
    Enhanced,
    PromptOutcome,
    Unchanged,
    enhance_or_keep,
    extend_or_repeat,
)

# Far beyond every deadline set here: who needs that long, hangs.
PATIENCE_S = 30.0
SHORT_MS = 300
LONG_MS = 25_000

BAD = {
    "hangs": "timeout",
    "429": "rate_limited",
    "429 beyond the deadline": "rate_limited",
    "500": "unavailable",
    "breaks off": "unavailable",
    "10 MB": "malformed",
    "never ends": "malformed",
    "bad JSON": "malformed",
    "empty": "empty",
    "refusal": "refused",
    "refusal in words": "refused",
    "wrong key": "rejected",
    "unknown model": "rejected",
}


def play_of(plays, name):
    return {
        "hangs": plays.hangs,
        "429": plays.answers(429, Retry_After="0"),
        "429 beyond the deadline": plays.answers(429, Retry_After="3600"),
        "500": plays.answers(500),
        "breaks off": plays.breaks_off,
        "10 MB": plays.says("x" * (10 << 20)),
        "never ends": plays.never_ends,
        "bad JSON": plays.answers(200, b"<html>"),
        "empty": plays.says(""),
        "refusal": plays.says(None, refusal="No."),
        "refusal in words": plays.says("I'm sorry, but I can't help with that."),
        "wrong key": plays.answers(401),
        "unknown model": plays.answers(404),
    }[name]


async def in_time(outcome) -> PromptOutcome:
    async with asyncio.timeout(PATIENCE_S):
        return await outcome


async def test_a_good_answer_says_who_gave_it(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.says("A red ball rolls."))
    outcome = await in_time(enhance_or_keep(enhancer_of(model.url), "a ball"))
    assert isinstance(outcome, Enhanced)
    assert (outcome.text, outcome.provider, outcome.model) == ("A red ball rolls.", "p0", "small-model")
    assert outcome.latency_ms > 0
    assert not outcome.fallback_used


@pytest.mark.parametrize("name", BAD)
async def test_whatever_the_only_service_does_the_users_words_are_there_and_why(
    start_model, plays, enhancer_of, caplog, name
) -> None:
    caplog.set_level(logging.INFO)
    model = await start_model(play_of(plays, name))
    # Only a service that hangs needs the deadline; the others get time, so that a busy machine changes nothing.
    enhancer = enhancer_of(model.url, timeout_ms=SHORT_MS if name == "hangs" else LONG_MS)
    outcome = await in_time(enhance_or_keep(enhancer, "a ball"))
    assert isinstance(outcome, Unchanged)
    assert (outcome.text, outcome.reason) == ("a ball", BAD[name])
    assert outcome.latency_ms > 0
    assert f"({outcome.reason}): {outcome.detail}" in caplog.text


@pytest.mark.parametrize("name", BAD)
async def test_whatever_the_first_service_does_the_second_one_answers(start_model, plays, enhancer_of, name) -> None:
    first, second = await start_model(play_of(plays, name)), await start_model(plays.says("A red ball rolls."))
    enhancer = enhancer_of(first.url, second.url, timeout_ms=LONG_MS, hedge_after_ms=20)
    outcome = await in_time(enhance_or_keep(enhancer, "a ball"))
    assert isinstance(outcome, Enhanced)
    assert (outcome.text, outcome.provider, outcome.fallback_used) == ("A red ball rolls.", "p1", True)


async def test_a_slow_service_is_overtaken_and_told_so_by_a_closed_connection(start_model, plays, enhancer_of) -> None:
    slow = await start_model(plays.hangs)
    quick = await start_model(plays.after(lambda: slow.asked(1), plays.says("A red ball rolls.")))
    enhancer = enhancer_of(slow.url, quick.url, timeout_ms=LONG_MS, hedge_after_ms=20)
    outcome = await in_time(enhance_or_keep(enhancer, "a ball"))
    assert isinstance(outcome, Enhanced)
    assert outcome.provider == "p1"
    async with asyncio.timeout(PATIENCE_S):
        await slow.received[0].gone.wait()


async def test_a_slow_service_that_is_first_after_all_wins(start_model, plays, enhancer_of) -> None:
    release = asyncio.Event()
    slow = await start_model(plays.after(release.wait, plays.says("A red ball rolls.")))
    slower = await start_model(plays.hangs)
    enhancer = enhancer_of(slow.url, slower.url, timeout_ms=LONG_MS, hedge_after_ms=20)
    waiting = asyncio.create_task(enhance_or_keep(enhancer, "a ball"))
    await slower.asked(1)
    release.set()
    outcome = await in_time(waiting)
    assert isinstance(outcome, Enhanced)
    assert (outcome.provider, outcome.fallback_used) == ("p0", False)
    async with asyncio.timeout(PATIENCE_S):
        await slower.received[0].gone.wait()


async def test_a_quick_service_leaves_the_others_alone(start_model, plays, enhancer_of) -> None:
    quick, other = await start_model(plays.says("A red ball rolls.")), await start_model(plays.hangs)
    await in_time(enhance_or_keep(enhancer_of(quick.url, other.url, hedge_after_ms=LONG_MS), "a ball"))
    assert other.received == []


@pytest.mark.parametrize("name", ["429", "500", "breaks off"])
async def test_a_service_with_a_passing_trouble_is_asked_again(start_model, plays, enhancer_of, name) -> None:
    model = await start_model(play_of(plays, name), plays.says("A red ball rolls."))
    outcome = await in_time(enhance_or_keep(enhancer_of(model.url, timeout_ms=LONG_MS), "a ball"))
    assert isinstance(outcome, Enhanced)
    assert len(model.received) == 2


async def test_a_service_that_says_a_time_beyond_the_deadline_is_not_waited_for(
    start_model, plays, enhancer_of
) -> None:
    model = await start_model(plays.answers(429, Retry_After="3600"), plays.says("A red ball rolls."))
    outcome = await in_time(enhance_or_keep(enhancer_of(model.url, timeout_ms=LONG_MS), "a ball"))
    assert isinstance(outcome, Unchanged)
    assert outcome.latency_ms < LONG_MS
    assert len(model.received) == 1


async def test_a_segment_that_cannot_wait_takes_what_is_there(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.hangs)
    enhancer = enhancer_of(model.url)
    for timeout_ms in (50, 0, -10):
        outcome = await in_time(enhance_or_keep(enhancer, "a ball", timeout_ms=timeout_ms))
        assert isinstance(outcome, Unchanged)
        assert (outcome.text, outcome.reason) == ("a ball", "timeout")


async def test_a_story_goes_on_or_its_last_prompt_is_repeated(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.says("The ball stops."), plays.says(""))
    enhancer = enhancer_of(model.url)
    story = ["a ball", "it rolls"]
    extended = await in_time(extend_or_repeat(enhancer, story))
    repeated = await in_time(extend_or_repeat(enhancer, story))
    assert isinstance(extended, Enhanced)
    assert extended.text == "The ball stops."
    assert isinstance(repeated, Unchanged)
    assert (repeated.text, repeated.reason) == ("it rolls", "empty")
    assert model.received[0].body["messages"][1]["content"] == "a ball\nit rolls"


async def test_a_blank_prompt_is_a_fault_of_the_caller(enhancer_of) -> None:
    enhancer = enhancer_of("http://127.0.0.1:9/v1")
    with pytest.raises(ValueError, match="expected a prompt"):
        await enhance_or_keep(enhancer, " ")
    with pytest.raises(ValueError, match="expected a prompt"):
        await extend_or_repeat(enhancer, [])
