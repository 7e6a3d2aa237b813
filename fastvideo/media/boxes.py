"""ISO base media boxes: a writer, and a strict parser that never reads past the bytes it was given.

A box is ``size:u32 kind:4 bytes [size:u64 when size == 1] payload`` (ISO/IEC 14496-12, 4.2). A size of 0 ("to the end
of the file") is refused: a message is a sequence of whole boxes, and every box in it says how long it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEADER_BYTES = 8
LARGE_HEADER_BYTES = 16
FULL_HEADER_BYTES = 4
# In one message or one box: a segment of a minute has 480, and each takes far more memory than its 8 bytes.
MAX_BOXES = 4096
_MAX_U32 = 0xFFFF_FFFF

Buffer = bytes | bytearray | memoryview


class BoxError(ValueError):
    """Bytes that are not the boxes they should be."""


@dataclass(frozen=True)
class Box:
    """A parsed box: ``payload`` is a view into the parsed buffer, ``offset`` where the header starts there."""

    kind: bytes
    offset: int
    size: int
    payload: memoryview

    @property
    def end(self) -> int:
        """Offset of the first byte after the box."""
        return self.offset + self.size

    def children(self, skip_bytes: int = 0) -> list[Box]:
        """Parse the payload after its first ``skip_bytes`` as boxes; offsets stay those of the outer buffer."""
        if skip_bytes > len(self.payload):
            raise BoxError(f"box {name(self.kind)}: {len(self.payload)} payload bytes, expected at least {skip_bytes}")
        return list(_walk(self.payload[skip_bytes:], self.end - len(self.payload) + skip_bytes))

    def child(self, kind: bytes, skip_bytes: int = 0) -> Box:
        """Return the only child of this kind; raises BoxError when there is none or more than one."""
        return only(self.children(skip_bytes), kind, within=name(self.kind))

    def fields(self, layout: str, offset: int = 0) -> tuple[int, ...]:
        """Unpack big-endian integers at ``offset`` of the payload; raises BoxError when it is too short."""
        needed = offset + struct.calcsize(">" + layout)
        if needed > len(self.payload):
            raise BoxError(f"box {name(self.kind)}: {len(self.payload)} payload bytes, expected at least {needed}")
        return struct.unpack_from(">" + layout, self.payload, offset)

    def version_and_flags(self) -> tuple[int, int]:
        """Version and flags at the start of a full box."""
        (word,) = self.fields("I")
        return word >> 24, word & 0xFF_FFFF


def name(kind: bytes) -> str:
    """A box kind for a sentence."""
    return repr(kind.decode("latin-1"))


def only(boxes: list[Box], kind: bytes, within: str) -> Box:
    """Return the only box of this kind in ``boxes``; raises BoxError that names ``within`` otherwise."""
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise BoxError(f"{within}: expected one {name(kind)} box, found {len(found)}")
    return found[0]


def parse_boxes(data: Buffer) -> list[Box]:
    """Parse a buffer that holds whole boxes and nothing else; raises BoxError."""
    return list(_walk(memoryview(data).cast("B"), 0))


def _walk(view: memoryview, base: int) -> Iterator[Box]:
    at = count = 0
    while at < len(view):
        count += 1
        if count > MAX_BOXES:
            raise BoxError(f"more than {MAX_BOXES} boxes in a row at offset {base}")
        left = len(view) - at
        if left < HEADER_BYTES:
            raise BoxError(f"{left} stray bytes at offset {base + at}, expected a box header of {HEADER_BYTES}")
        size, kind = struct.unpack_from(">I4s", view, at)
        header = HEADER_BYTES
        if size == 1:
            if left < LARGE_HEADER_BYTES:
                raise BoxError(f"box {name(kind)} at offset {base + at}: its 64-bit size is cut off")
            (size,) = struct.unpack_from(">Q", view, at + HEADER_BYTES)
            header = LARGE_HEADER_BYTES
        if size < header:
            raise BoxError(f"box {name(kind)} at offset {base + at}: size {size} is less than its own header")
        if size > left:
            raise BoxError(f"box {name(kind)} at offset {base + at}: says {size} bytes, only {left} are there")
        yield Box(kind, base + at, size, view[at + header : at + size])
        at += size


def box(kind: bytes, *parts: Buffer) -> bytes:
    """Write a box around ``parts``, with a 64-bit size only where 32 bits are too few."""
    size = HEADER_BYTES + sum(len(part) for part in parts)
    return b"".join((box_header(kind, size - HEADER_BYTES), *parts))


def box_header(kind: bytes, payload_bytes: int) -> bytes:
    """Write the header of a box whose payload of ``payload_bytes`` follows."""
    if len(kind) != 4:
        raise BoxError(f"a box kind has 4 bytes, got {kind!r}")
    if payload_bytes + HEADER_BYTES <= _MAX_U32:
        return struct.pack(">I4s", payload_bytes + HEADER_BYTES, kind)
    return struct.pack(">I4sQ", 1, kind, payload_bytes + LARGE_HEADER_BYTES)


def full_box(kind: bytes, version: int, flags: int, *parts: Buffer) -> bytes:
    """Write a box that starts with a version and 24 bits of flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)
