"""A session's place on the pool's workers: asked for, waited for, told of, and given away while nobody needs it."""

from __future__ import annotations

import asyncio

from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.admission import ADMITTED, Place, QueueFull
from fastvideo.entrypoints.streaming.endings import SessionOver
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.pool_base import PoolAcquireTimeout, PoolUnavailable
from fastvideo.entrypoints.streaming.protocol import GpuAssigned, QueueStatus
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session, SessionState
from fastvideo.entrypoints.streaming.session_links import SessionLinks
from fastvideo.entrypoints.streaming.session_post import SessionPost


class SessionPlace:
    """One session's. ``token``: what its client may come back with; ``links``: its connections.

    ``told`` is set once the client knows its place; from then on it can come back. ``binding``: a worker is waited for.
    """

    def __init__(
        self, session: Session, server: ServerState, *, post: SessionPost, links: SessionLinks, token: str
    ) -> None:
        self._session = session
        self._server = server
        self._post = post
        self._links = links
        self._token = token
        self._place = ADMITTED
        self._has_place = False
        self._giving = asyncio.Lock()
        self.told = asyncio.Event()
        self.binding = False

    @property
    def queue_position(self) -> int | None:
        """The place in the queue, None unless a worker is waited for."""
        return self._place.position if self.binding and self._place != ADMITTED else None

    async def bind(self) -> None:
        """Get a worker, or wait for one; a session that yielded its place while idle comes here again.

        Raises SessionOver when there is none.
        """
        self.binding = True
        session, server = self._session, self._server
        timeout_s = server.sessions.session_timeout_seconds
        async with self._giving:
            self._has_place = True
        try:
            assignment = await server.pool.join(session.id, timeout=timeout_s, on_place=self._tell)
        except (PoolAcquireTimeout, PoolUnavailable, QueueFull) as error:
            raise SessionOver(endings.no_worker(error_message(error))) from None
        finally:
            self.binding = False
        if session.is_active():
            return
        session.transition(SessionState.GPU_BINDING, now=server.clock())
        session.gpu_id = assignment.gpu_id
        self._post.log("gpu_assigned", gpu_id=assignment.gpu_id, worker_id=assignment.worker_id)
        await self._post.put(
            GpuAssigned(gpu_id=assignment.gpu_id, session_timeout=timeout_s, model_id=server.pool.model_id)
        )
        session.transition(SessionState.ACTIVE, now=server.clock())

    async def bind_connected(self) -> None:
        """:meth:`bind` for a segment, which begins only when a client is there."""
        while True:
            await self.bind()
            if self._links.connected.is_set():
                return
            await self.give()
            await self._links.connected.wait()

    async def give(self) -> None:
        """Give the place away; without one, nothing happens."""
        async with self._giving:
            if self._has_place:
                self._has_place = False
                await self._server.pool.release(self._session.id)

    def go_on(self) -> None:
        """The session began elsewhere, and its client, who is back, knows its place from the greeting."""
        self._session.transition(SessionState.QUEUED, now=self._server.clock())
        self._links.allow_return()
        self.told.set()

    def greeting(self) -> QueueStatus:
        """The first message of each connection: the place as it is now, and how to come back."""
        grace_s = self._server.streaming.resume.grace_seconds
        how = {"resume_token": self._token, "resume_grace_seconds": grace_s} if grace_s > 0 else {}
        return _queue_status(self._place).model_copy(update={"session_id": self._session.id, **how})

    def _tell(self, place: Place) -> None:
        self._place = place
        if not self.told.is_set():
            self._session.transition(SessionState.QUEUED, now=self._server.clock())
            self.told.set()
            # From here on the client can come back.
            self._links.allow_return()
            self._post.put_now(self.greeting())
        elif place != ADMITTED:
            self._post.put_now(_queue_status(place))


def _queue_status(place: Place) -> QueueStatus:
    return QueueStatus(position=place.position, queue_depth=place.queue_depth, eta_ms=place.eta_ms)
