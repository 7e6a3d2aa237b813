"""Where continuation states live between segments: the interface, its form for several servers, and its form in memory.

Every entry has an owner and a time to live. A store that is full removes what has expired; when that is not enough it
raises `StoreFull`, because losing live state without a word would break a running session.
"""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.blob_store import DEFAULT_TTL_S, BlobStore, Clock, InMemoryBlobStore
from fastvideo.entrypoints.streaming.session_lease import (
    DEFAULT_LEASE_TTL_S,
    Lease,
    LeaseRecord,
    check_write,
    grant,
    renew,
)
from fastvideo.entrypoints.streaming.store_errors import StoreFull

__all__ = [
    "DEFAULT_MAX_SESSIONS",
    "DEFAULT_MAX_STATE_BYTES",
    "BlobStore",
    "InMemoryBlobStore",
    "InMemorySessionStore",
    "LeasingSessionStore",
    "SessionStore",
    "StoreFull",
    "check_room",
]

DEFAULT_MAX_SESSIONS = 4096
DEFAULT_MAX_STATE_BYTES = 1 << 30


class SessionStore(ABC):
    """The latest continuation state of each session. Knows nothing of blobs: who replaces a state drops its blobs.

    Methods may wait for a disk or a network: an event loop calls them in threads.
    """

    @abstractmethod
    def store(self, session_id: str, state: ContinuationState) -> None:
        """Replace the session's state and start its time to live again; raises `StoreFull` at the bound."""

    @abstractmethod
    def snapshot(self, session_id: str) -> ContinuationState | None:
        """The state, or None when there is none or it expired."""

    def hydrate(self, state: ContinuationState, *, session_id: str | None = None) -> str:
        """Store a state from elsewhere under the given id, or under a new one; returns the id."""
        target = session_id if session_id is not None else str(uuid.uuid4())
        self.store(target, state)
        return target

    @abstractmethod
    def drop(self, session_id: str) -> None:
        """Forget the state; no error when there is none."""

    @abstractmethod
    def __contains__(self, session_id: object) -> bool: ...

    @abstractmethod
    def __iter__(self) -> Iterator[str]: ...

    def check(self) -> None:
        """Ask the store for something; raises `StoreUnavailable` when it does not answer."""
        return

    def close(self) -> None:
        """Let go of connections and threads; what is stored stays. Twice is the same as once."""
        return


class LeasingSessionStore(SessionStore):
    """A store that several servers share: it knows who may write a session (`session_lease.py`).

    Without a lease, a session can be written while nobody holds one. With one, `store` and `drop` raise `LeaseLost` as
    soon as somebody else has taken the session over.
    """

    @abstractmethod
    def store(self, session_id: str, state: ContinuationState, *, lease: Lease | None = None) -> None: ...

    @abstractmethod
    def drop(self, session_id: str, *, lease: Lease | None = None) -> None: ...

    @abstractmethod
    def acquire(
        self, session_id: str, holder: str, *, ttl_s: float = DEFAULT_LEASE_TTL_S, take_over: bool = False
    ) -> Lease:
        """The right to write a session; raises `LeaseHeld` while another holder has it, unless it is taken over."""

    @abstractmethod
    def renew(self, lease: Lease) -> None:
        """Hold a lease for another `ttl_s` from now; raises `LeaseLost` when somebody else took it."""

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Let others acquire the session at once; no error when somebody else took it."""

    def held(self, lease: Lease) -> SessionStore:
        """This store as a lease's holder sees it: it writes with the lease, and no other session."""
        return _HeldSessionStore(self, lease)


