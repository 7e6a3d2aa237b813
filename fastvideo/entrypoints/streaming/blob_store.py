"""Where the large parts of states live between segments: the interface, and its form in memory.

A store that is full removes what has expired; when that is not enough it raises `StoreFull`, because losing live state
without a word would break a running session.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from fastvideo.entrypoints.streaming.blob_ids import may_read, new_blob_id, owner_tag, tag_of
from fastvideo.entrypoints.streaming.store_bounds import BlobBounds

DEFAULT_TTL_S = 3600.0
DEFAULT_MAX_BLOBS = 4096
DEFAULT_MAX_BLOB_BYTES = 1 << 30
# A session has two blobs, and while they are replaced four.
DEFAULT_MAX_OWNER_BLOBS = 64
DEFAULT_MAX_OWNER_BYTES = 560 << 20

Clock = Callable[[], float]


class BlobStore(ABC):
    """Opaque bytes by id. Ids are unguessable, and an id only works for the owner it was made for.

    Methods may wait for a disk or a network: an event loop calls them in threads.
    """

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

    def has(self, blob_id: object, *, owner: str | None = None) -> bool:
        """Whether :meth:`get` would give something."""
        if not isinstance(blob_id, str):
            return False
        try:
            self.get(blob_id, owner=owner)
        except KeyError:
            return False
        return True

    def owned(self, owner: str) -> BlobStore:
        """This store as one session sees it: what it puts is its own, and it gets and drops nothing else."""
        return _OwnedBlobStore(self, owner)

    def check(self) -> None:
        """Ask the store for something; raises `StoreUnavailable` when it does not answer."""
        return

    def close(self) -> None:
        """Let go of connections and threads; what is stored stays. Twice is the same as once."""
        return


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    expires_at: float


class InMemoryBlobStore(BlobStore):
    """Blobs in this process; thread-safe. `clock` gives seconds and only ever rises."""

    def __init__(
        self,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_BLOBS,
        max_bytes: int = DEFAULT_MAX_BLOB_BYTES,
        max_owner_entries: int = DEFAULT_MAX_OWNER_BLOBS,
        max_owner_bytes: int = DEFAULT_MAX_OWNER_BYTES,
        clock: Clock = time.monotonic,
    ) -> None:
        self._ttl_s = ttl_s
        self._bounds = BlobBounds(max_entries, max_bytes, max_owner_entries, max_owner_bytes)
        self._clock = clock
        self._lock = threading.Lock()
        # One time to live for all, so insertion order is the order of expiry.
        self._blobs: dict[str, _Blob] = {}
        self._sizes_by_tag: dict[str, dict[str, int]] = {}
        self._total_bytes = 0

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        kept = bytes(data)
        self._bounds.check_size(len(kept))
        blob_id = new_blob_id(owner)
        with self._lock:
            self._remove_expired()
            self._bounds.check_store(len(self._blobs), self._total_bytes, len(kept))
            if owner is not None:
                sizes = self._sizes_by_tag.get(owner_tag(owner), {})
                self._bounds.check_owner(len(sizes), sum(sizes.values()), len(kept))
            self._blobs[blob_id] = _Blob(kept, self._clock() + self._ttl_s)
            self._sizes_by_tag.setdefault(tag_of(blob_id), {})[blob_id] = len(kept)
            self._total_bytes += len(kept)
        return blob_id

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        with self._lock:
            self._remove_expired()
            blob = self._blobs.get(blob_id)
        if blob is None or not may_read(blob_id, owner):
            raise KeyError(blob_id)
        return blob.data

    def drop(self, blob_id: str) -> None:
        with self._lock:
            self._forget(blob_id)

    def drop_owner(self, owner: str) -> None:
        with self._lock:
            for blob_id in list(self._sizes_by_tag.get(owner_tag(owner), {})):
                self._forget(blob_id)

    def __contains__(self, blob_id: object) -> bool:
        with self._lock:
            self._remove_expired()
            return blob_id in self._blobs

    def has(self, blob_id: object, *, owner: str | None = None) -> bool:
        return may_read(blob_id, owner) and blob_id in self

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
        if blob is None:
            return
        self._total_bytes -= len(blob.data)
        sizes = self._sizes_by_tag[tag_of(blob_id)]
        del sizes[blob_id]
        if not sizes:
            del self._sizes_by_tag[tag_of(blob_id)]

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
        return self._store.has(blob_id, owner=self._owner)

    def _mine(self, owner: str | None) -> str:
        if owner is not None and owner != self._owner:
            raise PermissionError(f"expected owner {self._owner!r}, the session this store was made for, not {owner!r}")
        return self._owner
