"""The one way from a text to a generator: what a viewer, a preset or a language model wrote passes here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from fastvideo.api.errors import FastVideoError
from fastvideo.api.schema import GenerationRequest, StreamingConfig
from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.outcome import (
    Enhanced,
    PromptOutcome,
    enhance_or_keep,
    extend_or_repeat,
)
from fastvideo.entrypoints.streaming.prompt.rewrite import RewriteOptions, RewriteResult, build_rewrite


class Verdict(Protocol):
    """What a check found."""

    @property
    def allowed(self) -> bool:
        """Whether the prompt may reach a generator."""
        ...


class PromptCheck(Protocol):
    """Says of a prompt whether it may be used; never raises, and is quick enough for an event loop."""

    def classify(self, prompt: str, /) -> Verdict: ...


class PromptBlocked(FastVideoError):
    """A prompt that no generator may see. The sentence holds nothing of it."""

    code = "invalid_message"
    reason = "prompt_blocked"
    retryable = True


class PromptGate:
    """Gives out texts that a generator may see, and raises PromptBlocked in place of others.

    ``enhancer``: None where no language model is asked; ``safety``: None where every text may be used.
    """

    def __init__(self, enhancer: PromptEnhancer | None = None, safety: PromptCheck | None = None) -> None:
        self.enhancer = enhancer
        self._safety = safety

    def check(self, *texts: str) -> None:
        """Raise PromptBlocked when a text of a viewer or a preset may not be used."""
        if not all(map(self._allows, texts)):
            raise PromptBlocked("the safety check does not let this prompt through; say it in other words")

    async def check_all(self, texts: Sequence[str]) -> None:
        """:meth:`check` for many texts, beside the event loop."""
        if self._safety is not None:
            await asyncio.to_thread(self.check, *texts)

    def check_request(self, request: GenerationRequest) -> None:
        """:meth:`check` for all words of a request that a generator follows."""
        prompts = [request.prompt] if isinstance(request.prompt, str) else list(request.prompt or [])
        if request.negative_prompt and request.sampling.guidance_scale < 1:
            # Below 1 a picture is drawn towards what it should avoid.
            prompts.append(request.negative_prompt)
        self.check(*prompts)

    async def enhanced(self, prompt: str) -> PromptOutcome:
        """A prompt in better words, or as it is. Nothing that is blocked is sent to a language model."""
        self.check(prompt)
        outcome = await enhance_or_keep(self._expect_enhancer(), prompt)
        return self._checked(outcome, "what a language model made of this prompt")

    async def extended(self, story: Sequence[str]) -> PromptOutcome:
        """The prompt with which a story goes on, or its last one once more. The story has passed before."""
        outcome = await extend_or_repeat(self._expect_enhancer(), story)
        return self._checked(outcome, "the scene that a language model made up")

    async def rewritten(self, seeds: Sequence[str], options: RewriteOptions) -> RewriteResult:
        """Other words for prompts, without those that are blocked. Raises LLMProviderError when nobody answers."""
        await self.check_all([*seeds, *([options.instruction] if options.instruction else [])])
        result = await build_rewrite(self._expect_enhancer(), "\n".join(seeds), options=options)
        allowed = [text for text in result.alternatives if self._allows(text)]
        if not allowed:
            raise PromptBlocked("the safety check lets none of the rewritten prompts through; change what you ask for")
        return replace(result, alternatives=allowed)

    async def aclose(self) -> None:
        """Close the connections to language models."""
        if self.enhancer is not None:
            await self.enhancer.aclose()

    def _checked(self, outcome: PromptOutcome, what: str) -> PromptOutcome:
        if isinstance(outcome, Enhanced) and not self._allows(outcome.text):
            raise PromptBlocked(f"the safety check does not let {what} through; say what happens in other words")
        return outcome

    def _allows(self, text: str) -> bool:
        return self._safety is None or self._safety.classify(text).allowed

    def _expect_enhancer(self) -> PromptEnhancer:
        if self.enhancer is None:
            raise RuntimeError("no language model is configured; ask whether there is an enhancer first")
        return self.enhancer


def build_gate(streaming: StreamingConfig) -> PromptGate:
    """What all prompts of a server pass, its classifier loaded. Raises ConfigValidationError for the settings, and
    CheckpointError for the classifier's file."""
    # The classifier and the HTTP client are for those who ask them.
    enhancer, safety = None, None
    if streaming.safety.enabled:
        from fastvideo.entrypoints.streaming.prompt.safety import build_safety_filter

        safety = build_safety_filter(streaming.safety)
    if streaming.prompt.enabled:
        from fastvideo.entrypoints.streaming.prompt.building import build_enhancer, endpoints_of

        enhancer = build_enhancer(
            streaming.prompt,
            endpoints=endpoints_of(streaming.prompt),
            hedge_after_ms=streaming.prompt.hedge_after_ms,
            max_prompt_chars=streaming.limits.max_prompt_chars,
        )
    return PromptGate(enhancer, safety)
