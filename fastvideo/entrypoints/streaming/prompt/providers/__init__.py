"""Language models that answer over HTTP, and what a provider of one's own looks like.

Names are imported when they are used, so that the types come without the HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "KNOWN_ENDPOINTS": "endpoints",
    "CerebrasProvider": "cerebras",
    "Endpoint": "endpoints",
    "FailureReason": "base",
    "GroqProvider": "groq",
    "LLMMessage": "base",
    "LLMProvider": "base",
    "LLMProviderError": "base",
    "LLMProviderMisconfigured": "base",
    "LLMRequest": "base",
    "LLMResponse": "base",
    "LLMTimeoutError": "base",
    "OpenAICompatibleProvider": "openai_compatible",
    "complete_openai_compatible": "openai_compatible",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
