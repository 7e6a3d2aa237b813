"""A session's life as plain objects: its states, the legal moves between them, and how many may live at once."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fastvideo.api.schema import ContinuationState


class SessionState(Enum):
    """Where a session stands; the last four are final."""

    INITIALIZING = "initializing"
    QUEUED = "queued"
    GPU_BINDING = "gpu_binding"
    ACTIVE = "active"
    COMPLETE = "complete"
    ERROR = "error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"


_S = SessionState
# INITIALIZING may time out: a client that connects and never sends its opening message.
_EDGES: dict[SessionState, frozenset[SessionState]] = {
    _S.INITIALIZING: frozenset({_S.QUEUED, _S.GPU_BINDING, _S.REJECTED, _S.ERROR, _S.TIMEOUT}),
    _S.QUEUED: frozenset({_S.GPU_BINDING, _S.ERROR, _S.TIMEOUT, _S.REJECTED}),
    _S.GPU_BINDING: frozenset({_S.ACTIVE, _S.ERROR, _S.TIMEOUT}),
    _S.ACTIVE: frozenset({_S.COMPLETE, _S.ERROR, _S.TIMEOUT}),
    _S.COMPLETE: frozenset(),
    _S.ERROR: frozenset(),
    _S.TIMEOUT: frozenset(),
    _S.REJECTED: frozenset(),
}
TERMINAL_STATES = frozenset(state for state, targets in _EDGES.items() if not targets)


class InvalidSessionTransition(RuntimeError):
    """A move between states that the table does not have."""


class SessionRejected(RuntimeError):
    """The server has no room for one more session."""


@dataclass
class Session:
    """One viewer's stream. ``created_at`` and ``last_activity`` are monotonic seconds.

    Whoever knows the ``id``, 128 random bits, may see the session's recording.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: SessionState = SessionState.INITIALIZING
    created_at: float = field(default_factory=time.monotonic)
    last_activity: float = field(default_factory=time.monotonic)
    client_id: str | None = None
    preset: str | None = None
    preset_label: str | None = None
    curated_prompts: list[str] = field(default_factory=list)
    segment_idx: int = 0
    enhancement_enabled: bool = False
    auto_extension_enabled: bool = False
    loop_generation_enabled: bool = False
    single_clip_mode: bool = False
    generation_paused: bool = False
    stream_mode: str = "av_fmp4"
    gpu_id: int | None = None
    continuation_state: ContinuationState | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def transition(self, target: SessionState, *, now: float | None = None) -> None:
        """Move to ``target``; staying put is always legal. Raises InvalidSessionTransition, changing nothing."""
        if not self.can_become(target):
            legal = ", ".join(sorted(state.value for state in _EDGES[self.state])) or "nothing, it is final"
            raise InvalidSessionTransition(
                f"session {self.id}: {self.state.value} cannot become {target.value}; it can become {legal}"
            )
        self.state = target
        self.touch(now=now)

    def can_become(self, target: SessionState) -> bool:
        """Whether :meth:`transition` would accept ``target``."""
        return target is self.state or target in _EDGES[self.state]

    def touch(self, *, now: float | None = None) -> None:
        """Something happened: the idle time starts again."""
        self.last_activity = time.monotonic() if now is None else now

    def is_active(self) -> bool:
        """Whether the session has a worker and may generate."""
        return self.state is SessionState.ACTIVE

    def is_terminal(self) -> bool:
        """Whether the session is over."""
        return self.state in TERMINAL_STATES

    def segment_cap_reached(self, cap: int) -> bool:
        """Whether ``cap`` segments are complete."""
        return self.segment_idx >= cap


class SessionManager:
    """The sessions of one server, at most ``max_sessions`` at once. Not thread-safe: it belongs to one event loop."""

    def __init__(self, *, segment_cap: int, session_timeout_seconds: int, max_sessions: int = 1) -> None:
        self._segment_cap = segment_cap
        self._session_timeout_seconds = session_timeout_seconds
        self._max_sessions = max_sessions
        self._sessions: dict[str, Session] = {}
        self._parked: dict[str, Session] = {}

    @property
    def segment_cap(self) -> int:
        """Segments of one session."""
        return self._segment_cap

    @property
    def session_timeout_seconds(self) -> int:
        """Idle seconds after which a session ends."""
        return self._session_timeout_seconds

    @property
    def max_sessions(self) -> int:
        """Sessions that may live at once."""
        return self._max_sessions

    def create(self, *, now: float | None = None) -> Session:
        """A new session. Raises SessionRejected when ``max_sessions`` live already."""
        if len(self._sessions) >= self._max_sessions:
            raise SessionRejected(f"max sessions reached ({self._max_sessions})")
        started = time.monotonic() if now is None else now
        session = Session(created_at=started, last_activity=started)
        self._sessions[session.id] = session
        return session

    def adopt(self, session: Session) -> None:
        """Take in a session that began elsewhere. Raises SessionRejected when ``max_sessions`` live already."""
        if len(self._sessions) >= self._max_sessions:
            raise SessionRejected(f"max sessions reached ({self._max_sessions})")
        self._sessions[session.id] = session

    def get(self, session_id: str) -> Session | None:
        """The session of that id, or None."""
        return self._sessions.get(session_id)

    def close(self, session_id: str) -> None:
        """Forget the session and free its place; no error when it is unknown."""
        self._sessions.pop(session_id, None)
        self._parked.pop(session_id, None)

    def park(self, session_id: str) -> str | None:
        """Free the place of a session without a client; it does not time out meanwhile.

        As many may be parked as may live at once: the id of one that is too many, parked the longest, is returned.
        """
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._parked[session_id] = session
        return next(iter(self._parked)) if len(self._parked) > self._max_sessions else None

    def unpark(self, session_id: str, *, now: float | None = None) -> None:
        """The client is back: the session has a place again, also when all are taken."""
        session = self._parked.pop(session_id, None)
        if session is not None:
            session.touch(now=now)
            self._sessions[session_id] = session

    @property
    def parked(self) -> int:
        """Sessions that wait for their client."""
        return len(self._parked)

    def active_sessions(self) -> list[Session]:
        """The sessions that are not over."""
        return [session for session in self._sessions.values() if not session.is_terminal()]

    def reap_timed_out(self, now: float | None = None) -> list[str]:
        """Ids of live sessions that have been idle for strictly longer than the timeout; the caller ends them."""
        moment = time.monotonic() if now is None else now
        return [
            session.id
            for session in self.active_sessions()
            if moment - session.last_activity > self._session_timeout_seconds
        ]

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._sessions

    def __len__(self) -> int:
        return len(self._sessions)
