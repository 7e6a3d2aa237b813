"""What a client is told about an error: a code, and a sentence that is ours to say."""

from __future__ import annotations

from typing import cast

from fastvideo.api.errors import (
    ConfigValidationError,
    EncodeError,
    FastVideoError,
    GenerationFailed,
    ImageInvalid,
    QuotaExceeded,
    StateInvalid,
)
from fastvideo.entrypoints.streaming.admission import QueueFull
from fastvideo.entrypoints.streaming.pool_base import PoolAcquireTimeout, PoolUnavailable
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked
from fastvideo.entrypoints.streaming.protocol import ErrorCode, ErrorMessage, ErrorReason
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken

# Errors whose text is written for clients: it names what they sent, and never paths or libraries of the server.
_WRITTEN_FOR_CLIENTS = (
    StateInvalid,
    ImageInvalid,
    QueueFull,
    PoolAcquireTimeout,
    PoolUnavailable,
    PromptBlocked,
    QuotaExceeded,
    ReaderTooSlow,
    TimelineBroken,
)
_MAX_CHARS = 500


def error_message(error: Exception) -> ErrorMessage:
    """The message for any error; one that was not raised on purpose is an internal error without details."""
    if not isinstance(error, FastVideoError):
        return internal_error()
    return ErrorMessage(
        code=cast(ErrorCode, error.code),
        message=_sentence(error)[:_MAX_CHARS],
        retryable=error.retryable,
        reason=cast(ErrorReason | None, error.reason),
        retry_after=round(error.retry_after_s, 1) if isinstance(error, QuotaExceeded) else None,
    )


def internal_error() -> ErrorMessage:
    """For what nobody foresaw."""
    return ErrorMessage(code="internal_error", message="The server met an unexpected error.")


def _sentence(error: FastVideoError) -> str:
    if isinstance(error, ConfigValidationError):
        # Clients set sampling fields at the top of their message.
        path = error.path.removeprefix("sampling.")
        return f"{path}: {error.message}." if path else f"{error.message}."
    if isinstance(error, _WRITTEN_FOR_CLIENTS):
        text = str(error)
        return f"{text[:1].upper()}{text[1:]}."
    if isinstance(error, GenerationFailed | EncodeError):
        return "The worker could not make this segment."
    return "The server could not do this."
