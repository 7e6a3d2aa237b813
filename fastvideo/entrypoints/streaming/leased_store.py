"""A shared store of states as a session of one server writes it: with the right to do so, taken at its first write."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.session_lease import Lease
from fastvideo.entrypoints.streaming.session_store import LeasingSessionStore, SessionStore


class LeasedStore(SessionStore):
    """``store`` for ``holder``. The first write of an id takes its lease, from whoever had it; once somebody else has
    taken that, writing raises LeaseLost. What was never written here is not dropped."""

    def __init__(self, store: LeasingSessionStore, holder: str) -> None:
        self._store = store
        self._holder = holder
        self._lock = threading.Lock()
        self._leases: dict[str, Lease] = {}

    def store(self, session_id: str, state: ContinuationState) -> None:
        self._store.store(session_id, state, lease=self.take(session_id))

    def snapshot(self, session_id: str) -> ContinuationState | None:
        return self._store.snapshot(session_id)

    def drop(self, session_id: str) -> None:
        with self._lock:
            lease = self._leases.get(session_id)
        if lease is not None:
            self._store.drop(session_id, lease=lease)

    def take(self, session_id: str) -> Lease:
        """The lease of an id, taken if it is not held yet."""
        with self._lock:
            lease = self._leases.get(session_id)
            if lease is None:
                lease = self._store.acquire(session_id, self._holder, take_over=True)
                self._leases[session_id] = lease
            return lease

    def let_go(self) -> None:
        """Let others have all ids at once; nothing is written any more."""
        with self._lock:
            leases = list(self._leases.values())
        for lease in leases:
            self._store.release(lease)

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._store

    def __iter__(self) -> Iterator[str]:
        return iter(self._store)
