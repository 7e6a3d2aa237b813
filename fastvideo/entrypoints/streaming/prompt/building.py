"""A prompt enhancer from a serve file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import PromptEndpointConfig, PromptEnhancerConfig
from fastvideo.entrypoints.streaming.prompt.enhancer import PromptEnhancer
from fastvideo.entrypoints.streaming.prompt.providers.endpoints import KNOWN_ENDPOINTS, Endpoint
from fastvideo.entrypoints.streaming.prompt.providers.openai_compatible import OpenAICompatibleProvider

# A reasoning model spends tokens on its thoughts before a prompt of up to 200 words.
MAX_TOKENS = 1024

_PROVIDERS = "streaming.prompt.providers"


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


def endpoints_of(config: PromptEnhancerConfig) -> list[Endpoint]:
    """The services that a config names, in order: ``providers``, or ``provider`` where there are none.

    Raises ConfigValidationError with the path of what cannot be used.
    """
    if not config.providers:
        return [KNOWN_ENDPOINTS[config.provider]]
    names = [provider.name for provider in config.providers]
    endpoints = []
    for index, provider in enumerate(config.providers):
        path = f"{_PROVIDERS}[{index}]"
        if provider.name in names[:index]:
            raise ConfigValidationError(f"{path}.name", f"expected a name of its own, got {provider.name!r} again")
        endpoints.append(_endpoint(provider, path))
    return endpoints


def _endpoint(provider: PromptEndpointConfig, path: str) -> Endpoint:
    if not provider.name.strip():
        raise ConfigValidationError(f"{path}.name", "expected a name, for logs and viewers, got none")
    if provider.base_url is not None:
        try:
            return Endpoint(provider.name, provider.base_url, provider.api_key_env, provider.model)
        except ValueError as error:
            raise ConfigValidationError(f"{path}.base_url", str(error)) from None
    known = KNOWN_ENDPOINTS.get(provider.name)
    if known is None:
        services = " and ".join(KNOWN_ENDPOINTS)
        raise ConfigValidationError(
            f"{path}.base_url",
            f"expected a URL such as http://127.0.0.1:8001/v1, because {provider.name!r} is none of the services that "
            f"are known by name ({services})",
        )
    return replace(known, api_key_env=provider.api_key_env or known.api_key_env, model=provider.model)
