"""Other words for a session's plan, asked of a language model beside whatever is generated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from fastvideo.api.errors import ConfigValidationError, LimitExceeded
from fastvideo.api.schema import RequestLimits
from fastvideo.entrypoints.streaming.ask_budget import AskBudget
from fastvideo.entrypoints.streaming.director import Director
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.prompt.enhancer import MAX_STORY_CHARS
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked, PromptGate
from fastvideo.entrypoints.streaming.prompt.providers.base import LLMProviderError
from fastvideo.entrypoints.streaming.prompt.rewrite import RewriteOptions
from fastvideo.entrypoints.streaming.protocol import (
    MAX_REWRITES,
    ErrorMessage,
    RewriteSeedPrompts,
    RewriteSeedPromptsComplete,
    RewriteSeedPromptsStarted,
)
from fastvideo.entrypoints.streaming.session_post import SessionPost

logger = logging.getLogger(__name__)

_ALTERNATIVES = 3


class SeedRewrites:
    """Answers ``rewrite_seed_prompts``, one at a time. Nothing is replaced: the client says what it takes."""

    def __init__(
        self,
        gate: PromptGate,
        director: Director,
        limits: RequestLimits,
        budget: AskBudget,
        *,
        post: SessionPost,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._director = director
        self._limits = limits
        self._budget = budget
        self._clock = clock
        self._post = post
        self._task: asyncio.Task[None] | None = None

    async def ask(self, message: RewriteSeedPrompts) -> None:
        """Begin with a rewrite, or say why not; waits for no answer."""
        if self._gate.enhancer is None:
            await self._post.put(_refused("No language model rewrites prompts on this server."))
            return
        if self._task is not None and not self._task.done():
            await self._post.put(_later("One rewrite is under way; ask again when it is complete."))
            return
        seeds = self._seeds()
        if not seeds:
            await self._post.put(_refused("There is nothing to rewrite: no curated prompts, and no segment yet."))
            return
        instruction = (message.instruction or "").strip() or None
        try:
            self._check_lengths(seeds, instruction)
            await self._gate.check_all([*seeds, *([instruction] if instruction else [])])
        except (ConfigValidationError, PromptBlocked) as error:
            await self._post.put(error_message(error))
            return
        if not self._budget.take(self._clock()):
            await self._post.put(_later("This session has had language models asked too often; ask again later."))
            return
        count = message.count or (min(len(seeds), MAX_REWRITES) if len(seeds) > 1 else _ALTERNATIVES)
        options = RewriteOptions(count=count, instruction=instruction)
        await self._post.put(RewriteSeedPromptsStarted(seed_prompts=seeds, count=count))
        self._task = asyncio.create_task(self._rewrite(seeds, options))

    async def close(self) -> None:
        """End the rewrite that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _seeds(self) -> list[str]:
        """The curated prompts, else the last words of the story, each on one line."""
        prompts = self._director.curated or self._director.story[-1:]
        return [" ".join(prompt.split()) for prompt in prompts]

    def _check_lengths(self, seeds: Sequence[str], instruction: str | None) -> None:
        most, chars = self._limits.max_prompt_chars, len(instruction or "")
        if chars > most:
            raise LimitExceeded("instruction", f"expected at most {most} characters, got {chars}")
        chars = sum(map(len, seeds))
        if chars > max(MAX_STORY_CHARS, most):
            raise LimitExceeded(
                "curated_prompts", f"at most {max(MAX_STORY_CHARS, most)} characters are rewritten at once, not {chars}"
            )

    async def _rewrite(self, seeds: Sequence[str], options: RewriteOptions) -> None:
        began_s = self._clock()

        def latency_ms() -> float:
            return round((self._clock() - began_s) * 1000.0, 3)

        try:
            result = await self._gate.rewritten(seeds, options)
        except LLMProviderError as error:
            complete = RewriteSeedPromptsComplete(alternatives=[], reason=error.reason, latency_ms=latency_ms())
            self._log(complete, detail=str(error))
        except PromptBlocked as error:
            await self._post.put(error_message(error))
            complete = RewriteSeedPromptsComplete(alternatives=[], reason="blocked", latency_ms=latency_ms())
            self._log(complete)
        except Exception:
            logger.exception("a rewrite failed")
            complete = RewriteSeedPromptsComplete(alternatives=[], reason="unavailable", latency_ms=latency_ms())
        else:
            complete = RewriteSeedPromptsComplete(
                alternatives=result.alternatives,
                provider=result.provider,
                model=result.model,
                fallback_used=result.fallback_used,
                latency_ms=latency_ms(),
            )
            self._log(complete)
        await self._post.put(complete)

    def _log(self, complete: RewriteSeedPromptsComplete, **more: str) -> None:
        said = complete.model_dump(exclude={"type", "alternatives"}, exclude_none=True)
        self._post.log("prompts_rewritten", alternatives=len(complete.alternatives), **said, **more)


def _refused(text: str) -> ErrorMessage:
    return ErrorMessage(code="invalid_message", message=text)


def _later(text: str) -> ErrorMessage:
    return ErrorMessage(code="invalid_message", message=text, retryable=True, reason="rate_limited")
