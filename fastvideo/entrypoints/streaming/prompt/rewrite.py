"""Other ways to tell a prompt, or the scenes of a story."""

from __future__ import annotations

from dataclasses import dataclass

from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer


@dataclass(frozen=True)
class RewriteOptions:
    """``count``: alternatives wanted; ``temperature``: None is the enhancer's; ``instruction``: what to change."""

    count: int = 3
    temperature: float | None = None
    instruction: str | None = None


@dataclass(frozen=True)
class RewriteResult:
    """``alternatives``: at least one, at most as many as wanted. ``latency_ms``: how long the provider took."""

    seed_prompt: str
    alternatives: list[str]
    provider: str
    model: str
    latency_ms: float
    fallback_used: bool = False


async def build_rewrite(
    enhancer: PromptEnhancer, seed_prompt: str, *, options: RewriteOptions | None = None
) -> RewriteResult:
    """Alternatives to a prompt, or to several scenes, one a line. Raises ValueError for a blank one, and
    LLMProviderError when nobody gives a good answer before the enhancer's deadline."""
    options = options or RewriteOptions()
    response = await enhancer.rewrite(
        seed_prompt, count=options.count, temperature=options.temperature, instruction=options.instruction
    )
    return RewriteResult(
        seed_prompt=seed_prompt,
        alternatives=response.content.split("\n"),
        provider=response.provider,
        model=response.model,
        latency_ms=response.latency_ms,
        fallback_used=response.fallback_used,
    )
