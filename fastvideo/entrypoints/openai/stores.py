"""What is known of jobs, by id: in memory, and in a store that outlives the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastvideo.api.errors import StateInvalid
from fastvideo.entrypoints.openai.job import JobRecord, decode_job, encode_job, is_job_id
from fastvideo.entrypoints.streaming.leased_store import LeasedStore
from fastvideo.entrypoints.streaming.session_store import LeasingSessionStore

logger = logging.getLogger(__name__)

T = TypeVar("T")


class AsyncDictStore:
    """Mappings by key, in this process, in the order in which they came."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    async def upsert(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a copy of a value in place of what was there."""
        self._values[key] = dict(value)

    async def update_fields(self, key: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change some fields; returns a copy of the whole, None when there is no such key."""
        if key not in self._values:
            return None
        self._values[key].update(fields)
        return dict(self._values[key])

    async def get(self, key: str) -> dict[str, Any] | None:
        """A copy of the value, None when there is none."""
        value = self._values.get(key)
        return None if value is None else dict(value)

    async def pop(self, key: str) -> dict[str, Any] | None:
        """The value, which is not kept any more; None when there is none."""
        return self._values.pop(key, None)

    async def list_values(self) -> list[dict[str, Any]]:
        """Copies of all values."""
        return [dict(value) for value in self._values.values()]


class JobStore:
    """Jobs in a store of states, which is asked on a thread of its own, one thing after the other.

    One server uses it at a time: another one that starts takes the jobs over, after which writing raises LeaseLost
    here. Methods raise StoreUnavailable and StoreFull. ``holder`` names this server.
    """

    def __init__(self, store: LeasingSessionStore, holder: str) -> None:
        self._store = store
        self._leased = LeasedStore(store, holder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")

    async def load(self) -> list[JobRecord]:
        """All jobs, in the order in which they were asked for; those that have not ended are this server's now."""
        return await self._called(self._load)

    async def save(self, record: JobRecord) -> None:
        """Store a job as it is now."""
        # Encoded here, so that later changes do not come along half.
        state = encode_job(record)
        await self._called(lambda: self._leased.store(record.id, state))

    async def remove(self, job_id: str) -> None:
        """Forget a job; no error when there is none."""
        await self._called(lambda: self._remove(job_id))

    async def close(self) -> None:
        """Finish what is under way and let go of the store; what is stored stays."""
        await self._called(self._leased.let_go)
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._store.close)

    def _load(self) -> list[JobRecord]:
        records = []
        for job_id in [found for found in self._store if is_job_id(found)]:
            try:
                state = self._store.snapshot(job_id)
                if state is not None:
                    records.append(decode_job(state))
            except StateInvalid:
                logger.warning("the record of job %s cannot be used", job_id, exc_info=True)
        for record in records:
            if not record.ended:
                self._leased.take(record.id)
        return sorted(records, key=lambda record: (record.created_ns, record.id))

    def _remove(self, job_id: str) -> None:
        self._leased.take(job_id)
        self._leased.drop(job_id)

    def _called(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)
