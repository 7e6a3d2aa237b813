"""What can go wrong for a client of a stream."""

from __future__ import annotations

from typing import ClassVar

from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.streaming.protocol import ErrorMessage


class StreamError(FastVideoError):
    """The server refused something or failed; `message` is what it said."""

    def __init__(self, message: ErrorMessage) -> None:
        super().__init__(f"{message.code}: {message.message}")
        self.message = message


class StreamClosed(FastVideoError):
    """The connection is closed; `error` is the last error the server sent, if any."""

    def __init__(self, close_code: int, close_reason: str, error: ErrorMessage | None) -> None:
        why = f", after: {error.message}" if error else ""
        super().__init__(f"the stream is closed with {close_code} {close_reason!r}{why}")
        self.close_code = close_code
        self.close_reason = close_reason
        self.error = error


class SegmentStopped(FastVideoError):
    """The segment was cancelled before it was whole."""

    retryable: ClassVar[bool] = True


class ProtocolViolation(FastVideoError):
    """The server sent something that the protocol does not allow at this point."""
