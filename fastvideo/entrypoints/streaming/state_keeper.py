"""The continuation state of one session: kept in the stores, whole when it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from fastvideo.api.errors import LimitExceeded
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.access.state_signatures import StateSignatures
from fastvideo.entrypoints.streaming import state_blobs
from fastvideo.entrypoints.streaming.blob_store import BlobStore
from fastvideo.entrypoints.streaming.protocol import ContinuationStateSnapshot, StateEnvelope, encode_server_message
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_lease import LeaseHeld, LeaseLost
from fastvideo.entrypoints.streaming.session_record import SessionRecord, encode_record, record_id
from fastvideo.entrypoints.streaming.session_store import SessionStore
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class StateKeeper:
    """Replaces, reads and forgets the state of ``session``.

    Stores are written and read in the threads of ``executor``, or in asyncio's own when None; ``make_room`` is called
    there while a store is full, until it is not or there is nothing left to forget. ``signatures``: on snapshots. With
    :meth:`keep_record` the stores have all that another server needs.
    """

    def __init__(
        self,
        session: Session,
        session_store: SessionStore,
        blob_store: BlobStore,
        executor: Executor | None = None,
        *,
        make_room: Callable[[], bool] = lambda: False,
        signatures: StateSignatures | None = None,
    ) -> None:
        self._session = session
        self._states = session_store
        self._all_blobs = blob_store
        self._blobs = blob_store.owned(session.id)
        self._executor = executor
        self._make_room = make_room
        self._signatures = signatures
        self._recorded = self._record_written = False
        self._outdated: list[str] = []
        self._forgotten = False

    async def replace(self, state: ContinuationState | None) -> None:
        """Store a state, and drop the blobs that only the one before referred to.

        On an error the state before stays, with its blobs. Raises StoreFull, StoreUnavailable, StateInvalid, and
        LeaseLost when the store was told of a lease, and another server goes on with the session.
        """
        old = self._session.continuation_state
        self._session.continuation_state = stored = await self._called(lambda: self._store(state))
        kept = state_blobs.blob_ids(stored) if stored else []
        dropped = [blob_id for blob_id in (state_blobs.blob_ids(old) if old else []) if blob_id not in kept]
        if self._recorded:
            # The record that is stored still refers to them.
            self._outdated += dropped
        elif dropped:
            await self._called(lambda: state_blobs.drop_blobs(dropped, self._blobs))

    async def keep_record(self, record: SessionRecord) -> None:
        """Store a record, and drop the blobs that only the one before referred to. Raises as :meth:`replace` does."""
        await self._called(lambda: self._store_record(record))
        self._recorded = True
        outdated, self._outdated = self._outdated, []
        if outdated:
            await self._called(lambda: state_blobs.drop_blobs(outdated, self._blobs))

    def adopt(self, state: ContinuationState | None) -> None:
        """Go on with a state whose parts are in the stores already."""
        self._session.continuation_state = state
        self._recorded = self._record_written = True

    @property
    def recorded(self) -> bool:
        """Whether the stores have a record of the session."""
        return self._recorded

    async def whole(self) -> ContinuationState | None:
        """The state with its blobs inlined. Raises StateInvalid when one has expired."""
        state = self._session.continuation_state
        return None if state is None else await self._called(lambda: state_blobs.inline(state, self._blobs))

    async def snapshot_text(self) -> str | None:
        """The snapshot message for the state, None without one. Raises StateInvalid, LimitExceeded."""
        state = await self.whole()
        return None if state is None else await asyncio.to_thread(snapshot_text, state, signatures=self._signatures)

    def forget(self) -> None:
        """Drop the state and every blob of the session, also those that a thread is about to store.

        What a store that cannot be reached keeps of it ends with its time to live. Another server that has taken the
        session over keeps everything.
        """
        self._forgotten = True
        self._session.continuation_state = None
        self._drop_everything()

    async def close(self) -> None:
        """:meth:`forget` in a thread, as a store on a disk or across a network takes its time.

        Whoever is cancelled while waiting for it leaves it under way.
        """
        await asyncio.shield(self._called(self.forget))

    def _called(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _drop_everything(self) -> None:
        try:
            if self._record_written:
                self._states.drop(record_id(self._session.id))
            self._states.drop(self._session.id)
            self._all_blobs.drop_owner(self._session.id)
        except (LeaseHeld, LeaseLost):
            logger.info("session %s goes on elsewhere, and keeps its state", self._session.id)
        except StoreUnavailable:
            logger.warning("the state of session %s stays until it expires", self._session.id, exc_info=True)

    def _store(self, state: ContinuationState | None) -> ContinuationState | None:
        if state is None:
            self._states.drop(self._session.id)
            return None
        while True:
            try:
                return self._stored(state)
            except StoreFull:
                if not self._make_room():
                    raise

    def _stored(self, state: ContinuationState) -> ContinuationState:
        stored = state_blobs.to_blobs(state, self._blobs)
        try:
            self._states.store(self._session.id, stored)
        except BaseException:
            known = state_blobs.blob_ids(state)
            new = [blob_id for blob_id in state_blobs.blob_ids(stored) if blob_id not in known]
            state_blobs.drop_blobs(new, self._blobs)
            raise
        if self._forgotten:
            # The session ended meanwhile, and nobody else will clean up.
            self._drop_everything()
        return stored

    def _store_record(self, record: SessionRecord) -> None:
        self._record_written = True
        self._states.store(record_id(self._session.id), encode_record(record))
        if self._forgotten:
            self._drop_everything()


def snapshot_text(
    state: ContinuationState,
    max_bytes: int = state_blobs.MAX_STATE_JSON_BYTES,
    *,
    signatures: StateSignatures | None = None,
) -> str:
    """The snapshot message as JSON, at most ``max_bytes``; raises LimitExceeded above that."""
    signature = None if signatures is None else signatures.sign(state.kind, state.payload)
    envelope = StateEnvelope(kind=state.kind, payload=state.payload, signature=signature)
    text = encode_server_message(ContinuationStateSnapshot(state=envelope))
    if len(text) > max_bytes:
        raise LimitExceeded("state", f"expected at most {max_bytes} bytes of JSON, the session's has {len(text)}")
    if 2 * len(text) > max_bytes:
        # The copy at the top level is left out rather than the state.
        return text
    return encode_server_message(ContinuationStateSnapshot.of(envelope))
