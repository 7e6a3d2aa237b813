"""Continuation states, and who may write them, as files of one folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.blob_store import DEFAULT_TTL_S, Clock
from fastvideo.entrypoints.streaming.session_lease import (
    DEFAULT_LEASE_TTL_S,
    Lease,
    LeaseRecord,
    check_write,
    grant,
    renew,
)
from fastvideo.entrypoints.streaming.session_store import (
    DEFAULT_MAX_SESSIONS,
    DEFAULT_MAX_STATE_BYTES,
    LeasingSessionStore,
    check_room,
)
from fastvideo.entrypoints.streaming.store_folder import StoredFile, StoreFolder
from fastvideo.entrypoints.streaming.stored_state import MAX_STORED_STATE_BYTES, decode_state, encode_state

_STATE = ".state"
_LEASE = ".lease"
_MAX_ID_BYTES = 120
_MAX_LEASE_BYTES = 4096


class FileSessionStore(LeasingSessionStore):
    """States in ``folder``; safe with several threads and processes, and against being killed at any moment.

    Raises StoreUnavailable when the folder cannot be used. ``clock`` gives seconds as ``time.time`` does. Ids have at
    most 120 bytes; a file's name is its session's id in hexadecimal, so no id can name anything else.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        max_entries: int = DEFAULT_MAX_SESSIONS,
        max_bytes: int = DEFAULT_MAX_STATE_BYTES,
        clock: Clock = time.time,
    ) -> None:
        self._folder = StoreFolder(folder, clock)
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock

    def store(self, session_id: str, state: ContinuationState, *, lease: Lease | None = None) -> None:
        stem, data = _stem(session_id), encode_state(state)
        with self._folder.prepared(data, ttl_s=self._ttl_s) as file, self._folder.changing() as live:
            self._check_write(session_id, lease)
            sizes = _sizes(live)
            sizes[stem] = len(data)
            check_room(len(sizes), sum(sizes.values()), self._max_entries, self._max_bytes)
            file.commit(stem + _STATE)

    def snapshot(self, session_id: str) -> ContinuationState | None:
        stem = _known_stem(session_id)
        data = self._folder.read(stem + _STATE, MAX_STORED_STATE_BYTES) if stem is not None else None
        return None if data is None else decode_state(data)

    def drop(self, session_id: str, *, lease: Lease | None = None) -> None:
        stem = _known_stem(session_id)
        if stem is not None:
            with self._folder.changing():
                self._check_write(session_id, lease)
                self._folder.remove(stem + _STATE)

    def __contains__(self, session_id: object) -> bool:
        stem = _known_stem(session_id)
        return stem is not None and self._folder.has(stem + _STATE)

    def __iter__(self) -> Iterator[str]:
        return iter([bytes.fromhex(stem).decode() for stem in _sizes(self._folder.live())])

    def check(self) -> None:
        self._folder.live()

    def __len__(self) -> int:
        return len(_sizes(self._folder.live()))

    def acquire(
        self, session_id: str, holder: str, *, ttl_s: float = DEFAULT_LEASE_TTL_S, take_over: bool = False
    ) -> Lease:
        asked = Lease(session_id, holder, 0, ttl_s)
        with self._folder.changing():
            record = grant(self._lease_record(session_id), asked, now_s=self._clock(), take_over=take_over)
            self._keep_lease(session_id, record, max(ttl_s, self._ttl_s))
        return Lease(session_id, holder, record.token, ttl_s)

    def renew(self, lease: Lease) -> None:
        with self._folder.changing():
            record = renew(self._lease_record(lease.session_id), lease, now_s=self._clock())
            self._keep_lease(lease.session_id, record, max(lease.ttl_s, self._ttl_s))

    def release(self, lease: Lease) -> None:
        with self._folder.changing():
            record = self._lease_record(lease.session_id)
            if record is not None and record.token == lease.token:
                ended = LeaseRecord(record.holder, record.token, self._clock())
                self._keep_lease(lease.session_id, ended, lease.ttl_s)

    def _check_write(self, session_id: str, lease: Lease | None) -> None:
        check_write(self._lease_record(session_id), session_id, lease, now_s=self._clock())

    def _lease_record(self, session_id: str) -> LeaseRecord | None:
        data = self._folder.read(_stem(session_id) + _LEASE, _MAX_LEASE_BYTES)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=LeaseRecord)
        except msgspec.MsgspecError:
            return None

    def _keep_lease(self, session_id: str, record: LeaseRecord, for_s: float) -> None:
        with self._folder.prepared(msgspec.json.encode(record), ttl_s=for_s) as file:
            file.commit(_stem(session_id) + _LEASE)


def _stem(session_id: str) -> str:
    data = session_id.encode(errors="surrogatepass")
    if not 0 < len(data) <= _MAX_ID_BYTES:
        raise ValueError(f"expected a session's id of 1 to {_MAX_ID_BYTES} bytes, got {len(data)}")
    return data.hex()


def _known_stem(session_id: object) -> str | None:
    try:
        return _stem(session_id) if isinstance(session_id, str) else None
    except ValueError:
        return None


def _sizes(files: dict[str, StoredFile]) -> dict[str, int]:
    return {name.removesuffix(_STATE): file.size_bytes for name, file in files.items() if name.endswith(_STATE)}
