"""The asyncio client: a session on `WS /v1/stream`, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Response

from fastvideo.client.comeback import Comeback
from fastvideo.client.errors import SegmentStopped, StreamClosed, StreamError
from fastvideo.client.stream_protocol import Event, InitSegment, Media, MediaFragment, StreamProtocol
from fastvideo.entrypoints.streaming.protocol import (
    ClientMessage,
    ContinuationStateSnapshot,
    ErrorMessage,
    GenerationPausedUpdated,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    MediaSegmentComplete,
    Ping,
    PlaybackStatus,
    Pong,
    PromptStatus,
    QueueStatus,
    SegmentCancel,
    SegmentCancelled,
    SegmentPromptSource,
    SessionInitV2,
    SessionResume,
    SessionStop,
    SnapshotState,
    encode_client_message,
)

# A snapshot is at most 40 MB of JSON.
MAX_MESSAGE_BYTES = 64 << 20
OPEN_TIMEOUT_S = 10.0
API_KEY_VARIABLE = "FASTVIDEO_API_KEY"
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
# What servers close with that cannot go on themselves; 1012 is said by proxies.
_SENT_AWAY = frozenset({1001, 1011, 1012, 1013})

Answer = TypeVar("Answer", Ltx2StreamStart, Ltx2StreamComplete, ContinuationStateSnapshot, Pong)


@dataclass
class ReceivedSegment:
    """A whole segment: its init segment, fragments in order, and the messages that framed it."""

    start: Ltx2SegmentStart
    init: InitSegment | None = None
    fragments: list[MediaFragment] = field(default_factory=list)
    media_complete: MediaSegmentComplete | None = None
    complete: Ltx2SegmentComplete | None = None

    @property
    def parts(self) -> list[Media]:
        """Its media in the order in which it came."""
        return [*([self.init] if self.init else []), *self.fragments]

    @property
    def media(self) -> bytes:
        """The segment as one playable file."""
        return b"".join(part.data for part in self.parts)


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
        self._connection = connection
        self._url = url
        self._api_key = api_key
        self._open_timeout_s = open_timeout_s
        self._asked: list[ClientMessage] = []
        self._open_prompts: dict[str, SegmentPromptSource] = {}
        self._left = False
        self._comeback = Comeback(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self.resumed = 0
        self._reading = asyncio.Lock()
        self._events: deque[Event] = deque()
        self._watchers: list[Callable[[Event], None]] = []
        self.protocol = StreamProtocol()

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
        if api_key is None:
            api_key = os.environ.get(API_KEY_VARIABLE) or None
        try:
            connection = await _connected(url, open_timeout_s, api_key)
        except InvalidStatus as error:
            raise _refused(error.response) or StreamClosed(1006, f"{url}: {error}", None) from error
        except InvalidHandshake as error:
            raise StreamClosed(1006, f"{url}: {error}", None) from error
        client = cls(connection, url=url if resume else None, open_timeout_s=open_timeout_s, api_key=api_key)
        try:
            await client.send(opening if opening is not None else SessionInitV2())
        except StreamClosed as closed:
            raise (StreamError(closed.error) if closed.error else closed) from None
        return client

    async def started(self) -> Ltx2StreamStart:
        """Wait until the session is active; raises StreamError when the server refuses it."""
        return self.protocol.start or await self._wait_for(Ltx2StreamStart)

    async def send(self, message: ClientMessage) -> None:
        """Send any client message; raises StreamClosed."""
        if isinstance(message, SegmentPromptSource) and message.request_id is not None:
            self._open_prompts[message.request_id] = message
        while True:
            connection = self._connection
            try:
                await connection.send(encode_client_message(message))
                return
            except ConnectionClosed:
                # What the server said before it closed is still to be read; a connection that broke is replaced.
                await self._read(until=lambda: self._connection is not connection)  # noqa: B023

    async def prompt(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> str:
        """Ask for a segment; returns the `request_id` that `prompt_status` messages about it carry."""
        request_id = uuid.uuid4().hex
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
        request_id = await self.prompt(prompt)
        received: ReceivedSegment | None = None
        ours = False
        async for event in self:
            match event:
                case PromptStatus(request_id=about) if about == request_id:
                    if event.status == "rejected":
                        raise SegmentStopped(f"the prompt was rejected: {event.reason or 'no reason given'}")
                    ours = event.status == "applied"
                case Ltx2SegmentStart():
                    received = ReceivedSegment(event)
                case InitSegment() if received:
                    received.init = event
                case MediaFragment() if received:
                    received.fragments.append(event)
                case MediaSegmentComplete() if received:
                    received.media_complete = event
                case Ltx2SegmentComplete() if received:
                    received.complete = event
                    if ours:
                        return received
                case SegmentCancelled() if ours:
                    raise SegmentStopped(f"segment {event.segment_idx} was cancelled")
                case ErrorMessage():
                    raise StreamError(event)
        raise self._closed()

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
    def close_code(self) -> int | None:
        """How the connection was closed, or None while it is open."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """Why the connection was closed, or None while it is open."""
        return self._connection.close_reason

    async def close(self) -> None:
        """Leave: the server ends the session at once. May be called again."""
        self._left = True
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, question: ClientMessage, answer: type[Answer], *, fails: bool = False) -> Answer:
        found: list[Answer | ErrorMessage] = []
        self._asked.append(question)
        try:
            with self._watching(answer, found, fails):
                await self.send(question)
                return await self._first(found)
        finally:
            self._asked.remove(question)

    async def _wait_for(self, answer: type[Answer]) -> Answer:
        found: list[Answer | ErrorMessage] = []
        with self._watching(answer, found, True):
            return await self._first(found)

    async def _first(self, found: list[Answer | ErrorMessage]) -> Answer:
        await self._read(until=lambda: bool(found))
        first = found[0]
        if isinstance(first, ErrorMessage):
            raise StreamError(first)
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
                try:
                    frame = await self._connection.recv()
                except ConnectionClosed:
                    if await self._come_back():
                        continue
                    raise self._closed() from None
                event: Event
                if isinstance(frame, str):
                    event = self.protocol.receive_text(frame)
                else:
                    event = self.protocol.receive_bytes(frame)
                self._heard(event)

    def _heard(self, event: Event) -> None:
        if isinstance(event, PromptStatus) and event.status != "pending":
            # Until a segment uses it, it may be lost with its server.
            self._open_prompts.pop(event.request_id, None)
        self._events.append(event)
        for watch in self._watchers:
            watch(event)

    async def _come_back(self) -> bool:
        """Go on with the session over a new connection, if it may be gone on with."""
        message, loop = self.protocol.resumption(), asyncio.get_running_loop()
        if self._url is None or message is None or not self._may_go_on():
            return False
        self._comeback.lost(loop.time(), self.protocol.last_sequence, self.protocol.resume_grace_s)
        refusal = self.protocol.farewell
        # Nobody asked for patience where the link broke.
        waits = self._connection.protocol.close_rcvd is not None
        while not self._left:
            if waits:
                retry_after_s = refusal.retry_after if refusal is not None else None
                pause_s = self._comeback.pause_s(loop.time(), random.random(), retry_after_s)
                if pause_s is None:
                    return False
                await asyncio.sleep(pause_s)
            waits, refusal = True, None
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                answer = await self._ask_to_go_on(self._url, message)
                if isinstance(answer, QueueStatus):
                    return True
                if not isinstance(answer, ErrorMessage) or not answer.retryable:
                    return False
                refusal = answer
        return False

    def _may_go_on(self) -> bool:
        protocol, received = self.protocol, self._connection.protocol.close_rcvd
        if self._left or protocol.ending is not None:
            return False
        if received is None:
            return True
        # A session that never was active is stored nowhere.
        asked_to = protocol.farewell is None or protocol.farewell.retryable
        return received.code in _SENT_AWAY and protocol.start is not None and asked_to

    async def _ask_to_go_on(self, url: str, message: SessionResume) -> Event | None:
        """The server's answer over a new connection, which takes the old one's place if it is granted."""
        connection = await _connected(url, self._open_timeout_s, self._api_key)
        await connection.send(encode_client_message(message))
        async with asyncio.timeout(self._open_timeout_s):
            frame = await connection.recv()
        answer = self.protocol.receive_answer(frame) if isinstance(frame, str) else None
        if isinstance(answer, QueueStatus) or self.protocol.farewell is None:
            # Else the old one's close tells better why the stream is over.
            self._connection = connection
        if isinstance(answer, QueueStatus):
            self.resumed += 1
            self._comeback.back(asyncio.get_running_loop().time())
            for again in (*self._open_prompts.values(), *self._asked):
                await connection.send(encode_client_message(again))
        else:
            async with asyncio.timeout(self._open_timeout_s):
                await connection.wait_closed()
        return answer

    def _closed(self) -> StreamClosed:
        connection = self._connection
        error = self.protocol.farewell or self.protocol.last_error
        return StreamClosed(connection.close_code or 1006, connection.close_reason or "", error)


async def _connected(url: str, open_timeout_s: float, api_key: str | None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key is not None else None
    return await connect(
        url, compression=None, max_size=MAX_MESSAGE_BYTES, open_timeout=open_timeout_s, additional_headers=headers
    )


def _refused(response: Response) -> StreamError | None:
    """What a server says that does not let this client in; None for an answer that is no such thing."""
    if response.status_code not in (401, 403):
        return None
    try:
        said = _Refusal.model_validate_json(response.body or b"").error.message
    except ValidationError:
        said = f"The server answered with HTTP {response.status_code}."
    return StreamError(ErrorMessage(code="session_rejected", message=said, reason="unauthorized"))


class _Said(BaseModel):
    message: str


class _Refusal(BaseModel):
    error: _Said
