"""A WebSocket connection to a replica, whose messages are handed on where they were received."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from fastvideo.entrypoints.streaming.router.frames import CLOSE, PING, Control, FrameError, FrameFollower, Message
from fastvideo.entrypoints.streaming.router.tls import replica_context

# More than any message that a server may send: a snapshot of 40 MB.
MAX_MESSAGE_BYTES = 64 << 20
PING_INTERVAL_S = 10.0
PING_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0
_HEAD_BYTES = 4 << 10
_MAX_HEAD_BYTES = 64 << 10
_END_OF_HEAD: Final = b"\r\n\r\n"


class LinkFailed(Exception):
    """No connection to the replica; ``status`` is that of its answer, when there was one."""

    def __init__(self, reason: str, status: int | None = None, *, nobody_listens: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.nobody_listens = nobody_listens


@dataclass(frozen=True)
class LinkEnd:
    """How a connection ended. ``clean``: with a close frame of the replica, which said this."""

    code: int
    reason: str
    clean: bool


class LinkClosed(Exception):
    """The connection has ended, and everything that came before is read."""

    def __init__(self, end: LinkEnd) -> None:
        super().__init__(end)
        self.end = end


# Takes a message; tells whether its views are not needed any more. If they are, ReplicaLink.resume() says when not.
Taker = Callable[[Message], bool]


class ReplicaLink(asyncio.BufferedProtocol):
    """One connection. Messages are received one by one, or handed to a taker as soon as they are whole.

    While somebody still needs a message, nothing more is read: a slow taker slows the replica down.
    """

    def __init__(self, protocol: ClientProtocol, request: Request, max_message_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._protocol = protocol
        self._request = request
        self._transport: asyncio.Transport | None = None
        # The handshake may be over before anybody waits for it.
        self._opened: asyncio.Future[None] = loop.create_future()
        self._opened.add_done_callback(_look_at)
        self._shaking_hands = True
        self._head = bytearray()
        self._head_space = memoryview(bytearray(_HEAD_BYTES))
        self._follower = FrameFollower(max_message_bytes=max_message_bytes)
        self._take: Taker | None = None
        self._received: asyncio.Future[Message] | None = None
        self._unread: Message | None = None
        self._held = False
        self._handing_on = False
        self._end: LinkEnd | None = None
        self._gone = False
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard_s = loop.time()
        self._pinged = False
        self._ping_timer: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[LinkEnd] = loop.create_future()

    @classmethod
    async def connect(
        cls,
        url: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        subprotocols: Sequence[str] = (),
        timeout_s: float,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        ca_file: str | None = None,
    ) -> ReplicaLink:
        """Connect to ``target`` (path and query) at the replica's http(s) ``url``. Raises LinkFailed.

        ``ca_file``: see :func:`replica_context`.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        uri = parse_uri(f"{'wss' if secure else 'ws'}://{parts.netloc}/")
        offered = [cast(Subprotocol, name) for name in subprotocols] or None
        protocol = ClientProtocol(uri, subprotocols=offered)
        request = protocol.connect()
        request.path = target
        for name, value in headers:
            if name.lower() == "host":
                del request.headers["Host"]
            request.headers[name] = value
        link: ReplicaLink | None = None
        try:
            async with asyncio.timeout(timeout_s):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: cls(protocol, request, max_message_bytes),
                    uri.host,
                    uri.port,
                    ssl=replica_context(ca_file) if secure else None,
                )
                await link._opened
        except TimeoutError:
            raise LinkFailed("no answer in time") from None
        except OSError as error:
            raise LinkFailed(type(error).__name__, nobody_listens=isinstance(error, ConnectionRefusedError)) from None
        finally:
            if link is not None and link._shaking_hands:
                link.abort()
        return link

    @property
    def subprotocol(self) -> str | None:
        """What the replica chose of those that were offered."""
        return self._protocol.subprotocol

    # --- messages

    async def receive(self) -> Message:
        """The next message, valid until the next call. Raises LinkClosed. For one task, and before :meth:`relay`."""
        if (unread := self._unread) is not None:
            self._unread = None
            return unread
        received: asyncio.Future[Message] = self._loop.create_future()
        self._received = received
        self.resume()
        try:
            await asyncio.wait((received, self.ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._unread = received.result() if received.done() else None
            raise
        finally:
            self._received = None
        if received.done():
            return received.result()
        raise LinkClosed(self.ended.result())

    def relay(self, take: Taker, received: Message | None = None) -> None:
        """Hand every further message to ``take``, in order, beginning with the one that was received last."""
        self._take = take
        if received is None or take(received):
            self.resume()

    def resume(self) -> None:
        """The message that was taken last is not needed any more."""
        if self._held:
            self._held = False
            # Silence was ours.
            self._heard_s = self._loop.time()
        self._hand_on()

    async def send(self, frame: str | bytes) -> None:
        """Send a message; waits while the replica does not read. Raises LinkClosed."""
        await self._writable.wait()
        if self._end is not None or self._closing or self._transport is None:
            raise LinkClosed(self._end or LinkEnd(1006, "", False))
        opcode, data = (Opcode.TEXT, frame.encode()) if isinstance(frame, str) else (Opcode.BINARY, frame)
        self._transport.write(Frame(opcode, data).serialize(mask=True))

    def close(self, code: int, reason: str) -> None:
        """Leave with this close frame; 1005 is one without a code. What still comes is dropped."""
        self._take = _drop
        if self._end is None and not self._closing and self._transport is not None:
            self._closing = True
            self._write(Opcode.CLOSE, b"" if code == 1005 else Close(code, reason).serialize())
            self._loop.call_later(CLOSE_TIMEOUT_S, self.abort)
        self.resume()

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._take = _drop
        if self._transport is not None:
            self._transport.abort()

    # --- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._request)
        self._transport.write(b"".join(self._protocol.data_to_send()))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._head_space if self._shaking_hands else self._follower.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_s = self._loop.time()
        self._pinged = False
        if self._shaking_hands:
            self._head += self._head_space[:nbytes]
            self._read_head()
        else:
            self._follower.received(nbytes)
            self._hand_on()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._writable.set()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        if not self._opened.done():
            self._opened.set_exception(LinkFailed("the connection was closed during the handshake"))
        if self._end is None:
            self._end = LinkEnd(1006, "", False)
        self._hand_on()

    def _read_head(self) -> None:
        end = self._head.find(_END_OF_HEAD)
        if end < 0 and len(self._head) < _MAX_HEAD_BYTES:
            return
        failure = self._fault_of_head(bytes(self._head[: end + len(_END_OF_HEAD)])) if end >= 0 else "a head too long"
        if self._opened.done():
            return
        if failure is not None:
            self._opened.set_exception(failure if isinstance(failure, LinkFailed) else LinkFailed(failure))
            return
        rest = bytes(self._head[end + len(_END_OF_HEAD) :])
        self._head, self._head_space, self._shaking_hands = bytearray(), memoryview(b""), False
        self._ping_timer = self._loop.call_later(PING_INTERVAL_S, self._watch)
        self._opened.set_result(None)
        self._follower.feed(rest)
        self._hand_on()

    def _fault_of_head(self, head: bytes) -> LinkFailed | str | None:
        status = head[9:12]
        if head.startswith(b"HTTP/1.") and status.isdigit() and status != b"101":
            # Its body is not looked at.
            return LinkFailed(f"HTTP {status.decode()}", int(status))
        self._protocol.receive_data(head)
        events = self._protocol.events_received()
        if self._protocol.handshake_exc is None and events and isinstance(events[0], Response):
            return None
        fault = self._protocol.handshake_exc
        return "not a valid handshake" if isinstance(fault, InvalidHandshake) else "not an answer in HTTP"

    def _hand_on(self) -> None:
        """Give what is whole to whoever waits for it, and read on unless somebody still needs what they were given."""
        if self._handing_on or self._shaking_hands:
            return
        self._handing_on = True
        try:
            while not self._held and self._wanted():
                event = self._follower.next_event()
                if event is None:
                    break
                if isinstance(event, Control):
                    self._answer(event)
                elif self._end is None or not self._end.clean:
                    self._held = not self._give(event)
        except FrameError as error:
            # What comes next cannot be told from what should.
            self._end = LinkEnd(1006, "", False)
            self._write(Opcode.CLOSE, Close(error.code, "").serialize())
            self.abort()
            self._finish()
        else:
            self._read_on()
        finally:
            self._handing_on = False

    def _wanted(self) -> bool:
        return self._take is not None or self._received is not None

    def _give(self, message: Message) -> bool:
        if self._take is not None:
            return self._take(message)
        assert self._received is not None
        self._received.set_result(message)
        self._received = None
        return False

    def _read_on(self) -> None:
        transport = self._transport
        assert transport is not None
        if self._held or not self._wanted():
            if not self._gone:
                transport.pause_reading()
            return
        self._follower.release()
        if self._end is not None:
            self._finish()
        elif not self._gone:
            transport.resume_reading()

    def _finish(self) -> None:
        if not self.ended.done():
            self.ended.set_result(self._end or LinkEnd(1006, "", False))

    def _answer(self, control: Control) -> None:
        if control.opcode == PING:
            self._write(Opcode.PONG, control.payload)
        elif control.opcode == CLOSE and self._end is None:
            try:
                close = Close.parse(control.payload)
            except (ProtocolError, UnicodeDecodeError):
                raise FrameError("a close frame that says nothing valid") from None
            if not self._closing:
                self._write(Opcode.CLOSE, control.payload)
            self._end = LinkEnd(close.code, close.reason, True)
            if self._transport is not None:
                self._transport.close()

    def _write(self, opcode: Opcode, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(Frame(opcode, data).serialize(mask=True))

    def _watch(self) -> None:
        """A replica that is silent is asked, and given up when it does not answer."""
        silent_s = self._loop.time() - self._heard_s
        if self._held or not self._wanted():
            self._heard_s = self._loop.time()
        elif silent_s > PING_INTERVAL_S + PING_TIMEOUT_S:
            self.abort()
            return
        elif silent_s >= PING_INTERVAL_S and not self._pinged:
            self._pinged = True
            self._write(Opcode.PING, b"")
        self._ping_timer = self._loop.call_later(PING_INTERVAL_S / 2, self._watch)


def _look_at(opened: asyncio.Future[None]) -> None:
    """A failure that nobody waits for any more is none to be reported."""
    if not opened.cancelled():
        opened.exception()


def _drop(message: Message) -> bool:
    return True
