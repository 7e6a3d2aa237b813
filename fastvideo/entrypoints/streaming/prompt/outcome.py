"""A segment's prompt, in time whatever happens: a model's words, or the words that were there."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.providers.base import FailureReason, LLMProviderError, LLMResponse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enhanced:
    """A provider's words. ``latency_ms``: from the question to the answer; ``fallback_used``: not the first's."""

    text: str
    provider: str
    model: str
    latency_ms: float
    fallback_used: bool


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The words that were there, as no good answer came. ``detail`` is for the log, ``reason`` for everybody."""

    text: str
    reason: FailureReason
    detail: str
    latency_ms: float


PromptOutcome: TypeAlias = Enhanced | Unchanged


async def enhance_or_keep(enhancer: PromptEnhancer, prompt: str, *, timeout_ms: int | None = None) -> PromptOutcome:
    """The enhanced prompt, or the user's own words at the latest when the enhancer's deadline is over.

    ``timeout_ms``: how long the segment can wait, if that is shorter. Raises ValueError for a blank prompt.
    """
    return await _or_unchanged(enhancer.enhance(prompt, timeout_ms=timeout_ms), prompt)


async def extend_or_repeat(
    enhancer: PromptEnhancer, prior_prompts: Sequence[str], *, timeout_ms: int | None = None
) -> PromptOutcome:
    """The prompt with which the story goes on, or the last one once more. Timing and errors as above."""
    last = prior_prompts[-1] if prior_prompts else ""
    return await _or_unchanged(enhancer.auto_extend(prior_prompts, timeout_ms=timeout_ms), last)


async def _or_unchanged(answer: Awaitable[LLMResponse], own_words: str) -> PromptOutcome:
    asked_s = time.monotonic()
    try:
        response = await answer
    except LLMProviderError as error:
        latency_ms = _since_ms(asked_s)
        logger.info("prompt used as it was after %.0f ms (%s): %s", latency_ms, error.reason, error)
        return Unchanged(own_words, error.reason, str(error), latency_ms)
    latency_ms = _since_ms(asked_s)
    logger.info("prompt from %s (%s) after %.0f ms", response.provider, response.model, latency_ms)
    return Enhanced(response.content, response.provider, response.model, latency_ms, response.fallback_used)


def _since_ms(then_s: float) -> float:
    return (time.monotonic() - then_s) * 1000.0
