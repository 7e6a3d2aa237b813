"""What the sessions of one server share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastvideo.api.schema import ServeConfig, StreamingConfig
from fastvideo.api.session_presets import SessionPreset
from fastvideo.entrypoints.streaming.metrics import Metrics
from fastvideo.entrypoints.streaming.pool_base import GpuPool
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.recordings.recordings import Recordings
from fastvideo.entrypoints.streaming.session import SessionManager
from fastvideo.entrypoints.streaming.session_logger import SessionLogger
from fastvideo.entrypoints.streaming.session_store import BlobStore, InMemoryBlobStore, SessionStore

# As many calls as a Redis gets at once.
STORE_THREADS = 16


class Endable(Protocol):
    """A running session that the server may end."""

    def drain(self) -> None:
        """End because the server goes away: after the segment that is running, or at once when none is."""
        ...

    def shut_down(self) -> None:
        """End because the server goes away, at once."""
        ...

    def expire(self) -> None:
        """End because the client has been silent for too long, unless work is under way."""
        ...


@dataclass
class ServerState:
    """One server's parts, made by ``build_app``. ``clock`` gives monotonic seconds.

    ``store_calls``: threads of their own for what is asked of stores, so that a slow one holds up nothing else.
    ``draining``: no session is taken, and no segment begun, any more. ``start_failure``: why no session will ever be
    served. ``recordings``: None when the operator wants none.
    """

    serve_config: ServeConfig
    pool: GpuPool
    sessions: SessionManager
    session_store: SessionStore
    blob_store: BlobStore = field(default_factory=InMemoryBlobStore)
    store_calls: Executor = field(default_factory=lambda: ThreadPoolExecutor(STORE_THREADS, "stores"))
    session_presets: dict[str, SessionPreset] = field(default_factory=dict)
    prompts: PromptGate = field(default_factory=PromptGate)
    log: SessionLogger = field(default_factory=lambda: SessionLogger(None))
    metrics: Metrics = field(default_factory=Metrics)
    connections: set[asyncio.Task[Any]] = field(default_factory=set)
    runners: dict[str, Endable] = field(default_factory=dict)
    recordings: Recordings | None = None
    draining: bool = False
    start_failure: str | None = None
    clock: Callable[[], float] = time.monotonic

    @property
    def streaming(self) -> StreamingConfig:
        """The live stream's settings."""
        assert self.serve_config.streaming is not None
        return self.serve_config.streaming
