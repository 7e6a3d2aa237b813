"""A blocked prompt reaches no generator, wherever it comes from; the client hears of it, and the session goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.api.schema import PromptSafetyConfig
from fastvideo.api.session_presets import SessionPreset, SessionToggles
from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMRequest, LLMResponse
from fastvideo.entrypoints.streaming.server import build_app

BAD = "forbidden"


@dataclass(frozen=True)
class Verdict:
    allowed: bool


class Check:
    """Lets everything through but one word, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def classify(self, prompt: str) -> Verdict:
        self.asked.append(prompt)
        return Verdict(BAD not in prompt)


class Model:
    """A language model that says the same to everything, and remembers what it was told."""

    name = "model"

    def __init__(self, says: str) -> None:
        self.says = says
        self.told: list[str] = []

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.told.append(request.messages[-1].content)
        return LLMResponse(self.says, self.name, request.model, latency_ms=1.0)


@dataclass
class Scene:
    until: Any
    one: Any
    client: Any
    model: Model
    check: Check


@pytest.fixture
def scene(stage: Callable[..., Any], fakes: Any) -> Callable[..., Scene]:
    def make(says: str = "better words", *, with_preset: SessionPreset | None = None, **opening: Any) -> Scene:
        model, check = Model(says), Check()
        one = stage(prompts=PromptGate(PromptEnhancer(providers=[model], model="m"), check))
        if with_preset is not None:
            one.server.session_presets[with_preset.name] = with_preset
        return Scene(fakes.until, one, one.open(**opening), model, check)

    return make


def seen(scene: Scene) -> list[str]:
    return [request.prompt for request in scene.one.generator.requests]


async def goes_on(scene: Scene, *, errors: int = 1) -> None:
    """One error of the documented form, nothing of it at the generator, and the next prompt is played."""
    error = await scene.client.hears("error", errors)
    assert (error["code"], error["reason"], error["retryable"]) == ("invalid_message", "prompt_blocked", True)
    assert BAD not in error["message"]
    scene.model.says = "better words"
    scene.client.say("segment_prompt_source", prompt="a fine thing", source="enhanced", request_id="fine")
    fine = {"type": "prompt_status", "request_id": "fine", "status": "applied"}
    await scene.until(lambda: fine in scene.client.received)
    assert "a fine thing" in seen(scene)
    assert not [text for text in seen(scene) if BAD in text]
    # Whatever a generator saw was checked in these very words.
    assert set(seen(scene)) <= set(scene.check.asked)


@pytest.mark.parametrize("source", ["user", "enhanced", "curated", "auto_extension"])
async def test_a_prompt_of_a_client_whatever_it_says_of_its_source(scene, source: str) -> None:
    it = scene(enhancement_enabled=True)
    it.client.say("segment_prompt_source", prompt=f"a {BAD} thing", source=source, request_id="bad")
    await goes_on(it)
    (status,) = [message for message in it.client.of("prompt_status") if message["request_id"] == "bad"]
    assert (status["status"], status["reason"]) == ("rejected", "prompt_blocked")
    assert it.model.told == []


async def test_curated_prompts_of_the_opening_message_are_left_out_and_the_others_play(scene) -> None:
    it = scene(curated_prompts=[f"{BAD} one", "two", f"{BAD} three"], loop_generation_enabled=True)
    await goes_on(it)
    await it.client.hears("error", 2)
    await it.client.hears("ltx2_segment_complete", 3)
    # Told once for each, however often the others are repeated.
    assert len(it.client.of("error")) == 2
    assert set(seen(it)) == {"two", "a fine thing"}


@pytest.mark.parametrize("enhancement", [False, True])
async def test_curated_prompts_of_a_preset(scene, enhancement: bool) -> None:
    preset = SessionPreset("bad", "Bad", prompts=[f"{BAD} one"], toggles=SessionToggles(loop_generation=True))
    it = scene(with_preset=preset, preset="bad", enhancement_enabled=enhancement)
    await goes_on(it)
    assert it.model.told == []


async def test_a_new_list_of_curated_prompts_is_refused_as_a_whole(scene) -> None:
    it = scene(curated_prompts=["one"])
    it.client.say("seed_prompts_updated", seed_prompts=["two", f"{BAD} three"])
    await goes_on(it)
    (session,) = it.one.server.sessions.active_sessions()
    assert session.curated_prompts == ["one"]


