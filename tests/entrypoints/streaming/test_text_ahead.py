"""A session tells the worker of its running segment which text comes next, once that may and will be used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from fastvideo.api.schema import PacingConfig
from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMRequest, LLMResponse

LEAD = PacingConfig(lead_seconds=1e6)


@dataclass(frozen=True)
class Verdict:
    allowed: bool


class Check:
    """Lets everything through but one word."""

    def classify(self, prompt: str) -> Verdict:
        return Verdict("forbidden" not in prompt)


class Model:
    """A language model that waits until a test lets it answer."""

    name = "model"

    def __init__(self, says: str) -> None:
        self.says = says
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.asked += 1
        await self.may_answer.wait()
        return LLMResponse(self.says, self.name, request.model, latency_ms=1.0)


def heard(one: Any) -> list[tuple[str, str]]:
    return [(running, following.prompt) for running, following in one.generator.ahead]


async def hears(one: Any, fakes: Any, *expected: tuple[str, str]) -> None:
    """Let the held segment step until its worker has heard all of it, and nothing else."""

    def stepped() -> bool:
        one.generator.allow()
        return len(heard(one)) >= len(expected)

    await fakes.until(stepped)
    assert heard(one) == list(expected)


async def test_the_next_prompt_of_the_queue_is_told_with_all_that_its_segment_asks_for(stage, fakes) -> None:
    one = stage()
    client = await one.held("first")
    client.say("segment_prompt_source", prompt="second", negative_prompt="blur", num_inference_steps=3)
    client.say("segment_prompt_source", prompt="third")
    await hears(one, fakes, ("first", "second"))
    one.generator.free()
    await client.hears("ltx2_segment_complete", 3)
    assert heard(one) == [("first", "second"), ("second", "third")]
    told, ran = one.generator.ahead[0][1], one.generator.requests[1]
    assert (told.negative_prompt, told.sampling) == ("blur", ran.sampling)
    assert told.negative_prompt == ran.negative_prompt
    assert told.state is None


async def test_another_prompt_that_takes_its_place_is_told_too(stage, fakes) -> None:
    one = stage(pacing=LEAD, generation_segment_cap=100)
    client = one.open(curated_prompts=["one", "two"], loop_generation_enabled=True)
    one.generator.hold()
    await client.hears("ltx2_segment_start")
    await hears(one, fakes, ("one", "two"))
    one.generator.hold()
    client.say("segment_prompt_source", prompt="three")
    await fakes.until(lambda: "three" in [text for _, text in heard(one)] or one.generator.allow())
    assert [text for _, text in heard(one)][:2] == ["two", "three"]
    client.leave()
    one.generator.free()


async def test_words_of_a_language_model_are_told_when_they_are_there(stage, fakes) -> None:
    model = Model("better words")
    one = stage(prompts=PromptGate(PromptEnhancer(providers=[model], model="m"), Check()))
    client = await one.held("first")
    client.say("enhancement_updated", enabled=True)
    client.say("segment_prompt_source", prompt="second")
    await fakes.until(lambda: model.asked == 1)
    assert heard(one) == []
    model.may_answer.set()
    await hears(one, fakes, ("first", "better words"))
    one.generator.free()
    await client.hears("ltx2_segment_complete", 2)
    assert [request.prompt for request in one.generator.requests] == ["first", "better words"]


@pytest.mark.parametrize("says", ["a forbidden scene", "better words"])
async def test_a_blocked_text_is_never_told(stage, fakes, says) -> None:
    model = Model(says)
    model.may_answer.set()
    one = stage(prompts=PromptGate(PromptEnhancer(providers=[model], model="m"), Check()))
    client = await one.held("first")
    client.say("enhancement_updated", enabled=True)
    client.say("segment_prompt_source", prompt="second" if "forbidden" in says else "a forbidden thing")
    client.say("segment_prompt_source", prompt="third")
    one.generator.free()
    await client.hears("error")
    assert not [text for _, text in heard(one) if "forbidden" in text]


async def test_a_scene_that_goes_on_with_the_same_words_is_not_told(stage, fakes) -> None:
    one = stage(pacing=LEAD, generation_segment_cap=3)
    client = one.open(auto_extension_enabled=True)
    client.say("segment_prompt_source", prompt="a kite")
    await client.hears("ltx2_segment_complete", 3)
    assert heard(one) == []


async def test_a_prompt_that_comes_with_no_segment_running_is_not_told(stage, fakes) -> None:
    one = stage()
    client = one.open()
    for index, prompt in enumerate(("first", "second")):
        client.say("segment_prompt_source", prompt=prompt)
        await client.hears("ltx2_segment_complete", index + 1)
    assert heard(one) == []


async def test_a_cancelled_segment_takes_along_what_was_told_of_the_next(stage, fakes) -> None:
    one = stage()
    client = await one.held("first")
    client.say("segment_prompt_source", prompt="second")
    client.say("segment_cancel")
    await fakes.until(lambda: one.generator.token.cancelled)
    one.generator.free()
    await client.hears("ltx2_segment_complete")
    assert [request.prompt for request in one.generator.requests] == ["first", "second"]
    assert ("second", "second") not in heard(one)


async def test_nothing_is_told_where_it_is_switched_off(stage, fakes) -> None:
    one = stage(pacing=PacingConfig(encode_ahead=False))
    client = await one.held("first")
    client.say("segment_prompt_source", prompt="second")
    one.generator.free()
    await client.hears("ltx2_segment_complete", 2)
    assert heard(one) == []
