"""One client and the replica that serves it: what passes between them, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.websockets import WebSocket

from fastvideo.entrypoints.streaming.router.client_leg import ClientGone, ClientLeg
from fastvideo.entrypoints.streaming.router.failover import MAX_VAIN_ATTEMPTS, Failover
from fastvideo.entrypoints.streaming.router.frames import TEXT, Message
from fastvideo.entrypoints.streaming.router.place import OpenPrompts, StreamPlace
from fastvideo.entrypoints.streaming.router.refusals import (
    BRIDGE_FAULT,
    DRAINING,
    REPLICA_LOST,
    UNAUTHORIZED_WORDS,
    Refused,
    code_to_send,
)
from fastvideo.entrypoints.streaming.router.registry import Replica
from fastvideo.entrypoints.streaming.router.replica_link import LinkClosed, LinkEnd, ReplicaLink
from fastvideo.entrypoints.streaming.router.seam import Seam
from fastvideo.entrypoints.streaming.router.search import Attachment, Handshake, ReplicaSearch
from fastvideo.entrypoints.streaming.router.state import RouterState
from fastvideo.entrypoints.streaming.router.wire_notes import read_resume, read_server_note

logger = logging.getLogger(__name__)

FAREWELL_S = 5.0
# queue_status and prompt_status; the type comes first in a message.
_NOTED = b'_status"'
_ERROR = b'"error"'
_HEAD_BYTES = 64

T = TypeVar("T")


class Bridge:
    """Serves one WebSocket; :meth:`run` returns when it is over."""

    def __init__(self, websocket: WebSocket, router: RouterState) -> None:
        self._router = router
        self._client = ClientLeg(websocket)
        self._search = ReplicaSearch(router, Handshake.of(websocket, router.config.trusted_proxies))
        self._at: Attachment | None = None
        self._place = StreamPlace()
        self._prompts = OpenPrompts()
        self._seam = Seam()
        self._parting: str | None = None
        self._passed = 0
        self._closing = asyncio.ensure_future(router.closing.wait())
        metrics = router.metrics
        self._text_bytes = metrics.bytes_to_clients.labels("text")
        self._media_bytes = metrics.bytes_to_clients.labels("media")

    async def run(self) -> None:
        """Serve the client. Nothing is left behind when this returns."""
        how = "fault"
        try:
            how = await self._serve()
        except ClientGone as gone:
            how = "client_closed" if gone.clean else "client_lost"
            if self._at is not None and gone.clean:
                self._at.close(gone.code, gone.reason)
                self._at = None
        except Refused as refused:
            how = "refused"
            if refused.status is not None and not self._client.accepted:
                await self._client.deny(refused.status, UNAUTHORIZED_WORDS)
            else:
                await self._farewell(refused.code, refused.reason, refused.words)
        except Exception:
            logger.exception("a bridge failed")
            await self._farewell(1011, "worker_failed", BRIDGE_FAULT)
        finally:
            self._client.release()
            self._router.let_go(self._place)
            self._closing.cancel()
            if self._at is not None:
                self._at.leave()
            self._router.metrics.ended.labels(how).inc()

    async def _serve(self) -> str:
        if self._router.draining:
            raise _shutting_down()
        end = await self._relay(await self._open())
        vain = 0
        while (not end.clean or self._parting is not None) and vain < MAX_VAIN_ATTEMPTS and await self._resume():
            before = self._passed
            end = await self._relay(None)
            vain = vain + 1 if self._passed == before else 0
        if end.clean:
            await self._farewell(code_to_send(end.code), end.reason, self._parting)
            return "replica_closed"
        await self._farewell(1011, "worker_failed", REPLICA_LOST)
        return "replica_lost"

    # --- opening

    async def _open(self) -> Message:
        """Attach to a replica that takes the session: its first message. Raises Refused and ClientGone."""
        opening: str | bytes | None = None
        while True:
            at = await self._attach()
            if not self._client.accepted:
                # Which subprotocol is spoken is the replica's choice.
                await self._client.accept(at.link.subprotocol)
            if opening is None:
                opening = await self._opening(at)
                if opening is None:
                    continue
                at = await self._go_home(at, opening)
            with contextlib.suppress(LinkClosed):
                await at.link.send(opening)
            first = await self._while_client_stays(self._search.first_answer(at))
            if first is not None:
                self._router.metrics.opened.labels(at.replica.endpoint.label).inc()
                return first

    async def _attach(self, home: Replica | None = None) -> Attachment:
        if self._at is not None:
            self._at.leave()
            self._at = None
        self._at = await self._search.next(home)
        return self._at

    async def _opening(self, at: Attachment) -> str | bytes | None:
        """The client's first message; None when the replica sends the session elsewhere before it has come."""
        spoken = asyncio.ensure_future(at.link.receive())
        said = asyncio.ensure_future(self._client.peek())
        try:
            await self._wait(spoken, said)
        finally:
            await _cancelled(spoken, said)
        if spoken.cancelled():
            return await self._client.receive()
        await self._search.early_words(at, spoken)
        return None

    async def _go_home(self, at: Attachment, opening: str | bytes) -> Attachment:
        """For a client that goes on with a session: the replica that has it, as far as that is known."""
        resume = read_resume(opening)
        address = None
        if resume is not None:
            self._place = StreamPlace(resume)
            self._router.hold(resume.token, self._place)
            address = self._router.sticky.find("token", resume.token)
        home = self._router.registry.get(address) if address is not None else None
        if home is None or home is at.replica or not home.is_healthy:
            return at
        # It has said nothing yet, and may be asked again.
        self._search.forget(at.replica)
        return await self._attach(home)

    async def _while_client_stays(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of ``work``, which is given up when the client leaves. Raises ClientGone."""
        task = asyncio.ensure_future(work)
        watch = asyncio.ensure_future(self._client.peek())
        try:
            await self._wait(task, watch)
            if not task.done():
                # Raises when the client has gone; when it has said something more, nobody can tell until that is read.
                watch.result()
                await self._wait(task)
            return task.result()
        finally:
            await _cancelled(task, watch)

    # --- passing on

    async def _relay(self, first: Message | None) -> LinkEnd:
        """Pass messages both ways until the connection to the replica ends. Raises ClientGone."""
        assert self._at is not None
        link = self._at.link
        self._client.on_free = link.resume
        link.relay(self._pass_on, first)
        pump = asyncio.ensure_future(self._pump(link))
        try:
            await self._wait(pump, link.ended)
            if not link.ended.done():
                # Raises when the client has gone, and not when it was the replica: what came from there is passed on.
                with contextlib.suppress(LinkClosed):
                    pump.result()
                await self._wait(link.ended)
            return link.ended.result()
        finally:
            await _cancelled(pump)

    def _pass_on(self, message: Message) -> bool:
        if message.opcode == TEXT and self._is_parting(message):
            return True
        self._passed += 1
        sequence = self._place.passed(message)
        if message.opcode == TEXT:
            self._text_bytes.inc(message.size)
            if _NOTED in message.head(_HEAD_BYTES):
                self._note(message)
        else:
            self._media_bytes.inc(message.size)
        free = True
        for each in self._seam.pass_on(message, sequence):
            free = self._client.forward(each) and free
        return free

    def _is_parting(self, message: Message) -> bool:
        """Whether the replica says that it goes away: the client need not know if another one goes on."""
        if self._place.token is None or _ERROR not in message.head(_HEAD_BYTES):
            return False
        if read_server_note(message).reason != "draining":
            return False
        self._parting = message.payload().decode(errors="replace")
        return True

    def _note(self, message: Message) -> None:
        assert self._at is not None
        note = read_server_note(message)
        if note.session_id is not None:
            self._router.sticky.remember("session", note.session_id, self._at.replica.url)
        if note.resume_token is not None:
            self._router.hold(note.resume_token, self._place)
            self._router.sticky.remember("token", note.resume_token, self._at.replica.url)
        if note.request_id is not None and note.status != "pending":
            self._prompts.settled(note.request_id)

    async def _pump(self, link: ReplicaLink) -> None:
        while True:
            frame = await self._client.peek()
            await link.send(frame)
            # It stays the next one for another connection if this one took it no more.
            await self._client.receive()
            self._prompts.said(frame)

    async def _resume(self) -> bool:
        """Go on with the session over another connection, unseen by the client. Raises ClientGone."""
        lost, self._at = self._at, None
        assert lost is not None
        lost.leave()
        failover = Failover(self._router, self._search, self._place)
        elsewhere = self._parting is not None
        self._at = await self._while_client_stays(failover.resume(lost.replica, elsewhere=elsewhere))
        outcomes = self._router.metrics.resumed
        if self._at is None:
            if self._place.token is not None:
                outcomes.labels("failed").inc()
            return False
        outcomes.labels("resumed").inc()
        self._seam.cut()
        self._parting = None
        if self._place.token is not None:
            self._router.sticky.remember("token", self._place.token, self._at.replica.url)
        with contextlib.suppress(LinkClosed):
            for frame in self._prompts.frames():
                await self._at.link.send(frame)
        return True

    # --- ending

    async def _wait(self, *work: asyncio.Future[Any]) -> None:
        """Wait for the first of these. Raises Refused when the router ends first."""
        await asyncio.wait((*work, self._closing), return_when=asyncio.FIRST_COMPLETED)
        if not any(one.done() for one in work):
            raise _shutting_down()

    async def _farewell(self, code: int, reason: str, words: str | None = None) -> None:
        """Tell the client the last words, and close; one that does not read is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                if not self._client.accepted:
                    await self._client.accept(None)
                if words is not None:
                    await self._client.say(words)
                await self._client.close(code, reason)


def _shutting_down() -> Refused:
    return Refused(1001, "shutting_down", DRAINING)


async def _cancelled(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
