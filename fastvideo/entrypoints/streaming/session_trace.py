"""The span of one session, which those of its segments are parts of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastvideo.entrypoints.streaming.opening import Opening
from fastvideo.entrypoints.streaming.session import Session, SessionState
from fastvideo.entrypoints.streaming.tracing import Tracing


class SessionTrace:
    """Begins with the session, on this server. ``continued``: it began on another one."""

    def __init__(self, tracing: Tracing, session: Session, *, continued: bool) -> None:
        self._session = session
        self.span = tracing.begin("session", {"session.id": session.id, "fastvideo.session.continued": continued})

    def opened(self, opening: Opening) -> None:
        """What the session makes is known: a stream from text, or from a first picture too."""
        self.span.tell({"fastvideo.workload": "t2v" if opening.image is None else "i2v"})

    @contextlib.contextmanager
    def admission(self) -> Iterator[None]:
        """Around the wait for the session's first worker."""
        waiting = self.span.child("admission")
        try:
            yield
        finally:
            waiting.end()

    def end(self, reason: str) -> None:
        """The session is over, for this reason."""
        self.span.tell({"fastvideo.session.ended": reason, "fastvideo.session.segments": self._session.segment_idx})
        if self._session.state is SessionState.ERROR:
            self.span.fail(reason)
        self.span.end()
