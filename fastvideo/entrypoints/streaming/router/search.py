"""Which replica takes a client's session: they are asked one after the other, until one does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from starlette.websockets import WebSocket

from fastvideo.entrypoints.access.access_control import TOKEN_SUBPROTOCOL
from fastvideo.entrypoints.access.stream_tokens import StreamTokens, TokenInvalid
from fastvideo.entrypoints.streaming.router.forwarded import Header, for_replica
from fastvideo.entrypoints.streaming.router.frames import TEXT, Message
from fastvideo.entrypoints.streaming.router.refusals import NO_REPLICA, UNAUTHORIZED, Refused
from fastvideo.entrypoints.streaming.router.registry import Replica
from fastvideo.entrypoints.streaming.router.replica_link import LinkClosed, LinkEnd, LinkFailed, ReplicaLink
from fastvideo.entrypoints.streaming.router.state import RouterState
from fastvideo.entrypoints.streaming.router.wire_notes import read_server_note

logger = logging.getLogger(__name__)

LAST_WORDS_S = 2.0


@dataclass(frozen=True)
class Handshake:
    """What each replica is told when a connection to it is opened."""

    target: str
    headers: list[Header]
    subprotocols: list[str]

    @classmethod
    def of(cls, websocket: WebSocket, trusted_proxies: list[str]) -> Handshake:
        """The client's own, with who the client is."""
        query = websocket.scope.get("query_string", b"").decode("latin-1")
        headers = for_replica(
            websocket.headers.items(),
            peer=websocket.client.host if websocket.client else None,
            scheme="https" if websocket.scope.get("scheme") == "wss" else "http",
            trusted_proxies=trusted_proxies,
        )
        target = f"/v1/stream?{query}" if query else "/v1/stream"
        return cls(target, headers, list(websocket.scope.get("subprotocols", [])))

    def renewed(self, tokens: StreamTokens | None) -> Handshake:
        """The same with a stream token that holds a while longer, where there is one that ``tokens`` can renew."""
        if tokens is None:
            return self
        headers = [
            (name, _renewed(value, "Bearer ", tokens) if name.lower() == "authorization" else value)
            for name, value in self.headers
        ]
        offered = [_renewed(name, TOKEN_SUBPROTOCOL, tokens) for name in self.subprotocols]
        return Handshake(self.target, headers, offered)


def _renewed(value: str, prefix: str, tokens: StreamTokens) -> str:
    if not value.startswith(prefix):
        return value
    try:
        return prefix + tokens.renewed(value.removeprefix(prefix), time.time())
    except TokenInvalid:
        # An API key, or a token of servers with another secret.
        return value


class Attachment:
    """A connection to a replica, which is counted as one of its sessions until it is left."""

    def __init__(self, replica: Replica, link: ReplicaLink) -> None:
        self.replica = replica
        self.link = link
        self._counted = True

    def leave(self) -> None:
        """Cut the connection. The session is not over because its connection is."""
        self._discount()
        self.link.abort()

    def close(self, code: int, reason: str) -> None:
        """Pass on that the client closed."""
        self._discount()
        self.link.close(code, reason)

    def _discount(self) -> None:
        if self._counted:
            self._counted = False
            self.replica.sessions -= 1


class ReplicaSearch:
    """Goes through the replicas for one session; each is asked once."""

    def __init__(self, router: RouterState, handshake: Handshake) -> None:
        self._router = router
        self._handshake = handshake
        self._tried: set[Replica] = set()
        self._refusal: Refused | None = None

    async def next(self, home: Replica | None = None) -> Attachment:
        """A connection to the best replica that was not asked yet, ``home`` before all others.

        Raises Refused when there is none: with what the last one said that refused, if any did.
        """
        registry = self._router.registry
        while True:
            wanted = home if home is not None and home not in self._tried else registry.select(self._tried)
            if wanted is None:
                raise self._refusal or Refused(1013, "no_healthy_replica", NO_REPLICA)
            self._tried.add(wanted)
            with contextlib.suppress(LinkFailed):
                return await self.attach(wanted)

    async def attach(self, replica: Replica, *, admitted: bool = False) -> Attachment:
        """A connection to this replica. Raises LinkFailed, which counts against it.

        ``admitted``: a replica has let this client in before, whose stream token may be over meanwhile.
        """
        handshake = self._handshake.renewed(self._router.tokens) if admitted else self._handshake
        # Counted from here on: others that come in the same moment are to go elsewhere.
        replica.sessions += 1
        link: ReplicaLink | None = None
        try:
            link = await ReplicaLink.connect(
                replica.url,
                handshake.target,
                handshake.headers,
                subprotocols=handshake.subprotocols,
                timeout_s=self._router.config.connect_timeout_seconds,
                ca_file=self._router.replica_ca_file,
            )
        except LinkFailed as failure:
            await self._note_failure(replica, failure)
            raise
        finally:
            if link is None:
                replica.sessions -= 1
        return Attachment(replica, link)

    def forget(self, replica: Replica) -> None:
        """This one may be asked again: it was left before it could say anything."""
        self._tried.discard(replica)

    async def first_answer(self, at: Attachment) -> Message | None:
        """The replica's first message, or None when it is one that sends the session elsewhere, or there is none."""
        try:
            async with asyncio.timeout(self._router.config.answer_timeout_seconds):
                first = await at.link.receive()
        except LinkClosed as closed:
            self._note_refusal(at, closed.end)
            return None
        except TimeoutError:
            logger.warning("replica %s did not answer an opening message in time", at.replica.endpoint.label)
            self._note_refusal(at, LinkEnd(1006, "", False))
            return None
        return None if await self._refuses(at, first) else first

    async def early_words(self, at: Attachment, spoken: asyncio.Future[Message]) -> None:
        """What a replica said before the opening message: returns when it sends the session elsewhere.

        Raises Refused with what else it says: it closes after that.
        """
        try:
            first = spoken.result()
        except LinkClosed as closed:
            self._note_refusal(at, closed.end)
            return
        if not await self._refuses(at, first):
            words = first.payload().decode(errors="replace")
            raise Refused.after(await self._end_of(at, LinkEnd(1011, "worker_failed", True)), words)

    async def _refuses(self, at: Attachment, first: Message) -> bool:
        if first.opcode != TEXT:
            return False
        note = read_server_note(first)
        if not note.refuses:
            return False
        words = first.payload().decode(errors="replace")
        self._note_refusal(at, await self._end_of(at, LinkEnd(1013, note.code or "", True)), words)
        return True

    async def _end_of(self, at: Attachment, default: LinkEnd) -> LinkEnd:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await at.link.receive()
        except LinkClosed as closed:
            return closed.end if closed.end.clean else default
        except TimeoutError:
            pass
        return default

    def _note_refusal(self, at: Attachment, end: LinkEnd, words: str | None = None) -> None:
        self._router.metrics.refusals.labels(at.replica.endpoint.label).inc()
        if words is not None:
            self._refusal = Refused.after(end, words)

    async def _note_failure(self, replica: Replica, failure: LinkFailed) -> None:
        self._router.metrics.connect_failures.labels(replica.endpoint.label).inc()
        if failure.status in (401, 403):
            # The replica lives, and says no to this client.
            self._refusal = Refused(1008, "unauthorized", UNAUTHORIZED, failure.status)
            return
        logger.warning("replica %s cannot be connected to: %s", replica.endpoint.label, failure)
        await self._router.registry.record_failure(
            replica, failure_threshold=self._router.config.failure_threshold, reason=str(failure)
        )
