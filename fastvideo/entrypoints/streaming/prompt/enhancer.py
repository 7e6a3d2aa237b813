"""Prompts made better by the first of several language models that gives a good answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fastvideo.entrypoints.streaming.prompt.alternatives import alternatives_of, json_wanted
from fastvideo.entrypoints.streaming.prompt.answers import prompt_of
from fastvideo.entrypoints.streaming.prompt.hedge import first_good
from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMMessage,
    LLMProvider,
    LLMProviderError,
    LLMRequest,
    LLMResponse,
)
from fastvideo.entrypoints.streaming.prompt.system_prompts import PromptOperation as PromptOperation
from fastvideo.entrypoints.streaming.prompt.system_prompts import SystemPrompts

logger = logging.getLogger(__name__)

MAX_STORY_PROMPTS = 24
MAX_STORY_CHARS = 12_000


class PromptEnhancer:
    """Asks ``providers`` in order: the next one ``hedge_after_ms`` after the one before, or at once when that failed.

    The first good answer wins and the others are cancelled; empty and refused answers, and prompts longer than
    ``max_prompt_chars``, are failures. A provider that says when to come back (``Retry-After``) is asked again, up to
    three times. ``timeout_ms`` is one deadline for all of that; ``max_tokens`` is for each prompt asked for.

    What is asked raises the last :class:`LLMProviderError`, or LLMTimeoutError at the deadline; ``outcome`` has what
    never raises. Nothing after an error that is neither retryable nor about the provider itself (no key, key refused,
    unknown model) is asked. Belongs to one event loop; close it at the end. Raises ValueError without providers.
    """

    def __init__(
        self,
        *,
        providers: Sequence[LLMProvider],
        model: str,
        timeout_ms: int = 20000,
        temperature: float = 0.7,
        max_tokens: int = 256,
        system_prompt_dir: str | Path | None = None,
        hedge_after_ms: int = 1000,
        max_prompt_chars: int = 4000,
    ) -> None:
        if not providers:
            raise ValueError("expected at least one provider to ask, got none")
        if timeout_ms <= 0 or hedge_after_ms < 0:
            raise ValueError(
                f"expected timeout_ms above 0 and hedge_after_ms of at least 0, got {timeout_ms} and {hedge_after_ms}"
            )
        self._providers = list(providers)
        self._model = model
        self._timeout_ms = timeout_ms
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._hedge_after_ms = hedge_after_ms
        self._max_prompt_chars = max_prompt_chars
        self._system_prompts = SystemPrompts(system_prompt_dir)
        self._failing: set[str] = set()

    @property
    def providers(self) -> list[LLMProvider]:
        """The providers in order; a copy."""
        return list(self._providers)

    def register_provider(self, provider: LLMProvider, *, priority: int = -1) -> None:
        """Add a provider: at the end when ``priority`` is negative, else before the one that is there now."""
        self._providers.insert(len(self._providers) if priority < 0 else priority, provider)

    def reload_system_prompts(self) -> dict[PromptOperation, Path]:
        """Read the system prompts again now; tells which file is in force for what."""
        return self._system_prompts.reload()

    async def aclose(self) -> None:
        """Close the providers' connections."""
        for provider in self._providers:
            close = getattr(provider, "aclose", None)
            if close is not None:
                await close()

    async def enhance(self, prompt: str, *, timeout_ms: int | None = None) -> LLMResponse:
        """A user's prompt with what it leaves open filled in. ``timeout_ms`` can only shorten the deadline.

        Raises ValueError for a blank prompt.
        """
        _expect_text(prompt)
        return await self._ask(PromptOperation.ENHANCE, prompt, self._one_prompt, timeout_ms=timeout_ms)

    async def auto_extend(self, prior_prompts: Sequence[str], *, timeout_ms: int | None = None) -> LLMResponse:
        """The prompt that comes after these, the oldest first; of a long story its latest part is told.

        ``timeout_ms`` can only shorten the deadline. Raises ValueError when there is no prompt, or the last is blank.
        """
        _expect_text(prior_prompts[-1] if prior_prompts else "")
        story = _latest(prior_prompts)
        return await self._ask(PromptOperation.AUTO_EXTEND, story, self._one_prompt, timeout_ms=timeout_ms)

    async def rewrite(
        self, seed: str, *, count: int = 3, temperature: float | None = None, instruction: str | None = None
    ) -> LLMResponse:
        """Up to ``count`` other ways to tell ``seed``, one a line of the content.

        ``instruction``: what the user wants changed. Raises ValueError for a blank seed.
        """
        _expect_text(seed)
        count = max(1, count)

        def lines(answer: str) -> str:
            return "\n".join(alternatives_of(answer, count=count, max_chars=self._max_prompt_chars))

        text = f"{seed}\n\nWhat to change: {instruction}" if instruction else seed
        return await self._ask(
            PromptOperation.REWRITE, text, lines, form=json_wanted(count), prompts=count, temperature=temperature
        )

    def _one_prompt(self, answer: str) -> str:
        return prompt_of(answer, self._max_prompt_chars)

    async def _ask(
        self,
        operation: PromptOperation,
        text: str,
        read: Callable[[str], str],
        *,
        form: str | None = None,
        prompts: int = 1,
        temperature: float | None = None,
        timeout_ms: int | None = None,
    ) -> LLMResponse:
        """The first answer that ``read`` takes; ``form`` is what the model is told about an answer's form."""
        system = self._system_prompts.text(operation)
        request = LLMRequest(
            messages=[
                LLMMessage("system", f"{system}\n\n{form}" if form else system),
                LLMMessage("user", text),
            ],
            model=self._model,
            max_tokens=self._max_tokens * prompts,
            temperature=self._temperature if temperature is None else temperature,
        )
        providers = self.providers

        async def ask(index: int, left_s: float) -> LLMResponse:
            timed = replace(request, timeout_ms=max(1, int(left_s * 1000)))
            return replace(await self._good_answer(providers[index], timed, read), fallback_used=index > 0)

        timeout_ms = self._timeout_ms if timeout_ms is None else min(timeout_ms, self._timeout_ms)
        return await first_good(
            len(providers), ask, timeout_s=timeout_ms / 1000.0, hedge_after_s=self._hedge_after_ms / 1000.0
        )

    async def _good_answer(self, provider: LLMProvider, request: LLMRequest, read: Callable[[str], str]) -> LLMResponse:
        try:
            response = await provider.complete(request)
            content = read(response.content)
        except LLMProviderError as error:
            self._failed(provider.name, str(error))
            raise
        except Exception as error:
            # A provider that somebody else wrote. Its text is not ours to repeat: it may hold anything.
            what = f"{provider.name} raised {type(error).__name__} instead of an LLMProviderError"
            self._failed(provider.name, what)
            raise LLMProviderError(what) from None
        if provider.name in self._failing:
            self._failing.discard(provider.name)
            logger.info("prompt provider %s answers again", provider.name)
        return replace(response, content=content)

    def _failed(self, name: str, sentence: str) -> None:
        # Said once, until it answers again: every segment asks.
        if name not in self._failing:
            self._failing.add(name)
            logger.warning("prompt provider %s gives no answer: %s", name, sentence)


def _expect_text(prompt: str) -> None:
    if not prompt.strip():
        raise ValueError("expected a prompt, got blank text")


def _latest(prompts: Sequence[str]) -> str:
    """The end of a story, a prompt a line: as much as a model needs to go on, and the last prompt always."""
    kept = [" ".join(prompts[-1].split())]
    chars = len(kept[0])
    for prompt in reversed(prompts[-MAX_STORY_PROMPTS:-1]):
        line = " ".join(prompt.split())
        chars += len(line) + 1
        if chars > MAX_STORY_CHARS:
            break
        if line:
            kept.append(line)
    return "\n".join(reversed(kept))
