"""How an image file is built, told from its own lengths before any decoder sees it.

A small file can claim a large picture, or consist of millions of parts that a decoder looks at one by one. Nothing here
copies or inflates anything, and each walk ends after :data:`MAX_PARTS` parts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# PNG writers put 8 KiB or more of a large picture into each chunk, JPEG writers 64 KiB of a colour profile.
MAX_PARTS = 8192
# Colour profile and texts, each of which may inflate to a megabyte.
MAX_INFLATED_PARTS = 8
# libjpeg's own progressive files have ten, with four colours eighteen.
MAX_SCANS = 20
_INFLATED = frozenset({b"iCCP", b"zTXt", b"iTXt"})
_PNG_SIGNATURE_BYTES = 8
_CHUNK_FRAME_BYTES = 12
_START_OF_SCAN = 0xDA
# Markers that stand alone: fill, TEM, RST0 to RST7, SOI.
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
# Frame headers: SOF0 to SOF15 without DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Progressive, or with arithmetic coding, which no camera writes and which takes as long.
_COSTLY = frozenset({0xC2, 0xC6, *range(0xC9, 0xD0)}) - {0xCC}


class LayoutError(ValueError):
    """A file with more parts than a picture has; its words are ours."""


@dataclass(frozen=True)
class JpegLayout:
    """``scans``: how often the picture is gone through. ``buffered``: whether it takes the memory of all its
    coefficients, or the time. ``components``: how many colours it has; 0 when no header tells.
    """

    scans: int
    buffered: bool
    components: int


def check_png(data: bytes) -> None:
    """Raise LayoutError for a PNG file with too many chunks, or too many that are inflated as a whole."""
    at, parts, inflated = _PNG_SIGNATURE_BYTES, 0, 0
    while at + _CHUNK_FRAME_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        parts += 1
        inflated += kind in _INFLATED
        if parts > MAX_PARTS:
            raise LayoutError(f"has more than {MAX_PARTS} chunks")
        if inflated > MAX_INFLATED_PARTS:
            raise LayoutError(f"has more than {MAX_INFLATED_PARTS} compressed texts and profiles")
        at += _CHUNK_FRAME_BYTES + length


def read_jpeg(data: bytes) -> JpegLayout:
    """How a JPEG file's picture is coded. Raises LayoutError for too many segments or scans.

    What is cut off or malformed is left to the decoder to refuse.
    """
    at, parts, components, costly = 2, 0, 0, False
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            # Decoders skip what is no marker.
            at = data.find(b"\xff", at)
            if at < 0:
                break
            continue
        parts += 1
        if parts > MAX_PARTS:
            raise LayoutError(f"has more than {MAX_PARTS} segments")
        marker = data[at + 1]
        if marker == _START_OF_SCAN:
            # Entropy-coded bytes never hold this marker.
            scans = data.count(b"\xff\xda", at)
            buffered = costly or data[at + 4 : at + 5] != bytes((components,))
            if buffered and scans > MAX_SCANS:
                raise LayoutError(f"has {scans} scans, more than {MAX_SCANS}")
            return JpegLayout(scans if buffered else 1, buffered, components)
        if marker in _FRAMES and at + 10 <= len(data):
            components, costly = data[at + 9], marker in _COSTLY
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH or not marker:
            at += 2
        else:
            at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    return JpegLayout(1, buffered=False, components=components)