async def test_what_a_language_model_makes_of_a_prompt(scene) -> None:
    it = scene(f"a {BAD} scene", enhancement_enabled=True)
    it.client.say("segment_prompt_source", prompt="an innocent thing", request_id="bad")
    await goes_on(it)
    statuses = [message["status"] for message in it.client.of("prompt_status") if message["request_id"] == "bad"]
    assert statuses == ["pending", "rejected"]
    assert it.model.told == ["an innocent thing"]


async def test_what_a_language_model_makes_of_a_curated_prompt(scene) -> None:
    it = scene(f"a {BAD} scene", enhancement_enabled=True, loop_generation_enabled=True, curated_prompts=["a thing"])
    await goes_on(it)


async def test_a_scene_that_a_language_model_makes_up_holds_the_story_until_the_client_acts(scene) -> None:
    it = scene(f"a {BAD} scene", auto_extension_enabled=True)
    assert (await it.client.hears("generation_blocked"))["reason"] == "no_prompt"
    it.client.say("segment_prompt_source", prompt="a beginning")
    blocked = await it.client.hears("generation_blocked", 2)
    assert blocked["reason"] == "prompt_blocked"
    assert len(it.client.of("error")) == 1
    await goes_on(it)


@pytest.mark.parametrize(
    ("curated", "instruction", "says", "told"),
    [
        (["a thing"], f"make it {BAD}", "x", 0),
        ([f"{BAD} thing"], None, "x", 0),
        (["a thing"], None, f"1. {BAD} one\n2. {BAD} two", 1),
    ],
    ids=["instruction", "seed", "alternatives"],
)
async def test_rewrites(scene, curated: list[str], instruction: str | None, says: str, told: int) -> None:
    it = scene(says, curated_prompts=curated)
    it.client.say("rewrite_seed_prompts", count=2, **({} if instruction is None else {"instruction": instruction}))
    await goes_on(it)
    assert len(it.model.told) == told
    complete = it.client.of("rewrite_seed_prompts_complete")
    assert [(message["alternatives"], message["reason"]) for message in complete] == [([], "blocked")] * told


async def test_a_rewrite_keeps_the_alternatives_that_are_allowed(scene) -> None:
    it = scene(f"1. {BAD} one\n2. a fine one", curated_prompts=["a thing"])
    it.client.say("rewrite_seed_prompts", count=2)
    complete = await it.client.hears("rewrite_seed_prompts_complete")
    assert complete["alternatives"] == ["a fine one"]
    assert it.client.of("error") == []


async def test_what_a_picture_should_avoid_is_checked_where_guidance_turns_it_into_a_wish(scene) -> None:
    it = scene()
    it.client.say("segment_prompt_source", prompt="a", negative_prompt=BAD, guidance_scale=1.0)
    await it.client.hears("ltx2_segment_complete")
    it.client.say("segment_prompt_source", prompt="b", negative_prompt=BAD, guidance_scale=0.0)
    await goes_on(it)
    assert "b" not in seen(it)


async def test_a_classifier_that_a_config_names_stands_before_every_prompt(stage, prompt_classifier) -> None:
    one = stage(safety=PromptSafetyConfig(enabled=True, classifier_path=str(prompt_classifier)))
    client = one.open()
    client.say("segment_prompt_source", prompt="a masked person tortures a prisoner with a knife")
    assert (await client.hears("error"))["reason"] == "prompt_blocked"
    client.say("segment_prompt_source", prompt="a woman makes tea and looks out of the window")
    await client.hears("ltx2_segment_complete")
    assert [request.prompt for request in one.generator.requests] == ["a woman makes tea and looks out of the window"]


def test_a_server_does_not_start_without_the_classifier_that_its_config_names(fakes, tmp_path) -> None:
    broken = tmp_path / "prompts.ftz"
    broken.write_bytes(b"no classifier")
    with pytest.raises(ConfigValidationError, match="classifier_path"):
        build_app(fakes.config(safety=PromptSafetyConfig(enabled=True)), fakes.StepGenerator())
    for path in (broken, tmp_path / "missing.ftz"):
        config = fakes.config(safety=PromptSafetyConfig(enabled=True, classifier_path=str(path)))
        with pytest.raises(CheckpointError, match=path.name):
            build_app(config, fakes.StepGenerator())
