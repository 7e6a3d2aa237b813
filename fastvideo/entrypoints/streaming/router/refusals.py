"""What the router itself tells a client, and the closes that follow."""

from __future__ import annotations

from typing import Self

from fastvideo.entrypoints.streaming.protocol import ErrorMessage, encode_server_message
from fastvideo.entrypoints.streaming.router.replica_link import LinkEnd

NO_REPLICA = encode_server_message(
    ErrorMessage(code="gpu_unavailable", message="router: no healthy replica available", retryable=True)
)
REPLICA_LOST = encode_server_message(
    ErrorMessage(
        code="worker_failed", message="router bridge failed: the connection to the replica was lost", retryable=True
    )
)
BRIDGE_FAULT = encode_server_message(
    ErrorMessage(
        code="worker_failed", message="router bridge failed: the router met an unexpected error", retryable=True
    )
)
UNAUTHORIZED_WORDS = "The servers behind this router do not accept this client."
UNAUTHORIZED = encode_server_message(
    ErrorMessage(code="session_rejected", message=UNAUTHORIZED_WORDS, reason="unauthorized")
)
DRAINING = encode_server_message(
    ErrorMessage(code="session_rejected", message="The router is shutting down.", retryable=True, reason="draining")
)
# Stand for a close without a code, and for a connection that broke; no close frame may carry them.
_NO_CODE, _BROKEN = 1005, 1006


class Refused(Exception):
    """No replica takes the session: the message that says so, and the close after it. ``status``: that of the answer to
    a client whose handshake is not complete."""

    def __init__(self, code: int, reason: str, words: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason
        self.words = words

    @classmethod
    def after(cls, end: LinkEnd, words: str) -> Self:
        """As a replica said it."""
        return cls(code_to_send(end.code), end.reason, words)


def code_to_send(code: int) -> int:
    """A close code for a close frame."""
    return 1000 if code == _NO_CODE else 1011 if code == _BROKEN else code