class _HeldSessionStore(SessionStore):
    def __init__(self, store: LeasingSessionStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease

    def store(self, session_id: str, state: ContinuationState) -> None:
        self._store.store(self._mine(session_id), state, lease=self._lease)

    def snapshot(self, session_id: str) -> ContinuationState | None:
        return self._store.snapshot(session_id)

    def drop(self, session_id: str) -> None:
        self._store.drop(self._mine(session_id), lease=self._lease)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._store

    def __iter__(self) -> Iterator[str]:
        return iter(self._store)

    def _mine(self, session_id: str) -> str:
        if session_id != self._lease.session_id:
            raise PermissionError(
                f"expected session {self._lease.session_id!r}, whose lease this is, not {session_id!r}"
            )
        return session_id


@dataclass(frozen=True, slots=True)
class _StoredState:
    state: ContinuationState
    size_bytes: int
    expires_at: float


class InMemorySessionStore(LeasingSessionStore):
    """States in this process; thread-safe. The session's id is the owner. Iterates over a copy of the ids."""

    def __init__(
        self,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_SESSIONS,
        max_bytes: int = DEFAULT_MAX_STATE_BYTES,
        clock: Clock = time.monotonic,
    ) -> None:
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _StoredState] = {}
        self._total_bytes = 0
        # Each with the time after which it says nothing any more.
        self._leases: dict[str, tuple[LeaseRecord, float]] = {}

    def store(self, session_id: str, state: ContinuationState, *, lease: Lease | None = None) -> None:
        size_bytes = _payload_bytes(state.payload)
        with self._lock:
            self._check_write(session_id, lease)
            self._remove_expired()
            replaced = self._states.get(session_id)
            entries = len(self._states) + (replaced is None)
            total_bytes = self._total_bytes + size_bytes - (replaced.size_bytes if replaced else 0)
            check_room(entries, total_bytes, self._max_entries, self._max_bytes)
            # Taken out first, so that insertion order stays the order of expiry.
            self._forget(session_id)
            self._states[session_id] = _StoredState(state, size_bytes, self._clock() + self._ttl_s)
            self._total_bytes += size_bytes

    def snapshot(self, session_id: str) -> ContinuationState | None:
        with self._lock:
            self._remove_expired()
            stored = self._states.get(session_id)
        return None if stored is None else stored.state

    def drop(self, session_id: str, *, lease: Lease | None = None) -> None:
        with self._lock:
            self._check_write(session_id, lease)
            self._forget(session_id)

    def __contains__(self, session_id: object) -> bool:
        with self._lock:
            self._remove_expired()
            return session_id in self._states

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            self._remove_expired()
            return iter(list(self._states))

    def __len__(self) -> int:
        with self._lock:
            self._remove_expired()
            return len(self._states)

    def acquire(
        self, session_id: str, holder: str, *, ttl_s: float = DEFAULT_LEASE_TTL_S, take_over: bool = False
    ) -> Lease:
        asked = Lease(session_id, holder, 0, ttl_s)
        with self._lock:
            record = grant(self._lease_record(session_id), asked, now_s=self._clock(), take_over=take_over)
            self._keep_lease(session_id, record, max(ttl_s, self._ttl_s))
        return Lease(session_id, holder, record.token, ttl_s)

    def renew(self, lease: Lease) -> None:
        with self._lock:
            record = renew(self._lease_record(lease.session_id), lease, now_s=self._clock())
            self._keep_lease(lease.session_id, record, max(lease.ttl_s, self._ttl_s))

    def release(self, lease: Lease) -> None:
        with self._lock:
            record = self._lease_record(lease.session_id)
            if record is not None and record.token == lease.token:
                ended = LeaseRecord(record.holder, record.token, self._clock())
                self._keep_lease(lease.session_id, ended, lease.ttl_s)

    def _check_write(self, session_id: str, lease: Lease | None) -> None:
        check_write(self._lease_record(session_id), session_id, lease, now_s=self._clock())

    def _lease_record(self, session_id: str) -> LeaseRecord | None:
        record, until_s = self._leases.get(session_id, (None, 0.0))
        return record if until_s > self._clock() else None

    def _keep_lease(self, session_id: str, record: LeaseRecord, for_s: float) -> None:
        now_s = self._clock()
        for known in [known for known, (_, until_s) in self._leases.items() if until_s <= now_s]:
            del self._leases[known]
        self._leases[session_id] = (record, now_s + for_s)

    def _forget(self, session_id: str) -> None:
        stored = self._states.pop(session_id, None)
        if stored is not None:
            self._total_bytes -= stored.size_bytes

    def _remove_expired(self) -> None:
        now = self._clock()
        while self._states:
            oldest = next(iter(self._states))
            if self._states[oldest].expires_at > now:
                return
            self._forget(oldest)


def check_room(entries: int, total_bytes: int, max_entries: int, max_bytes: int) -> None:
    """Raises StoreFull when a store of states would hold more than it may."""
    if entries > max_entries or total_bytes > max_bytes:
        raise StoreFull(
            f"expected at most {max_entries} live sessions and {max_bytes} bytes of state, this"
            f" one would make it {entries} and {total_bytes}; end sessions or raise the bound"
        )


def _payload_bytes(value: object) -> int:
    """Roughly what a JSON-safe value holds: its text, and a word for anything else."""
    pending, total = [value], 0
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, Mapping):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
        else:
            total += 8
    return total
