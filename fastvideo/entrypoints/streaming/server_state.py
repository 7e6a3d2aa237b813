"""What the sessions of one server share."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastvideo.api.schema import ServeConfig, StreamingConfig
from fastvideo.api.session_presets import SessionPreset
from fastvideo.entrypoints.access.quotas import Quotas
from fastvideo.entrypoints.access.state_signatures import StateSignatures
from fastvideo.entrypoints.streaming.connection import Connection
from fastvideo.entrypoints.streaming.left_behind import LeftBehind
from fastvideo.entrypoints.streaming.metrics import Metrics
from fastvideo.entrypoints.streaming.pool_base import GpuPool
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.protocol import SessionResume
from fastvideo.entrypoints.streaming.recordings.recordings import Recordings
from fastvideo.entrypoints.streaming.session import SessionManager
from fastvideo.entrypoints.streaming.session_logger import SessionLogger
from fastvideo.entrypoints.streaming.session_standing import SessionStanding
from fastvideo.entrypoints.streaming.session_store import (
    BlobStore,
    InMemoryBlobStore,
    InMemorySessionStore,
    SessionStore,
)
from fastvideo.entrypoints.streaming.tracing import Tracing

# As many calls as a Redis gets at once.
STORE_THREADS = 16


class RunningSession(Protocol):
    """A session that the server may end, and whose client may come back; ``resume_digest`` is of its token, ``owner``
    the name of the API key that it was opened with."""

    resume_digest: bytes

    @property
    def owner(self) -> str | None: ...

    @property
    def standing(self) -> SessionStanding:
        """How the session stands now."""
        ...

    def drain(self) -> None:
        """End because the server goes away: after the segment that is running, or at once when none is."""
        ...

    def shut_down(self) -> None:
        """End because the server goes away, at once."""
        ...

    def expire(self) -> None:
        """End because the client has been silent for too long, unless work is under way."""
        ...

    def forget_client(self) -> None:
        """End because too many sessions wait for their clients."""
        ...

    def cut(self, connection: Connection) -> None:
        """Take a connection as broken."""
        ...

    async def resume(self, connection: Connection, message: SessionResume) -> None:
        """Go on over another connection, until that is free again. Raises NotKept, GraceOver, Overtaken."""
        ...

    async def over(self) -> None:
        """Wait until nothing of the session is left but what is stored."""
        ...


class ExpiredSessions:
    """The newest sessions whose clients did not come back in time, each with the digest of its token."""

    def __init__(self, max_entries: int = 4096) -> None:
        self._max_entries = max_entries
        self._digests: dict[str, bytes] = {}

    def add(self, session_id: str, token_digest: bytes) -> None:
        """Remember one, and forget the oldest of too many."""
        self._digests[session_id] = token_digest
        if len(self._digests) > self._max_entries:
            del self._digests[next(iter(self._digests))]

    def get(self, session_id: str) -> bytes | None:
        """The digest of the session's token."""
        return self._digests.get(session_id)


@dataclass
class ServerState:
    """One server's parts, made by ``build_app``. ``clock`` gives monotonic seconds.

    ``store_calls``: threads of their own for what is asked of stores, so that a slow one holds up nothing else.
    ``draining``: no session is taken, and no segment begun, any more; ``leaving`` is called when that begins;
    ``drain_task``: what ends those that there are when an operator asked for it. ``start_failure``: why no session will
    ever be served. ``recordings``: None when the operator wants none. ``signatures``: on states that clients take
    along, None where they go unsigned.
    """

    serve_config: ServeConfig
    pool: GpuPool
    sessions: SessionManager
    session_store: SessionStore
    blob_store: BlobStore = field(default_factory=InMemoryBlobStore)
    # Names this server among those that share its stores.
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    left_behind: LeftBehind = field(default_factory=LeftBehind)
    store_calls: Executor = field(default_factory=lambda: ThreadPoolExecutor(STORE_THREADS, "stores"))
    session_presets: dict[str, SessionPreset] = field(default_factory=dict)
    prompts: PromptGate = field(default_factory=PromptGate)
    log: SessionLogger = field(default_factory=lambda: SessionLogger(None))
    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = field(default_factory=Tracing)
    connections: set[asyncio.Task[Any]] = field(default_factory=set)
    session_tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    runners: dict[str, RunningSession] = field(default_factory=dict)
    expired: ExpiredSessions = field(default_factory=ExpiredSessions)
    recordings: Recordings | None = None
    signatures: StateSignatures | None = None
    quotas: Quotas = field(default_factory=Quotas)
    draining: bool = False
    leaving: list[Callable[[], None]] = field(default_factory=list)
    drain_task: asyncio.Task[None] | None = None
    start_failure: str | None = None
    clock: Callable[[], float] = time.monotonic

    @property
    def shares_stores(self) -> bool:
        """Whether what is stored outlives this process, and other servers can read it."""
        return not isinstance(self.session_store, InMemorySessionStore)

    @property
    def streaming(self) -> StreamingConfig:
        """The live stream's settings."""
        assert self.serve_config.streaming is not None
        return self.serve_config.streaming
