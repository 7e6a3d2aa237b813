"""A prompt enhancer from a serve file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import PromptEnhancerConfig
from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.providers.endpoints import KNOWN_ENDPOINTS, Endpoint
from fastvideo.entrypoints.streaming.prompt.providers.openai_compatible import OpenAICompatibleProvider

# A reasoning model spends tokens on its thoughts before a prompt of up to 200 words.
MAX_TOKENS = 1024


def build_enhancer(
    config: PromptEnhancerConfig,
    *,
    endpoints: Sequence[Endpoint] = (),
    hedge_after_ms: int = 1000,
    max_prompt_chars: int = 4000,
) -> PromptEnhancer:
    """An enhancer that asks ``endpoints`` in order, or ``config.provider`` alone where there are none.

    Prompts go to nobody whom the operator did not name, whatever keys are set. ``hedge_after_ms``: when the next one is
    asked too; ``max_prompt_chars``: longer answers are not taken. Raises ConfigValidationError.
    """
    if config.timeout_ms <= 0:
        raise ConfigValidationError("streaming.prompt.timeout_ms", f"expected more than 0, got {config.timeout_ms}")
    folder = config.system_prompt_dir
    if folder is not None and not Path(folder).is_dir():
        raise ConfigValidationError("streaming.prompt.system_prompt_dir", f"expected a folder, got {folder!r}")
    return PromptEnhancer(
        providers=[OpenAICompatibleProvider(endpoint) for endpoint in endpoints or [KNOWN_ENDPOINTS[config.provider]]],
        model=config.model,
        timeout_ms=config.timeout_ms,
        max_tokens=MAX_TOKENS,
        system_prompt_dir=folder,
        hedge_after_ms=hedge_after_ms,
        max_prompt_chars=max_prompt_chars,
    )
