"""What can go wrong for a client.

FastVideoError
├── ServerUnreachable (ConnectionError)   nobody answers at the address, or what answers is no fastvideo server
├── KeyRefused                            the server asks for a key, and got none or one that opens nothing
├── ServerBusy                            no room now; ``retry_after_s`` says when there may be some
├── StreamError                           a stream was refused something, or failed; ``message`` is what the server said
│   ├── StreamKeyRefused (KeyRefused)
│   └── StreamBusy (ServerBusy)
├── StreamClosed                          the stream is over, and was not ended on purpose
├── SegmentStopped                        a segment did not come to its end
│   └── PromptRejected                    the server does not take this prompt; ``why`` is its word for the cause
├── ProtocolViolation                     the server sent what the protocol does not allow
├── RequestRefused                        an HTTP request was refused; ``status`` and ``error_code`` say more
│   ├── RequestKeyRefused (KeyRefused)
│   └── RequestBusy (ServerBusy)
└── VideoFailed                           a video could not be made; ``why`` is the server's word for the cause
"""

from __future__ import annotations

from typing import ClassVar

from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.streaming.protocol import ErrorMessage


class ServerUnreachable(FastVideoError, ConnectionError):
    """Nobody answers at the server's address, or what answers there is no such server."""

    retryable: ClassVar[bool] = True


class KeyRefused(FastVideoError):
    """The server asks for an API key, and got none, or one that does not open this."""

    code: ClassVar[str] = "session_rejected"
    reason: ClassVar[str | None] = "unauthorized"


class ServerBusy(FastVideoError):
    """The server has no room now; in ``retry_after_s`` seconds it may have some, None where it did not say."""

    retryable: ClassVar[bool] = True
    retry_after_s: float | None = None


class StreamError(FastVideoError):
    """The server refused something or failed; `message` is what it said."""

    def __init__(self, message: ErrorMessage) -> None:
        super().__init__(f"{message.code}: {message.message}")
        self.message = message


class StreamKeyRefused(StreamError, KeyRefused):
    """A stream was refused for its key."""

    def __str__(self) -> str:
        return f"{self.message.message} {WHAT_TO_DO_ABOUT_KEYS}"


class StreamBusy(StreamError, ServerBusy):
    """A stream was refused, or sent away, for want of room."""

    def __init__(self, message: ErrorMessage) -> None:
        super().__init__(message)
        self.retry_after_s = message.retry_after


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


class PromptRejected(SegmentStopped):
    """The server does not take the prompt ``request_id``; ``why`` is its word for the cause, if it gave one."""

    retryable: ClassVar[bool] = False

    def __init__(self, request_id: str, why: str | None) -> None:
        super().__init__(f"the prompt was rejected: {why or 'no reason given'}")
        self.request_id = request_id
        self.why = why


class ProtocolViolation(FastVideoError):
    """The server sent something that the protocol does not allow at this point."""


class RequestRefused(FastVideoError):
    """An HTTP request was answered with an error: the server's sentence, its code, and the parameter it is about."""

    def __init__(self, status: int, message: str, error_code: str | None = None, param: str | None = None) -> None:
        about = f" (parameter {param!r})" if param else ""
        super().__init__(f"HTTP {status}{f', {error_code}' if error_code else ''}: {message}{about}")
        self.status = status
        self.message = message
        self.error_code = error_code
        self.param = param


class RequestKeyRefused(RequestRefused, KeyRefused):
    """An HTTP request was refused for its key."""

    def __str__(self) -> str:
        return f"{self.message} {WHAT_TO_DO_ABOUT_KEYS}"


class RequestBusy(RequestRefused, ServerBusy):
    """An HTTP request was refused for want of room."""


class VideoFailed(FastVideoError):
    """The video ``video_id`` could not be made, for the cause ``why``, in the server's words."""

    def __init__(self, video_id: str, why: str, sentence: str) -> None:
        super().__init__(f"{video_id} was not made, {why}: {sentence}")
        self.video_id = video_id
        self.why = why


WHAT_TO_DO_ABOUT_KEYS = (
    "Pass api_key, or set FASTVIDEO_API_KEY; 'fastvideo keys new' on the server makes keys, and server.auth names them."
)


def stream_error(message: ErrorMessage) -> StreamError:
    """The error for what a server said on a stream."""
    if message.reason == "unauthorized":
        return StreamKeyRefused(message)
    if message.retryable and message.code in ("session_rejected", "gpu_unavailable"):
        return StreamBusy(message)
    return StreamError(message)
