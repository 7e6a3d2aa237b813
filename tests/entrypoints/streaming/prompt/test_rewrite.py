"""Alternatives to a prompt, over real HTTP."""

from __future__ import annotations

import json

import pytest

from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProviderError
from fastvideo.entrypoints.streaming.prompt.rewrite import RewriteOptions, RewriteResult, build_rewrite

FIVE = json.dumps({"prompts": [f"A ball, way {number}." for number in range(5)]})


async def test_as_many_alternatives_come_back_as_were_asked_for(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.says(FIVE))
    enhancer = enhancer_of(model.url)
    result = await build_rewrite(enhancer, "a ball")
    assert isinstance(result, RewriteResult)
    assert result.alternatives == ["A ball, way 0.", "A ball, way 1.", "A ball, way 2."]
    assert (result.seed_prompt, result.provider, result.model) == ("a ball", "p0", "small-model")
    assert result.latency_ms >= 0
    for count, kept in ((1, 1), (0, 1), (4, 4), (9, 5)):
        result = await build_rewrite(enhancer, "a ball", options=RewriteOptions(count=count))
        assert len(result.alternatives) == kept


async def test_the_model_is_told_the_number_the_form_and_the_wish(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.says(FIVE))
    enhancer = enhancer_of(model.url, max_tokens=100, temperature=0.7)
    await build_rewrite(enhancer, "a ball", options=RewriteOptions(count=4, temperature=0.2, instruction="at night"))
    await build_rewrite(enhancer, "a ball")
    wished, plain = (received.body for received in model.received)
    system, user = (message["content"] for message in wished["messages"])
    assert "exactly 4 prompts, as strict JSON" in system
    assert user == "a ball\n\nWhat to change: at night"
    assert (wished["temperature"], wished["max_tokens"]) == (0.2, 400)
    assert plain["messages"][1]["content"] == "a ball"
    assert (plain["temperature"], plain["max_tokens"]) == (0.7, 300)


async def test_numbered_lines_will_do(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.says("Here they are:\n1. A red ball.\n2. A blue ball.\n"))
    result = await build_rewrite(enhancer_of(model.url), "a ball")
    assert result.alternatives == ["A red ball.", "A blue ball."]


async def test_an_answer_without_alternatives_brings_on_the_next_provider(start_model, plays, enhancer_of) -> None:
    broken, good = await start_model(plays.says('{"prompts": ["A r')), await start_model(plays.says(FIVE))
    result = await build_rewrite(enhancer_of(broken.url, good.url), "a ball")
    assert (result.provider, result.fallback_used, len(result.alternatives)) == ("p1", True, 3)


async def test_when_nobody_has_alternatives_it_says_why(start_model, plays, enhancer_of) -> None:
    model = await start_model(plays.says("{}"))
    with pytest.raises(LLMProviderError) as caught:
        await build_rewrite(enhancer_of(model.url), "a ball")
    assert caught.value.reason == "malformed"


async def test_a_blank_prompt_is_refused(enhancer_of) -> None:
    with pytest.raises(ValueError, match="expected a prompt"):
        await build_rewrite(enhancer_of("http://127.0.0.1:9/v1"), " \n")
