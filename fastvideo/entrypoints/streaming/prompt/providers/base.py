"""What is asked of a language model, what it answers, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

Role: TypeAlias = Literal["system", "user", "assistant"]

FailureReason: TypeAlias = Literal[
    "not_configured",  # no key
    "rejected",  # the provider does not take the request, the key or the model
    "rate_limited",
    "unavailable",  # not reached, or an error of its own
    "timeout",
    "malformed",  # an answer that cannot be read, or is too long
    "empty",
    "refused",  # the model does not want to answer
]


@dataclass(frozen=True)
class LLMMessage:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class LLMRequest:
    """One question. None leaves ``max_tokens`` and ``temperature`` to the provider, ``timeout_ms`` to 20 s."""

    messages: list[LLMMessage]
    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_ms: int | None = None


@dataclass(frozen=True)
class LLMResponse:
    """One answer. ``latency_ms``: how long the provider took; ``fallback_used``: it was not the first choice."""

    content: str
    provider: str
    model: str
    latency_ms: float
    fallback_used: bool = False


class LLMProviderError(RuntimeError):
    """A provider that gave no answer that can be used. The sentence is ours, and holds neither key nor prompt.

    ``retryable``: asking somebody else, or again later, may help; ``retry_after_s``: when it may help to ask the same
    provider again, None if that is pointless.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = True,
        reason: FailureReason = "unavailable",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.reason: FailureReason = reason
        self.retry_after_s = retry_after_s


class LLMTimeoutError(LLMProviderError):
    """No answer in time. Always retryable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="timeout")


class LLMProviderMisconfigured(LLMProviderError):
    """This provider answers nobody as it is set up (no key, key refused, unknown model); another one may."""

    def __init__(self, message: str, *, reason: FailureReason = "rejected") -> None:
        super().__init__(message, retryable=False, reason=reason)


@runtime_checkable
class LLMProvider(Protocol):
    """Anything that answers. ``complete`` raises :class:`LLMProviderError`, and may be cancelled at any time.

    A provider that has an ``async aclose()`` is closed with the enhancer that it belongs to.
    """

    name: str

    async def complete(self, request: LLMRequest) -> LLMResponse: ...
