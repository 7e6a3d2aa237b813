"""Where continuation states and their blobs live between segments: two small interfaces and their in-memory form.

Every entry has an owner and a time to live. A store that is full removes what has expired, oldest first; when that is
not enough it raises `StoreFull`, because losing live state without a word would break a running session.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from fastvideo.api.errors import FastVideoError
from fastvideo.api.schema import ContinuationState

DEFAULT_TTL_S = 3600.0
DEFAULT_MAX_BLOBS = 4096
DEFAULT_MAX_BLOB_BYTES = 1 << 30
DEFAULT_MAX_SESSIONS = 4096
DEFAULT_MAX_STATE_BYTES = 1 << 30

Clock = Callable[[], float]


class StoreFull(FastVideoError):
    """A store is at its bound and holds nothing that has expired."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = True


class BlobStore(ABC):
    """Opaque bytes by id. Ids are unguessable, and an id only works for the owner it was made for."""

    @abstractmethod
    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        """Keep a copy and return its id; `mime` is for stores that hand bytes to others. Raises `StoreFull`."""

    @abstractmethod
    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        """The bytes; KeyError when unknown, expired, or owned by somebody else."""

    @abstractmethod
    def drop(self, blob_id: str) -> None:
        """Forget the blob; no error when it is unknown."""

    @abstractmethod
    def drop_owner(self, owner: str) -> None:
        """Forget every blob of this owner."""

    @abstractmethod
    def __contains__(self, blob_id: object) -> bool: ...

    def owned(self, owner: str) -> BlobStore:
        """This store as one session sees it: what it puts is its own, and it gets and drops nothing else."""
        return _OwnedBlobStore(self, owner)


class SessionStore(ABC):
    """The latest continuation state of each session. Knows nothing of blobs: who replaces a state drops its blobs."""

    @abstractmethod
    def store(self, session_id: str, state: ContinuationState) -> None:
        """Replace the session's state and start its time to live again; raises `StoreFull` at the bound."""

    @abstractmethod
    def snapshot(self, session_id: str) -> ContinuationState | None:
        """The state, or None when there is none or it expired."""

    @abstractmethod
    def hydrate(self, state: ContinuationState, *, session_id: str | None = None) -> str:
        """Store a state from elsewhere under the given id, or under a new one; returns the id."""

    @abstractmethod
    def drop(self, session_id: str) -> None:
        """Forget the state; no error when there is none."""

    @abstractmethod
    def __contains__(self, session_id: object) -> bool: ...

    @abstractmethod
    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    owner: str | None
    expires_at: float


class InMemoryBlobStore(BlobStore):
    """Blobs in this process; thread-safe. `clock` gives seconds and only ever rises."""

    def __init__(
        self,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_BLOBS,
        max_bytes: int = DEFAULT_MAX_BLOB_BYTES,
        clock: Clock = time.monotonic,
    ) -> None:
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        # One time to live for all, so insertion order is the order of expiry.
        self._blobs: dict[str, _Blob] = {}
        self._total_bytes = 0

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        kept = bytes(data)
        blob_id = secrets.token_urlsafe(24)
        with self._lock:
            self._remove_expired()
            if len(self._blobs) >= self._max_entries or self._total_bytes + len(kept) > self._max_bytes:
                raise StoreFull(
                    f"expected at most {self._max_entries} blobs and {self._max_bytes} bytes, found {len(self._blobs)}"
                    f" and {self._total_bytes} with {len(kept)} more to keep; end sessions or raise the bound"
                )
            self._blobs[blob_id] = _Blob(kept, owner, self._clock() + self._ttl_s)
            self._total_bytes += len(kept)
        return blob_id

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        with self._lock:
            self._remove_expired()
            blob = self._blobs.get(blob_id)
        if blob is None or (blob.owner is not None and blob.owner != owner):
            raise KeyError(blob_id)
        return blob.data

    def drop(self, blob_id: str) -> None:
        with self._lock:
            self._forget(blob_id)

    def drop_owner(self, owner: str) -> None:
        with self._lock:
            for blob_id in [blob_id for blob_id, blob in self._blobs.items() if blob.owner == owner]:
                self._forget(blob_id)

    def __contains__(self, blob_id: object) -> bool:
        with self._lock:
            self._remove_expired()
            return blob_id in self._blobs

    def __len__(self) -> int:
        with self._lock:
            self._remove_expired()
            return len(self._blobs)

    @property
    def total_bytes(self) -> int:
        """Bytes held now."""
        with self._lock:
            self._remove_expired()
            return self._total_bytes

    def _forget(self, blob_id: str) -> None:
        blob = self._blobs.pop(blob_id, None)
        if blob is not None:
            self._total_bytes -= len(blob.data)

    def _remove_expired(self) -> None:
        now = self._clock()
        while self._blobs:
            oldest = next(iter(self._blobs))
            if self._blobs[oldest].expires_at > now:
                return
            self._forget(oldest)


class _OwnedBlobStore(BlobStore):
    def __init__(self, store: BlobStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        return self._store.put(data, mime=mime, owner=self._mine(owner))

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        return self._store.get(blob_id, owner=self._mine(owner))

    def drop(self, blob_id: str) -> None:
        if blob_id in self:
            self._store.drop(blob_id)

    def drop_owner(self, owner: str) -> None:
        self._store.drop_owner(self._mine(owner))

    def __contains__(self, blob_id: object) -> bool:
        if not isinstance(blob_id, str):
            return False
        try:
            self._store.get(blob_id, owner=self._owner)
        except KeyError:
            return False
        return True

    def _mine(self, owner: str | None) -> str:
        if owner is not None and owner != self._owner:
            raise PermissionError(f"expected owner {self._owner!r}, the session this store was made for, not {owner!r}")
        return self._owner


@dataclass(frozen=True, slots=True)
class _StoredState:
    state: ContinuationState
    size_bytes: int
    expires_at: float


class InMemorySessionStore(SessionStore):
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

    def store(self, session_id: str, state: ContinuationState) -> None:
        size_bytes = _payload_bytes(state.payload)
        with self._lock:
            self._remove_expired()
            replaced = self._states.get(session_id)
            entries = len(self._states) + (replaced is None)
            total_bytes = self._total_bytes + size_bytes - (replaced.size_bytes if replaced else 0)
            if entries > self._max_entries or total_bytes > self._max_bytes:
                raise StoreFull(
                    f"expected at most {self._max_entries} live sessions and {self._max_bytes} bytes of state, this"
                    f" one would make it {entries} and {total_bytes}; end sessions or raise the bound"
                )
            # Taken out first, so that insertion order stays the order of expiry.
            self._forget(session_id)
            self._states[session_id] = _StoredState(state, size_bytes, self._clock() + self._ttl_s)
            self._total_bytes += size_bytes

    def snapshot(self, session_id: str) -> ContinuationState | None:
        with self._lock:
            self._remove_expired()
            stored = self._states.get(session_id)
        return None if stored is None else stored.state

    def hydrate(self, state: ContinuationState, *, session_id: str | None = None) -> str:
        target = session_id if session_id is not None else str(uuid.uuid4())
        self.store(target, state)
        return target

    def drop(self, session_id: str) -> None:
        with self._lock:
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
