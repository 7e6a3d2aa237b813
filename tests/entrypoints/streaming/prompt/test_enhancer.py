"""The enhancer with providers that live in the test."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from dataclasses import dataclass, field

import pytest

from fastvideo.entrypoints.streaming.prompt.enhancer import MAX_STORY_CHARS, MAX_STORY_PROMPTS, PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMProvider,
    LLMProviderError,
    LLMProviderMisconfigured,
    LLMRequest,
    LLMResponse,
)


@dataclass
class Canned:
    """Answers what it was given, an error raised; the last one again and again."""

    name: str
    answers: list[str | Exception]
    requests: list[LLMRequest] = field(default_factory=list)

    async def complete(self, request: LLMRequest) -> LLMResponse:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return LLMResponse(answer, self.name, request.model, latency_ms=1.0)


async def test_a_prompt_is_asked_for_with_the_settings_and_comes_back_clean() -> None:
    provider = Canned("one", ['"A red ball\nrolls."'])
    assert isinstance(provider, LLMProvider)
    enhancer = PromptEnhancer(providers=[provider], model="small-model")
    response = await enhancer.enhance("a ball")
    assert response == LLMResponse("A red ball rolls.", "one", "small-model", latency_ms=1.0)
    (request,) = provider.requests
    assert (request.model, request.max_tokens, request.temperature) == ("small-model", 256, 0.7)
    assert request.timeout_ms is not None
    assert 0 < request.timeout_ms <= 20_000
    system, user = request.messages
    assert system.role == "system"
    assert "You write prompts" in system.content
    assert (user.role, user.content) == ("user", "a ball")


async def test_an_answer_that_is_no_prompt_brings_on_the_next_provider() -> None:
    for bad in ("", "I'm sorry, I can't help with that.", "x" * 51):
        enhancer = PromptEnhancer(
            providers=[Canned("one", [bad]), Canned("two", ["A red ball."])], model="m", max_prompt_chars=50
        )
        response = await enhancer.enhance("a ball")
        assert (response.content, response.provider, response.fallback_used) == ("A red ball.", "two", True)


async def test_providers_are_asked_in_their_order_and_may_be_added_anywhere() -> None:
    one, two, three = Canned("one", ["1"]), Canned("two", ["2"]), Canned("three", ["3"])
    enhancer = PromptEnhancer(providers=[one], model="m")
    enhancer.register_provider(two)
    enhancer.register_provider(three, priority=0)
    assert [provider.name for provider in enhancer.providers] == ["three", "one", "two"]
    enhancer.providers.clear()
    assert (await enhancer.enhance("a ball")).content == "3"


async def test_a_story_goes_on_from_its_latest_part() -> None:
    provider = Canned("one", ["The ball stops."])
    enhancer = PromptEnhancer(providers=[provider], model="m")
    assert (await enhancer.auto_extend(["a ball", "it\nrolls"])).content == "The ball stops."
    await enhancer.auto_extend([f"scene {number}" for number in range(100)])
    await enhancer.auto_extend(["x" * MAX_STORY_CHARS, "short", " ", "y" * 100])
    await enhancer.auto_extend(["short", "z" * (MAX_STORY_CHARS + 1)])
    stories = [request.messages[1].content for request in provider.requests]
    assert stories[0] == "a ball\nit rolls"
    assert stories[1].split("\n") == [f"scene {number}" for number in range(100 - MAX_STORY_PROMPTS, 100)]
    assert stories[2] == "short\n" + "y" * 100
    assert stories[3] == "z" * (MAX_STORY_CHARS + 1)
    assert "comes next" in provider.requests[0].messages[0].content


async def test_a_missing_key_skips_its_provider_and_is_said_once(caplog) -> None:
    caplog.set_level(logging.INFO)
    keyless = Canned("keyless", [LLMProviderMisconfigured("keyless has no key: set SOME_KEY", reason="not_configured")])
    enhancer = PromptEnhancer(providers=[keyless, Canned("two", ["A red ball."])], model="m")
    for _ in range(3):
        assert (await enhancer.enhance("a ball")).provider == "two"
    assert [record.getMessage() for record in caplog.records] == [
        "prompt provider keyless gives no answer: keyless has no key: set SOME_KEY"
    ]


async def test_a_provider_that_comes_back_is_said_to_and_may_fail_anew(caplog) -> None:
    caplog.set_level(logging.INFO)
    busy = LLMProviderError("busy")
    enhancer = PromptEnhancer(providers=[Canned("one", [busy, busy, "A red ball.", "A blue one.", busy])], model="m")
    for _ in range(5):
        with contextlib.suppress(LLMProviderError):
            await enhancer.enhance("a ball")
    assert [record.getMessage() for record in caplog.records] == [
        "prompt provider one gives no answer: busy",
        "prompt provider one answers again",
        "prompt provider one gives no answer: busy",
    ]


async def test_a_provider_with_a_fault_of_its_own_is_a_failure_whose_text_is_not_repeated(caplog) -> None:
    enhancer = PromptEnhancer(
        providers=[Canned("faulty", [KeyError("sk-secret")]), Canned("two", ["A red ball."])], model="m"
    )
    assert (await enhancer.enhance("a ball")).provider == "two"
    assert "faulty raised KeyError" in caplog.text
    assert "sk-secret" not in caplog.text


async def test_a_shorter_deadline_may_be_given_but_no_longer_one() -> None:
    provider = Canned("one", ["A red ball."])
    enhancer = PromptEnhancer(providers=[provider], model="m", timeout_ms=5000)
    await enhancer.enhance("a ball", timeout_ms=1000)
    await enhancer.enhance("a ball", timeout_ms=60_000)
    shorter, capped = (request.timeout_ms for request in provider.requests)
    assert shorter <= 1000
    assert 1000 < capped <= 5000


async def test_questions_of_many_sessions_do_not_wait_for_each_other() -> None:
    all_there = asyncio.Barrier(20)

    class Together:
        name = "together"

        async def complete(self, request: LLMRequest) -> LLMResponse:
            await all_there.wait()
            return LLMResponse(request.messages[1].content.upper(), self.name, request.model, latency_ms=0.0)

    enhancer = PromptEnhancer(providers=[Together()], model="m")
    answers = await asyncio.gather(*(enhancer.enhance(f"ball {number}") for number in range(20)))
    assert [answer.content for answer in answers] == [f"BALL {number}" for number in range(20)]


async def test_closing_it_closes_the_providers_that_can_be_closed() -> None:
    class Closes(Canned):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    closes = Closes("two", ["x"])
    await PromptEnhancer(providers=[Canned("one", ["x"]), closes], model="m").aclose()
    assert closes.closed


async def test_blank_prompts_and_settings_that_make_no_sense_are_refused() -> None:
    enhancer = PromptEnhancer(providers=[Canned("one", ["x"])], model="m")
    for refused in (enhancer.enhance(" "), enhancer.auto_extend([]), enhancer.auto_extend(["a", ""])):
        with pytest.raises(ValueError, match="expected a prompt"):
            await refused
    with pytest.raises(ValueError, match="at least one provider"):
        PromptEnhancer(providers=[], model="m")
    for settings in ({"timeout_ms": 0}, {"hedge_after_ms": -1}):
        with pytest.raises(ValueError, match="timeout_ms above 0"):
            PromptEnhancer(providers=[Canned("one", ["x"])], model="m", **settings)


async def test_the_documented_defaults_are_kept() -> None:
    defaults = {name: value.default for name, value in inspect.signature(PromptEnhancer).parameters.items()}
    documented = {"timeout_ms": 20000, "temperature": 0.7, "max_tokens": 256, "system_prompt_dir": None}
    assert documented.items() <= defaults.items()
    assert all(value.kind is value.KEYWORD_ONLY for value in inspect.signature(PromptEnhancer).parameters.values())
