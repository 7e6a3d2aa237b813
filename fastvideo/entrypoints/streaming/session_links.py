"""The connections of a session, one after the other, and the time between them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.attachment import Attachment, Detached, Gone, Overtaken
from fastvideo.entrypoints.streaming.connection import BROKEN, Connection, ConnectionLost
from fastvideo.entrypoints.streaming.endings import Ending, SessionOver
from fastvideo.entrypoints.streaming.protocol import ServerMessage, SessionResume, encode_server_message
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_link import SessionLink
from fastvideo.entrypoints.streaming.session_post import SessionPost

logger = logging.getLogger(__name__)

# How often a session without a client looks whether somebody else wants its worker.
LOOK_S = 0.05

End: TypeAlias = Callable[[Ending], None]
Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class SessionLinks:
    """Serves a session over its connections, of which the first is there. Tasks run in ``group``.

    ``receive`` answers what comes over one; ``end`` ends the session; ``make_way`` is called again and again while no
    client is connected. ``connected`` is set while one is.
    """

    def __init__(
        self,
        connection: Connection,
        session: Session,
        server: ServerState,
        *,
        post: SessionPost,
        group: asyncio.TaskGroup,
        receive: Callable[[SessionLink], Coroutine[Any, Any, None]],
        end: End,
        make_way: Callable[[], Awaitable[None]],
    ) -> None:
        self._session = session
        self._server = server
        self._post = post
        self._group = group
        self._receive = receive
        self._end = end
        self._make_way = make_way
        self._attachment = Attachment(server.streaming.resume.grace_seconds)
        self._first = self.current = SessionLink(1, connection)
        self.connected = asyncio.Event()
        self.connected.set()

    def open(self, greeting: ServerMessage | None = None) -> None:
        """Serve the first connection; ``greeting`` comes before all that is posted."""
        self._start(self.current, greeting)

    def allow_return(self) -> None:
        """From here on the client knows how to come back."""
        self._attachment.resumable = True

    async def served(self) -> None:
        """Wait until the first connection is free."""
        await self._first.gone.wait()

    async def resume(
        self, connection: Connection, message: SessionResume, greet: Callable[[], ServerMessage]
    ) -> SessionLink:
        """Serve another connection, whose first message comes from ``greet``. Raises NotKept, GraceOver,
        Overtaken."""
        self._post.check(message.last_sequence, message.frames_after)
        before = self.current
        link = self.current = SessionLink(self._attachment.resume(self._server.clock()), connection)
        self.connected.clear()
        try:
            await before.stop()
            if self.current is not link:
                # The client was quicker with yet another one.
                raise Overtaken("the session went on over a newer connection")
            self._post.rewind(message.last_sequence, message.frames_after)
        except BaseException:
            self.lost(link, left=False)
            raise
        self._server.sessions.unpark(self._session.id, now=self._server.clock())
        self._start(link, greet())
        self.connected.set()
        return link

    def cut(self, connection: Connection) -> None:
        """Whoever held the connection gave it up."""
        if self.current.connection is connection:
            self.lost(self.current, left=False)

    def lost(self, link: SessionLink, *, left: bool) -> None:
        """A connection ended. Without one that takes its place, the session waits for its client, or is over."""
        before = self._attachment.state
        match self._attachment.lost(link.number, self._server.clock(), left=left or self._server.draining):
            case Gone():
                self._end(endings.client_left())
            case Detached() as detached if detached != before:
                self.connected.clear()
                self._post.detach()
                self._post.log("detached")
                self._group.create_task(self._guard(lambda: self._wait_for_client(link), link))
                self._park()

    def give_up(self) -> None:
        """Wait for no client any more."""
        self._attachment.give_up()

    def close(self) -> None:
        """The session is over: nobody can come back, and whoever waits for a connection has it."""
        self._attachment.end()
        for link in (self._first, self.current):
            link.gone.set()

    async def client(self) -> SessionLink | None:
        """The connection that there is, after waiting for one while one may come."""
        while not self.connected.is_set():
            if self._attachment.expire(self._server.clock()):
                return None
            await self._look()
        return None if isinstance(self._attachment.state, Gone) else self.current

    async def say_last(self, ending: Ending, patience_s: float) -> None:
        """Let the client have what is posted, and the close; one that loses its connection meanwhile may come back."""
        while (link := await self.client()) is not None:
            try:
                async with asyncio.timeout(patience_s):
                    if await self._heard(link, ending) or not ending.waits:
                        return
            except (TimeoutError, SessionOver):
                logger.info("session %s: the client did not take its last messages", self._session.id)
                return
            self.lost(link, left=False)

    async def _heard(self, link: SessionLink, ending: Ending) -> bool:
        """Whether the client has its last messages, and the close."""
        assert link.sender is not None
        # A close frame that answers ours is nobody's wish to leave.
        await link.hush()
        try:
            if link.sender.done():
                # It gave up on a slow client, who may still take these few bytes.
                await self._post.deliver(link.connection)
            else:
                await asyncio.wait([link.sender])
            return self.connected.is_set() and await link.connection.close(ending.code, ending.close_reason)
        except ConnectionLost:
            return False

    def _start(self, link: SessionLink, greeting: ServerMessage | None) -> None:
        sender = self._group.create_task(self._guard(lambda: self._deliver(link, greeting), link))
        link.start(sender, self._group.create_task(self._guard(lambda: self._receive(link), link)))

    async def _deliver(self, link: SessionLink, greeting: ServerMessage | None) -> None:
        if greeting is not None:
            await link.connection.send(encode_server_message(greeting))
        await self._post.deliver(link.connection)

    def _park(self) -> None:
        too_many = self._server.sessions.park(self._session.id)
        runner = self._server.runners.get(too_many) if too_many is not None else None
        if runner is not None:
            runner.forget_client()

    async def _wait_for_client(self, link: SessionLink) -> None:
        await link.stop()
        while not self.connected.is_set() and self.current is link:
            if self._attachment.expire(self._server.clock()):
                self._end(endings.client_lost())
                return
            await self._make_way()
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self.connected.wait()

    async def _guard(self, work: Work, link: SessionLink) -> None:
        """What ends a connection may leave the session its life."""
        try:
            await guard(work, self._session.id, self._end)
        except ConnectionLost as lost:
            self.lost(link, left=lost.code != BROKEN)


async def guard(work: Work, session_id: str, end: End) -> None:
    """A task's boundary: whatever stops it, but a lost connection, ends the session. Raises ConnectionLost."""
    try:
        await work()
    except SessionOver as over:
        end(over.ending)
    except ConnectionLost:
        raise
    except Exception:
        logger.exception("session %s failed", session_id)
        end(endings.failed())
