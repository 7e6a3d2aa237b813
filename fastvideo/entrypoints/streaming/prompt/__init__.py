"""Better words for a stream: prompts enhanced, stories continued and plans rewritten by a language model, and a filter
in front of them all.

Names are imported when they are used: the HTTP client costs nothing where no provider is asked.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "CerebrasProvider": "providers",
    "Endpoint": "providers",
    "Enhanced": "outcome",
    "GroqProvider": "providers",
    "LLMMessage": "providers",
    "LLMProvider": "providers",
    "LLMProviderError": "providers",
    "LLMProviderMisconfigured": "providers",
    "LLMRequest": "providers",
    "LLMResponse": "providers",
    "LLMTimeoutError": "providers",
    "OpenAICompatibleProvider": "providers",
    "PromptEnhancer": "enhancer",
    "PromptOperation": "system_prompts",
    "PromptOutcome": "outcome",
    "RewriteOptions": "rewrite",
    "RewriteResult": "rewrite",
    "PromptSafetyFilter": "safety",
    "SafetyDecision": "safety",
    "SafetyResult": "safety",
    "Unchanged": "outcome",
    "build_enhancer": "building",
    "build_rewrite": "rewrite",
    "build_safety_filter": "safety",
    "enhance_or_keep": "outcome",
    "extend_or_repeat": "outcome",
    "first_blocked": "safety",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
