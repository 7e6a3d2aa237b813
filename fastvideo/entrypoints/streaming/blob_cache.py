"""Blobs of another store, kept in memory too by the server that put them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from fastvideo.entrypoints.streaming.blob_ids import may_read, owner_tag, tag_of
from fastvideo.entrypoints.streaming.blob_store import DEFAULT_TTL_S, BlobStore, Clock

DEFAULT_MAX_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class _Copy:
    data: bytes
    expires_at_s: float


class CachedBlobStore(BlobStore):
    """``store``, with the last ``max_bytes`` of what was put through here at hand. Thread-safe.

    A session's next segment begins with what its last one left, most often on the same server: nothing is fetched then,
    and a store that lost everything in a restart is no harm to sessions that are under way. Blobs never change, so a
    copy is never wrong; ``ttl_s`` is the store's, and ``clock`` gives seconds that only rise.
    """

    def __init__(
        self,
        store: BlobStore,
        *,
        max_bytes: int = DEFAULT_MAX_CACHE_BYTES,
        ttl_s: float = DEFAULT_TTL_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        # The oldest first; that is the order of expiry, too.
        self._copies: dict[str, _Copy] = {}
        self._total_bytes = 0

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        kept = bytes(data)
        blob_id = self._store.put(kept, mime=mime, owner=owner)
        with self._lock:
            self._copies[blob_id] = _Copy(kept, self._clock() + self._ttl_s)
            self._total_bytes += len(kept)
            self._remove_old()
        return blob_id

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        copy = self._copy(blob_id) if may_read(blob_id, owner) else None
        return copy.data if copy is not None else self._store.get(blob_id, owner=owner)

    def drop(self, blob_id: str) -> None:
        with self._lock:
            self._forget(blob_id)
        self._store.drop(blob_id)

    def drop_owner(self, owner: str) -> None:
        tag = owner_tag(owner)
        with self._lock:
            for blob_id in [blob_id for blob_id in self._copies if tag_of(blob_id) == tag]:
                self._forget(blob_id)
        self._store.drop_owner(owner)

    def __contains__(self, blob_id: object) -> bool:
        return self._copy(blob_id) is not None or blob_id in self._store

    def has(self, blob_id: object, *, owner: str | None = None) -> bool:
        return may_read(blob_id, owner) and blob_id in self

    def check(self) -> None:
        self._store.check()

    def close(self) -> None:
        self._store.close()

    @property
    def cached_bytes(self) -> int:
        """Bytes of copies held now."""
        with self._lock:
            self._remove_old()
            return self._total_bytes

    def _copy(self, blob_id: object) -> _Copy | None:
        with self._lock:
            self._remove_old()
            return self._copies.get(blob_id) if isinstance(blob_id, str) else None

    def _forget(self, blob_id: str) -> None:
        copy = self._copies.pop(blob_id, None)
        if copy is not None:
            self._total_bytes -= len(copy.data)

    def _remove_old(self) -> None:
        now_s = self._clock()
        while self._copies:
            oldest = next(iter(self._copies))
            if self._total_bytes <= self._max_bytes and self._copies[oldest].expires_at_s > now_s:
                return
            self._forget(oldest)
