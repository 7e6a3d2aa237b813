"""The asyncio client: a session on `WS /v1/stream`, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from fastvideo.client.errors import StreamClosed, stream_error
from fastvideo.client.handshake import OPEN_TIMEOUT_S, first_socket, key_to_show
from fastvideo.client.received_segment import ReceivedSegment, SegmentCollector
from fastvideo.client.session_link import SessionLink
from fastvideo.client.stream_protocol import Event, StreamProtocol
from fastvideo.entrypoints.streaming.protocol import (
    ClientMessage,
    ContinuationStateSnapshot,
    ErrorMessage,
    GenerationPausedUpdated,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    Ping,
    PlaybackStatus,
    Pong,
    SegmentCancel,
    SegmentPromptSource,
    SessionInitV2,
    SessionStop,
    SnapshotState,
    encode_client_message,
)

Answer = TypeVar("Answer", Ltx2StreamStart, Ltx2StreamComplete, ContinuationStateSnapshot, Pong)


class StreamClient:
    """A session on a server: send prompts, iterate over events.

    Nothing is read ahead of whoever iterates or waits, so a slow reader slows the server down. Several tasks may wait
    at once; what one of them reads past stays there for the iteration, in order.

    A connection that breaks is replaced, and so is one that is closed by a server that goes away, fails, starts again
    or has no room (1001, 1011, 1012, 1013): with growing pauses between attempts, as long as the session is waited for.
    The events go on where they were. `resumed` counts that.
    """

    def __init__(
        self,
        connection: ClientConnection,
        *,
        url: str | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        api_key: str | None = None,
    ) -> None:
        self._link = SessionLink(connection, url, open_timeout_s, api_key)
        self._reading = asyncio.Lock()
        self._events: deque[Event] = deque()
        self._watchers: list[Callable[[Event], None]] = []

    @classmethod
    async def connect(
        cls,
        url: str,
        opening: SessionInitV2 | None = None,
        *,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        resume: bool = True,
        api_key: str | None = None,
    ) -> Self:
        """Connect to `ws://host:port/v1/stream` and send the opening message. `resume`: come back when the connection
        breaks. `api_key`: for servers that ask for one; None is FASTVIDEO_API_KEY of the environment, if it is set.

        Raises OSError or TimeoutError when nobody answers, StreamClosed when it is no WebSocket that does, and
        StreamError when the server refuses at once; otherwise `started` tells.
        """
        api_key = key_to_show(api_key)
        connection = await first_socket(url, open_timeout_s, api_key)
        client = cls(connection, url=url if resume else None, open_timeout_s=open_timeout_s, api_key=api_key)
        try:
            await client.send(opening if opening is not None else SessionInitV2())
        except StreamClosed as closed:
            raise (stream_error(closed.error) if closed.error else closed) from None
        return client

    async def started(self) -> Ltx2StreamStart:
        """Wait until the session is active; raises StreamError when the server refuses it."""
        return self.protocol.start or await self._wait_for(Ltx2StreamStart)

    async def send(self, message: ClientMessage) -> None:
        """Send any client message; raises StreamClosed."""
        self._link.keep(message)
        while True:
            connection = self._link.connection
            try:
                await connection.send(encode_client_message(message))
                return
            except ConnectionClosed:
                # What the server said before it closed is still to be read; a connection that broke is replaced.
                await self._read(until=lambda: self._link.connection is not connection)  # noqa: B023

    @staticmethod
    def new_request_id() -> str:
        """A name for a prompt that no other has."""
        return uuid.uuid4().hex

    async def prompt(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        request_id: str | None = None,
    ) -> str:
        """Ask for a segment; returns the `request_id` that `prompt_status` messages about it carry."""
        request_id = request_id or self.new_request_id()
        message = SegmentPromptSource(
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            request_id=request_id,
        )
        await self.send(message)
        return request_id

    async def cancel(self) -> None:
        """Stop the running segment; the session goes on."""
        await self.send(SegmentCancel())

    async def stop(self) -> Ltx2StreamComplete:
        """End the stream cleanly and wait for its completing message, also when it has ended by itself."""
        try:
            return self.protocol.ending or await self._ask(SessionStop(), Ltx2StreamComplete)
        except StreamClosed:
            if self.protocol.ending is None:
                raise
            return self.protocol.ending

    async def pause(self, paused: bool = True) -> None:
        """Hold generation after the running segment, or let it go on."""
        await self.send(GenerationPausedUpdated(paused=paused))

    async def snapshot(self) -> ContinuationStateSnapshot:
        """The session's state, also while a segment runs; raises StreamError when there is none yet."""
        return await self._ask(SnapshotState(), ContinuationStateSnapshot, fails=True)

    async def ping(self) -> None:
        """One round trip to the server's session, also while a segment runs."""
        await self._ask(Ping(id=uuid.uuid4().hex), Pong)

    async def report_playback(self, position_ms: float, buffered_ms: float, stalls: int) -> None:
        """Tell the server where the viewer is."""
        await self.send(PlaybackStatus(position_ms=position_ms, buffered_ms=buffered_ms, stalls=stalls))

    async def segment(self, prompt: str) -> ReceivedSegment:
        """Ask for one segment and collect it. Raises StreamError or SegmentStopped; consumes the events in between."""
        collector = SegmentCollector(await self.prompt(prompt))
        while True:
            segment = collector.add(await self.receive())
            if segment is not None:
                return segment

    async def receive(self) -> Event:
        """The next event; raises StreamClosed at the end of the connection, ProtocolViolation on nonsense."""
        await self._read(until=lambda: bool(self._events))
        return self._events.popleft()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events until the connection closes; `close_code` then says how."""
        while True:
            try:
                event = await self.receive()
            except StreamClosed:
                return
            yield event

    @property
    def protocol(self) -> StreamProtocol:
        """What is known of the session: its start, its last error, its ending, and how far it has come."""
        return self._link.protocol

    @property
    def resumed(self) -> int:
        """How often the session went on over another connection."""
        return self._link.resumed

    @property
    def close_code(self) -> int | None:
        """How the connection was closed, or None while it is open."""
        return self._link.connection.close_code

    @property
    def close_reason(self) -> str | None:
        """Why the connection was closed, or None while it is open."""
        return self._link.connection.close_reason

    async def close(self) -> None:
        """Leave: the server ends the session at once. May be called again."""
        await self._link.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, question: ClientMessage, answer: type[Answer], *, fails: bool = False) -> Answer:
        found: list[Answer | ErrorMessage] = []
        self._link.asked.append(question)
        try:
            with self._watching(answer, found, fails):
                await self.send(question)
                return await self._first(found)
        finally:
            self._link.asked.remove(question)

    async def _wait_for(self, answer: type[Answer]) -> Answer:
        found: list[Answer | ErrorMessage] = []
        with self._watching(answer, found, True):
            return await self._first(found)

    async def _first(self, found: list[Answer | ErrorMessage]) -> Answer:
        await self._read(until=lambda: bool(found))
        first = found[0]
        if isinstance(first, ErrorMessage):
            raise stream_error(first)
        return first

    @contextmanager
    def _watching(self, answer: type[Answer], found: list[Answer | ErrorMessage], fails: bool) -> Iterator[None]:
        def watch(event: Event) -> None:
            if isinstance(event, answer) or (fails and isinstance(event, ErrorMessage)):
                found.append(event)

        self._watchers.append(watch)
        try:
            yield
        finally:
            self._watchers.remove(watch)

    async def _read(self, until: Callable[[], bool]) -> None:
        # One task reads at a time; each looks again for what it wants after another has read.
        while not until():
            async with self._reading:
                if until():
                    return
                event = await self._link.receive()
                if event is not None:
                    self._events.append(event)
                    for watch in self._watchers:
                        watch(event)
