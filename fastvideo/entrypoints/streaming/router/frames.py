"""WebSocket frames as a server sends them (RFC 6455, 5.2), followed without copying what they carry.

The follower owns one buffer. Bytes are received straight into it, whole messages are handed out as views of it, and
the place is taken again once :meth:`FrameFollower.release` says that nobody looks at them any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_CONTINUATION: Final = 0x0
_CONTROL: Final = 0x8

# Enough for a session without media; it grows with the first fragment.
BUFFER_BYTES = 16 << 10
# What came while the client read is fetched in few large pieces: that costs the kernel least.
BACKLOG_BYTES = 2 << 20
# A buffer that grew beyond this is given back as soon as nothing lies in it.
KEPT_BYTES = 1 << 20
# Of one message: each takes some memory, however little it carries.
MAX_FRAMES = 65_536
_MAX_CONTROL_BYTES = 125


class FrameError(ValueError):
    """Bytes that no WebSocket server may send; ``code`` is the close code that says so."""

    def __init__(self, message: str, code: int = 1002) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Message:
    """A whole text or binary message. ``wire``: its frames as they came; ``parts``: what they carry."""

    opcode: int
    wire: tuple[memoryview, ...]
    parts: tuple[memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes that it carries."""
        return len(self.parts[0]) if len(self.parts) == 1 else sum(len(part) for part in self.parts)

    def payload(self) -> bytes:
        """A copy of what it carries."""
        return b"".join(self.parts)

    def head(self, count: int) -> bytes:
        """At most ``count`` bytes of its beginning."""
        return self.payload()[:count] if len(self.parts) > 1 else bytes(self.parts[0][:count])


@dataclass(slots=True)
class Control:
    """A ping, a pong or a close frame, with a copy of what it carries."""

    opcode: int
    payload: bytes


class FrameFollower:
    """Finds messages and control frames in a server's bytes, however they are cut.

    Use: receive into :meth:`space`, tell :meth:`received` how much came, take each :meth:`next_event` until there is
    none, then :meth:`release`. ``max_message_bytes`` bounds a message, and with it the buffer.
    """

    def __init__(self, *, max_message_bytes: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer_bytes = buffer_bytes
        self._view = memoryview(bytearray(buffer_bytes))
        self._end = 0  # of what was received
        self._start = 0  # of the message that is not whole yet
        self._at = 0  # of the next frame
        self._frames: list[tuple[int, int, int]] = []  # of that message: start, start of the payload, end
        self._opcode = 0
        self._carried = 0
        self._needed = 2

    def space(self) -> memoryview:
        """Where the next bytes are to be received; never empty. Whatever came before must be released."""
        size = len(self._view)
        wanted = self._needed - self._start
        if wanted > size:
            # More than it needs now: the next one may be larger, and only its last frame tells how long a message is.
            self._move(max(wanted, 2 * size))
        elif self._end == size < BACKLOG_BYTES:
            # There was no room for all that had come.
            self._move(min(4 * size, BACKLOG_BYTES))
        elif self._needed > size:
            self._move(size)
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """So many bytes were put into :meth:`space`."""
        self._end += count

    def feed(self, data: bytes) -> None:
        """Take bytes that were received elsewhere."""
        self._needed = max(self._needed, self._end + len(data))
        self.space()[: len(data)] = data
        self._end += len(data)

    def next_event(self) -> Message | Control | None:
        """What comes next in order, if it is whole now; each once. Raises FrameError."""
        while (frame := self._next_frame()) is not None:
            opcode, final, payload, end = frame
            begin, self._at = self._at, end
            if opcode & _CONTROL:
                if not self._frames:
                    self._start = end
                return Control(opcode, bytes(self._view[payload:end]))
            if final and not self._frames:
                self._start, self._carried = end, 0
                return Message(self._opcode, (self._view[begin:end],), (self._view[payload:end],))
            self._frames.append((begin, payload, end))
            if final:
                frames, self._frames = self._frames, []
                self._start, self._carried = end, 0
                return Message(
                    self._opcode,
                    tuple(self._view[start:stop] for start, _, stop in frames),
                    tuple(self._view[body:stop] for _, body, stop in frames),
                )
        return None

    def release(self) -> None:
        """Nobody looks at what :meth:`next_event` gave any more: its place may be overwritten."""
        if self._start == self._end:
            self._start = self._end = self._at = 0
            self._needed = 2
            if len(self._view) > KEPT_BYTES:
                self._view = memoryview(bytearray(self._buffer_bytes))

    @property
    def in_message(self) -> bool:
        """Whether part of a message, or of a frame, has come."""
        return self._start != self._end

    def _move(self, size: int) -> None:
        """Have what is left of a message at the front of a buffer of this size."""
        begin, held = self._start, self._end - self._start
        view = self._view if size == len(self._view) else memoryview(bytearray(size))
        view[:held] = self._view[begin : self._end]
        self._view = view
        self._frames = [(start - begin, body - begin, stop - begin) for start, body, stop in self._frames]
        self._at -= begin
        self._needed -= begin
        self._start, self._end = 0, held

    def _next_frame(self) -> tuple[int, bool, int, int] | None:
        """The next frame's opcode, whether it is final, and where its payload starts and ends; None if not whole."""
        view, at = self._view, self._at
        have = self._end - at
        if have < 2:
            self._needed = at + 2
            return None
        first, second = view[at], view[at + 1]
        length, header = second & 0x7F, 2
        if length >= 126:
            header = 4 if length == 126 else 10
            if have < header:
                self._needed = at + header
                return None
            length = int.from_bytes(view[at + 2 : at + header], "big")
        opcode, final = first & 0x0F, first >= 0x80
        if first & 0x70 or second & 0x80:
            raise FrameError("a server's frame with reserved bits or a mask")
        self._check(opcode, final, length)
        if have < header + length:
            self._needed = at + header + length
            return None
        if not opcode & _CONTROL:
            self._carried += length
            self._opcode = opcode or self._opcode
        return opcode, final, at + header, at + header + length

    def _check(self, opcode: int, final: bool, length: int) -> None:
        if opcode in (CLOSE, PING, PONG):
            if not final or length > _MAX_CONTROL_BYTES:
                raise FrameError("a control frame that is cut or too long")
        elif opcode not in (TEXT, BINARY, _CONTINUATION):
            raise FrameError(f"a frame of the unknown kind {opcode}")
        elif bool(self._frames) != (opcode == _CONTINUATION):
            raise FrameError("a message that begins inside another, or goes on without a beginning")
        elif self._carried + length > self._max_message_bytes or len(self._frames) >= MAX_FRAMES:
            raise FrameError(f"a message of more than {self._max_message_bytes} bytes or {MAX_FRAMES} frames", 1009)
