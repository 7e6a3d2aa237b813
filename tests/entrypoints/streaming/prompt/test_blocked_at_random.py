"""Random sessions: half of all wishes are blocked, and half of a language model's answers; none reaches a generator."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastvideo.entrypoints.streaming as package
from fastvideo.api.schema import PacingConfig
from fastvideo.entrypoints.streaming.prompt import PromptEnhancer, SafetyDecision, SafetyResult
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMRequest, LLMResponse

BAD = "forbidden"


class ByWord:
    """Blocks one word."""

    def __init__(self) -> None:
        self.blocked = 0

    def classify(self, prompt: str) -> SafetyResult:
        if BAD not in prompt:
            return SafetyResult(prompt, SafetyDecision.ALLOW)
        self.blocked += 1
        return SafetyResult(prompt, SafetyDecision.BLOCK, 1.0, "unsafe")


class Moody:
    """A language model that says what is blocked to every second question, and remembers what it was told."""

    name = "moody"

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.told: list[str] = []

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.told.append(request.messages[-1].content)
        return LLMResponse("\n".join(text(self.rng) for _ in range(2)), self.name, request.model, latency_ms=1.0)


def text(rng: random.Random) -> str:
    return f"{rng.choice([BAD, 'fine'])} scene {rng.randrange(1000)}"


def wish(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A message of a client."""
    switch = {"enabled": rng.random() < 0.6}
    sources = ["user", "enhanced", "curated", "auto_extension"]
    return rng.choice(
        [
            ("segment_prompt_source", {"prompt": text(rng), "source": rng.choice(sources)}),
            ("segment_prompt_source", {"prompt": "fine", "negative_prompt": text(rng), "guidance_scale": 0.5}),
            ("seed_prompts_updated", {"seed_prompts": [text(rng) for _ in range(rng.randrange(3))]}),
            ("rewrite_seed_prompts", {"instruction": text(rng)}),
            ("enhancement_updated", switch),
            ("auto_extension_updated", switch),
            ("loop_generation_updated", switch),
            ("generation_paused", {"paused": rng.random() < 0.3}),
            ("segment_cancel", {}),
        ]
    )


def applied(request_id: str) -> dict[str, str]:
    return {"type": "prompt_status", "request_id": request_id, "status": "applied"}


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_that_is_blocked_reaches_a_generator_or_a_language_model(
    seed: int, stage: Callable[..., Any], fakes: Any
) -> None:
    rng = random.Random(seed)
    settings = {"generation_segment_cap": 1000, "pacing": PacingConfig(lead_seconds=1e6)}
    # Of its own, for when it is asked depends on the machine.
    model, check = Moody(random.Random(seed)), ByWord()
    one = stage(prompts=PromptGate(PromptEnhancer(providers=[model], model="m"), check), **settings)
    client = one.open(
        curated_prompts=[text(rng) for _ in range(4)],
        **{f"{name}_enabled": True for name in ("enhancement", "auto_extension", "loop_generation")},
    )
    await client.hears("ltx2_stream_start")
    for number in range(10):
        for kind, fields in (wish(rng) for _ in range(rng.randrange(5))):
            client.say(kind, **fields)
        client.say("generation_paused", paused=False)
        client.say("segment_prompt_source", prompt=f"fine {number}", source="enhanced", request_id=f"fine {number}")
        said = applied(f"fine {number}")
        await fakes.until(lambda said=said: said in client.received)
        # Then the story goes on by itself, until something of it is blocked.
        client.say("seed_prompts_updated", seed_prompts=[f"fine scene {rng.randrange(1000)}"])
        client.say(rng.choice(["auto_extension_updated", "loop_generation_updated"]), enabled=True)
        most = len(client.of("ltx2_segment_start")) + 3
        ends = len(client.of("generation_blocked"))
        await fakes.until(
            lambda most=most, ends=ends: (
                len(client.of("ltx2_segment_start")) >= most or len(client.of("generation_blocked")) > ends
            )
        )
    for kind in ("enhancement_updated", "auto_extension_updated", "loop_generation_updated"):
        client.say(kind, enabled=False)
    client.say("generation_paused", paused=False)
    client.say("segment_prompt_source", prompt="the end", request_id="the end")
    await fakes.until(lambda: applied("the end") in client.received)

    seen = [(request.prompt, request.negative_prompt) for request in one.generator.requests]
    assert seen[-1][0] == "the end"
    assert not [words for pair in seen for words in pair if words and BAD in words]
    assert not [words for words in model.told if BAD in words]
    assert len(seen) > 10
    assert model.told
    assert check.blocked > 3
    assert "prompt_blocked" in [error.get("reason") for error in client.of("error")]
    assert BAD not in "".join(error["message"] for error in client.of("error"))


def test_whatever_makes_jobs_of_viewers_words_checks_them() -> None:
    makers = set()
    for path in Path(package.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = {ast.unparse(call.func) for call in ast.walk(function) if isinstance(call, ast.Call)}
                if "SegmentJob" in calls:
                    makers.add((path.name, "self._server.prompts.check_request" in calls))
    # The warm-up's words are the operator's, and a worker gets jobs that the runner has made.
    assert makers == {("segment_maker.py", True), ("warmup.py", False), ("worker_jobs.py", False)}
