"""The bytes between a pool and its worker processes: a fixed prefix, a msgpack header, then raw buffers.

``magic`` "FVW1", header length (u32), body length (u64), all little-endian. The header names the message and the sizes
of its buffers; what can be large (media, states, requests) is a buffer, which is neither copied into the header nor
parsed on the way. Nothing is unpickled, every length is bounded, and whatever else does not fit is a WireError.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence

import msgspec

from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.streaming.worker_buffers import Buffer, WireError
from fastvideo.entrypoints.streaming.worker_headers import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    Envelope,
    decode_header,
    encode_header,
)
from fastvideo.entrypoints.streaming.worker_messages import Message
from fastvideo.entrypoints.streaming.worker_parts import put_together, take_apart

MAGIC = b"FVW1"
_PREFIX = struct.Struct("<4sIQ")
PREFIX_BYTES = _PREFIX.size


def encode(message: Message) -> list[Buffer]:
    """A message as buffers to write one after the other. Raises ConfigValidationError or StateInvalid for a request or
    state that holds more than JSON values, WireError for one beyond the bounds."""
    header, buffers = take_apart(message)
    envelope = encode_header(Envelope(header, [len(buffer) for buffer in buffers]))
    body_bytes = sum(len(buffer) for buffer in buffers)
    if len(envelope) > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError(
            f"{type(message).__name__}: a header of {len(envelope)} and a body of {body_bytes} bytes are more than "
            f"{MAX_HEADER_BYTES} and {MAX_BODY_BYTES}"
        )
    return [_PREFIX.pack(MAGIC, len(envelope), body_bytes) + envelope, *(buffer for buffer in buffers if len(buffer))]


def send_buffers(connection: socket.socket, buffers: Sequence[Buffer]) -> None:
    """Send an encoded message, as a rule in one go, so that who reads it wakes up once. Raises OSError."""
    left = [memoryview(buffer) for buffer in buffers]
    while left:
        sent = connection.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]


def lengths(received: Buffer) -> tuple[int, int]:
    """The bytes of header and body that follow the prefix which ``received`` begins with. Raises WireError for another
    beginning and for lengths beyond the bounds."""
    magic, header_bytes, body_bytes = _PREFIX.unpack_from(received)
    if magic != MAGIC:
        raise WireError(f"expected a message, which begins with {MAGIC!r}, got {magic!r}")
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError(f"a header of {header_bytes} and a body of {body_bytes} bytes are beyond the bounds")
    return header_bytes, body_bytes


class MessageReader:
    """Turns what arrives, in pieces of any size, into messages."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._wanted = PREFIX_BYTES

    def feed(self, data: Buffer) -> Iterator[Message]:
        """The messages that are whole now. Raises WireError for bytes that are none; nothing can be read after it."""
        arrived = data
        if self._received:
            self._received += data
            if len(self._received) < self._wanted:
                return
            arrived, self._received = self._received, bytearray()
        # Messages are read where they lie, as media and states are large.
        rest = memoryview(arrived).toreadonly()
        while len(rest) >= PREFIX_BYTES:
            header_bytes, body_bytes = lengths(rest)
            self._wanted = PREFIX_BYTES + header_bytes + body_bytes
            if len(rest) < self._wanted:
                break
            whole, rest = rest[PREFIX_BYTES : self._wanted], rest[self._wanted :]
            self._wanted = PREFIX_BYTES
            yield _decode(whole, header_bytes)
        self._received += rest

    @property
    def in_message(self) -> bool:
        """Whether the end of what arrived lies within a message."""
        return bool(self._received)


def _decode(whole: memoryview, header_bytes: int) -> Message:
    try:
        envelope = decode_header(whole[:header_bytes])
        if header_bytes + sum(envelope.sizes) != len(whole):
            raise WireError(f"buffers of {envelope.sizes} bytes do not fill a body of {len(whole) - header_bytes}")
        buffers: list[Buffer] = []
        start = header_bytes
        for size in envelope.sizes:
            buffers.append(whole[start : start + size])
            start += size
        return put_together(envelope.header, buffers)
    except WireError:
        raise
    except (msgspec.MsgspecError, FastVideoError, ValueError, TypeError, RecursionError) as error:
        raise WireError(f"a message that cannot be read: {error}") from error
