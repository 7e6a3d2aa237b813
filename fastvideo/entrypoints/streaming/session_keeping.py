"""What a session has in the stores: its state, and the record with which it goes on elsewhere."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.endings import SessionOver
from fastvideo.entrypoints.streaming.leased_store import LeasedStore
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_lease import LeaseLost
from fastvideo.entrypoints.streaming.session_record import SessionRecord, record_id
from fastvideo.entrypoints.streaming.session_store import LeasingSessionStore
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable

logger = logging.getLogger(__name__)


class SessionKeeping:
    """One session's part of the server's stores. ``states`` keeps its state."""

    def __init__(self, session: Session, server: ServerState) -> None:
        self._session = session
        self._server = server
        store = server.session_store
        # Without leases nobody else could go on with the session without harm.
        self._leased: LeasedStore | None = None
        if server.streaming.resume.grace_seconds > 0 and isinstance(store, LeasingSessionStore):
            self._leased = LeasedStore(store, server.holder)
        self.states = StateKeeper(
            session,
            self._leased or store,
            server.blob_store,
            server.store_calls,
            make_room=server.left_behind.forget_oldest,
            signatures=server.signatures,
        )

    @property
    def goes_on_elsewhere(self) -> bool:
        """Whether another server could go on with the session."""
        return self.states.recorded and self._server.shares_stores

    async def take_over(self, state: ContinuationState | None) -> None:
        """Go on with what is stored; from here on nobody else writes it. Raises StoreUnavailable."""
        if self._leased is not None:
            for kept_id in (self._session.id, record_id(self._session.id)):
                await self._called(functools.partial(self._leased.take, kept_id))
        self.states.adopt(state)

    async def record(self, record: SessionRecord) -> None:
        """Store a record, as far as the stores can be reached. Raises SessionOver when another server has it."""
        if self._leased is None:
            return
        try:
            await self.states.keep_record(record)
        except LeaseLost:
            raise SessionOver(endings.moved()) from None
        except (StoreFull, StoreUnavailable, StateInvalid):
            logger.warning("session %s could not go on elsewhere now", self._session.id, exc_info=True)

    async def leave(self, *, keep: bool) -> None:
        """Forget what is stored, or leave it for a client that goes on from there, here or elsewhere."""
        left_behind = self._server.left_behind
        if keep and self.states.recorded:
            left_behind.add(self._session.id, self.states.forget)
            await self._called(left_behind.tidy)
        else:
            await self.states.close()
        await self._called(self._let_go)

    def _let_go(self) -> None:
        try:
            if self._leased is not None:
                self._leased.let_go()
        except StoreUnavailable:
            logger.warning("leases of session %s stay until they run out", self._session.id, exc_info=True)

    async def _called(self, work: Callable[[], object]) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._server.store_calls, work))
