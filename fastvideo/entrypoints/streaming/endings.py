"""How a session ends: what the client is told last, and the close that follows."""

from __future__ import annotations

from dataclasses import dataclass

from fastvideo.entrypoints.streaming.error_messages import internal_error
from fastvideo.entrypoints.streaming.protocol import (
    CompletionReason,
    ErrorMessage,
    Ltx2StreamComplete,
    ServerMessage,
    SessionTimeout,
)
from fastvideo.entrypoints.streaming.session import SessionState


@dataclass(frozen=True)
class Ending:
    """``flush``: send the sound that the timeline still owes first, unless a segment breaks off. ``discard``: drop what
    the client has not read. ``lost``: there is nobody to tell. ``waits``: a client whose connection breaks may come
    back for the rest. ``keeps``: what is stored stays, for a client that goes on from there."""

    name: str
    state: SessionState
    code: int
    messages: tuple[ServerMessage, ...] = ()
    close_reason: str = ""
    flush: bool = False
    discard: bool = False
    lost: bool = False
    waits: bool = False
    keeps: bool = False


class SessionOver(Exception):
    """Raised wherever a session finds that it has ended."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.name)
        self.ending = ending


def completed(reason: CompletionReason) -> Ending:
    """The stream is whole: the cap was reached, or the client asked to stop."""
    return Ending(
        reason, SessionState.COMPLETE, 1000, (Ltx2StreamComplete(reason=reason),), reason, flush=True, waits=True
    )


def timed_out(timeout_s: int, waited_for: str) -> Ending:
    """Nothing came from the client for too long."""
    message = SessionTimeout(timeout_seconds=timeout_s, reason=waited_for)
    return Ending("timeout", SessionState.TIMEOUT, 1000, (message,), "session_timeout", flush=True, waits=True)


def refused(message: ErrorMessage, close_reason: str) -> Ending:
    """The opening message cannot be used."""
    return Ending(close_reason, SessionState.REJECTED, 1003, (message,), close_reason)


def no_worker(message: ErrorMessage) -> Ending:
    """No worker took the session."""
    return Ending("gpu_unavailable", SessionState.ERROR, 1013, (message,), "gpu_unavailable", keeps=True)


def too_slow(message: ErrorMessage) -> Ending:
    """The client does not read as fast as it asks."""
    return Ending("too_slow", SessionState.ERROR, 1013, (message,), "too_slow", discard=True, keeps=True)


def over_quota(message: ErrorMessage) -> Ending:
    """The client uses more than its key or address is granted."""
    return Ending("rate_limited", SessionState.ERROR, 1013, (message,), "rate_limited", flush=True)


def timeline_broken(message: ErrorMessage) -> Ending:
    """What was sent cannot be continued."""
    messages = (message, Ltx2StreamComplete(reason="error"))
    return Ending("error", SessionState.ERROR, 1011, messages, "worker_failed", waits=True)


def shut_down(*, goes_on: bool) -> Ending:
    """The server goes away; ``goes_on``: another one may go on with the session, whose timeline is not ended then."""
    message = ErrorMessage(
        code="gpu_unavailable", message="The server is shutting down.", retryable=True, reason="draining"
    )
    return Ending(
        "shutdown", SessionState.COMPLETE, 1001, (message,), "shutting_down", flush=not goes_on, keeps=goes_on
    )


def failed() -> Ending:
    """A fault of this server; from what is stored, the session may go on."""
    message = internal_error().model_copy(update={"retryable": True})
    return Ending("internal_error", SessionState.ERROR, 1011, (message,), "internal_error", keeps=True)


def client_left() -> Ending:
    """The client closed the connection, or lost it before the session could wait for it."""
    return Ending("client_left", SessionState.COMPLETE, 1000, lost=True)


def client_lost() -> Ending:
    """The client lost its connection, and did not come back in time."""
    return Ending("client_lost", SessionState.COMPLETE, 1000, lost=True, keeps=True)


def moved() -> Ending:
    """Another server goes on with the session."""
    return Ending("moved", SessionState.COMPLETE, 1001, lost=True)


def handed_over() -> Ending:
    """The connection is another session's, which its client goes on with."""
    return Ending("handed_over", SessionState.REJECTED, 1000, lost=True)
