"""Blobs in Redis, for several servers."""

from __future__ import annotations

import logging
from typing import Any

from redis.asyncio import Redis

from fastvideo.entrypoints.streaming import redis_ledger
from fastvideo.entrypoints.streaming.blob_ids import is_blob_id, may_read, new_blob_id, owner_tag
from fastvideo.entrypoints.streaming.blob_store import (
    DEFAULT_MAX_BLOB_BYTES,
    DEFAULT_MAX_BLOBS,
    DEFAULT_MAX_OWNER_BLOBS,
    DEFAULT_MAX_OWNER_BYTES,
    DEFAULT_TTL_S,
    BlobStore,
)
from fastvideo.entrypoints.streaming.redis_link import DEFAULT_PATIENCE_S, RedisLink
from fastvideo.entrypoints.streaming.store_bounds import MAX_BLOB_BYTES, BlobBounds

logger = logging.getLogger(__name__)


class RedisBlobStore(BlobStore):
    """Blobs under ``prefix`` in the Redis at ``url``; thread-safe, for threads without an event loop.

    What fails because Redis is away is tried again for ``patience_s``, then StoreUnavailable is raised.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "fastvideo",
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_BLOBS,
        max_bytes: int = DEFAULT_MAX_BLOB_BYTES,
        max_owner_entries: int = DEFAULT_MAX_OWNER_BLOBS,
        max_owner_bytes: int = DEFAULT_MAX_OWNER_BYTES,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> None:
        self._link = RedisLink(url, patience_s=patience_s)
        self._prefix = f"{prefix}:blobs"
        self._ttl_ms = int(ttl_s * 1000)
        self._bounds = BlobBounds(max_entries, max_bytes, max_owner_entries, max_owner_bytes)

    def put(self, data: bytes, *, mime: str = "application/octet-stream", owner: str | None = None) -> str:
        kept = bytes(data)
        self._bounds.check_size(len(kept))
        blob_id, bounds = new_blob_id(owner), self._bounds
        found = self._run(
            redis_ledger.RESERVE_BLOB,
            blob_id,
            len(kept),
            self._ttl_ms,
            bounds.max_entries,
            bounds.max_bytes,
            int(owner is not None),
            bounds.max_owner_entries,
            bounds.max_owner_bytes,
        )
        if found[0] == 1:
            bounds.check_store(found[1], found[2], len(kept))
        elif found[0] == 2:
            bounds.check_owner(found[1], found[2], len(kept))
        self._link.call(lambda client: self._write(client, blob_id, kept))
        return blob_id

    def get(self, blob_id: str, *, owner: str | None = None) -> bytes:
        data = self._link.call(lambda client: self._read(client, blob_id)) if may_read(blob_id, owner) else None
        if data is None:
            raise KeyError(blob_id)
        return data

    def drop(self, blob_id: str) -> None:
        if is_blob_id(blob_id):
            self._run(redis_ledger.FORGET, blob_id)

    def drop_owner(self, owner: str) -> None:
        self._run(redis_ledger.FORGET_OWNER, owner_tag(owner))

    def __contains__(self, blob_id: object) -> bool:
        if not isinstance(blob_id, str) or not is_blob_id(blob_id):
            return False
        key = self._key(blob_id)
        return bool(self._link.call(lambda client: client.exists(key)))

    def has(self, blob_id: object, *, owner: str | None = None) -> bool:
        return may_read(blob_id, owner) and blob_id in self

    def __len__(self) -> int:
        return len(self._run(redis_ledger.LIST)[1])

    @property
    def total_bytes(self) -> int:
        """Bytes held now."""
        return int(self._run(redis_ledger.LIST)[0])

    def check(self) -> None:
        self._link.call(lambda client: client.ping())

    def close(self) -> None:
        self._link.close()

    def _key(self, blob_id: str) -> str:
        return f"{self._prefix}:data:{blob_id}"

    def _run(self, script: str, *arguments: str | int) -> Any:
        return self._link.call(lambda client: client.register_script(script)([self._prefix], arguments))

    async def _write(self, client: Redis, blob_id: str, data: bytes) -> None:
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.set(self._key(blob_id), data, px=self._ttl_ms)
            pipeline.zscore(f"{self._prefix}:expiry", blob_id)
            _, reserved = await pipeline.execute()
        if reserved is None:
            # Its owner was dropped meanwhile, and nobody else would count or drop it.
            await client.unlink(self._key(blob_id))

    async def _read(self, client: Redis, blob_id: str) -> bytes | None:
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.strlen(self._key(blob_id))
            pipeline.exists(self._key(blob_id))
            size_bytes, there = await pipeline.execute()
        if not there:
            return None
        if size_bytes > MAX_BLOB_BYTES:
            logger.error("blob %s has %d bytes, which we never write; it is taken to be lost", blob_id, size_bytes)
            return None
        data = await client.get(self._key(blob_id))
        return data if isinstance(data, bytes) else None
