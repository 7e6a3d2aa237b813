"""Continuation states, and who may write them, in Redis, for several servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redis.asyncio import Redis

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming import redis_ledger
from fastvideo.entrypoints.streaming.blob_store import DEFAULT_TTL_S
from fastvideo.entrypoints.streaming.redis_link import DEFAULT_PATIENCE_S, RedisLink
from fastvideo.entrypoints.streaming.session_lease import (
    DEFAULT_LEASE_TTL_S,
    Lease,
    LeaseHeld,
    LeaseLost,
    held_text,
    lost_text,
)
from fastvideo.entrypoints.streaming.session_store import (
    DEFAULT_MAX_SESSIONS,
    DEFAULT_MAX_STATE_BYTES,
    LeasingSessionStore,
    check_room,
)
from fastvideo.entrypoints.streaming.stored_state import MAX_STORED_STATE_BYTES, decode_state, encode_state

_MAX_ID_BYTES = 256


class RedisSessionStore(LeasingSessionStore):
    """States under ``prefix`` in the Redis at ``url``; thread-safe, for threads without an event loop.

    What fails because Redis is away is tried again for ``patience_s``, then StoreUnavailable is raised. A Redis that
    comes back empty is no harm to whoever holds a lease: tokens go on rising, and the holder writes again.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "fastvideo",
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_SESSIONS,
        max_bytes: int = DEFAULT_MAX_STATE_BYTES,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> None:
        self._link = RedisLink(url, patience_s=patience_s)
        self._prefix = f"{prefix}:sessions"
        self._ttl_ms = int(ttl_s * 1000)
        self._max_entries = max_entries
        self._max_bytes = max_bytes

    def store(self, session_id: str, state: ContinuationState, *, lease: Lease | None = None) -> None:
        data, token = encode_state(state), _token(lease)
        found = self._run(
            redis_ledger.STORE_STATE, _id(session_id), token, data, self._ttl_ms, self._max_entries, self._max_bytes
        )
        if found[0] == 3:
            check_room(found[1], found[2], self._max_entries, self._max_bytes)
        _raise_refusal(found[0], session_id)

    def snapshot(self, session_id: str) -> ContinuationState | None:
        data = self._link.call(lambda client: self._read(client, session_id)) if _is_id(session_id) else None
        return None if data is None else decode_state(data)

    def drop(self, session_id: str, *, lease: Lease | None = None) -> None:
        if _is_id(session_id):
            _raise_refusal(self._run(redis_ledger.DROP_STATE, session_id, _token(lease)), session_id)

    def __contains__(self, session_id: object) -> bool:
        if not isinstance(session_id, str) or not _is_id(session_id):
            return False
        key = self._key(session_id)
        return bool(self._link.call(lambda client: client.exists(key)))

    def __iter__(self) -> Iterator[str]:
        return iter([session_id.decode() for session_id in self._run(redis_ledger.LIST)[1]])

    def __len__(self) -> int:
        return len(self._run(redis_ledger.LIST)[1])

    def acquire(
        self, session_id: str, holder: str, *, ttl_s: float = DEFAULT_LEASE_TTL_S, take_over: bool = False
    ) -> Lease:
        ttl_ms = int(ttl_s * 1000)
        kept_ms = max(ttl_ms, self._ttl_ms)
        refused, value = self._run(redis_ledger.ACQUIRE, _id(session_id), holder, ttl_ms, kept_ms, int(take_over))
        if refused:
            raise LeaseHeld(
                f"expected session {session_id} to be free, found it with another server for another"
                f" {value / 1000:.1f} s; wait, or take it over"
            )
        return Lease(session_id, holder, value, ttl_s)

    def renew(self, lease: Lease) -> None:
        ttl_ms = int(lease.ttl_s * 1000)
        kept_ms = max(ttl_ms, self._ttl_ms)
        refusal = self._run(redis_ledger.RENEW, _id(lease.session_id), lease.holder, lease.token, ttl_ms, kept_ms)
        _raise_refusal(refusal, lease.session_id)

    def release(self, lease: Lease) -> None:
        self._run(redis_ledger.RELEASE, _id(lease.session_id), lease.holder, lease.token, int(lease.ttl_s * 1000))

    def check(self) -> None:
        self._link.call(lambda client: client.ping())

    def close(self) -> None:
        self._link.close()

    def _key(self, session_id: str) -> str:
        return f"{self._prefix}:data:{session_id}"

    def _run(self, script: str, *arguments: str | int | bytes) -> Any:
        return self._link.call(lambda client: client.register_script(script)([self._prefix], arguments))

    async def _read(self, client: Redis, session_id: str) -> bytes | None:
        # One byte more than a state may have is never asked for, whatever lies there.
        data = await client.getrange(self._key(session_id), 0, MAX_STORED_STATE_BYTES - 1)
        return data if data and isinstance(data, bytes) else None


def _token(lease: Lease | None) -> str:
    return "" if lease is None else str(lease.token)


def _raise_refusal(refusal: int, session_id: str) -> None:
    if refusal == 1:
        raise LeaseHeld(held_text(session_id))
    if refusal == 2:
        raise LeaseLost(lost_text(session_id))


def _is_id(session_id: str) -> bool:
    try:
        return 0 < len(session_id.encode()) <= _MAX_ID_BYTES
    except UnicodeEncodeError:
        return False


def _id(session_id: str) -> str:
    if not _is_id(session_id):
        raise ValueError(f"expected a session's id of 1 to {_MAX_ID_BYTES} bytes of UTF-8, got {session_id[:40]!r}")
    return session_id
