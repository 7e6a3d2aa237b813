"""Inputs that are small, or as large as they may be, and claim or hold far more than that."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from benchmarks.fuzz_targets import picture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_IMAGE_BYTES = 32 << 20
_MOST_MESSAGE_BYTES = 48 << 20


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _header(width: int, height: int, colours: int = 2, interlaced: int = 0) -> bytes:
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, interlaced))


def _zeros(count_bytes: int) -> bytes:
    deflate = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [deflate.compress(block) for _ in range(count_bytes >> 20)]
    return b"".join((*parts, deflate.compress(block[: count_bytes % (1 << 20)]), deflate.flush()))


def flat_png(width: int, height: int, interlaced: int = 0) -> bytes:
    """A picture of one colour: a thousandth of its pixels."""
    return _SIGNATURE + _header(width, height, 2, interlaced) + _chunk(b"IDAT", _zeros((3 * width + 1) * height)) + _END


_END = _chunk(b"IEND", b"")


def claims_much() -> bytes:
    """50,000 x 50,000 pixels, and none there."""
    return _SIGNATURE + _header(50_000, 50_000) + _chunk(b"IDAT", _zeros(1 << 20)) + _END


def more_than_claimed() -> bytes:
    """One pixel, and a gigabyte of rows."""
    return _SIGNATURE + _header(1, 1) + _chunk(b"IDAT", _zeros(1 << 30)) + _END


def inflated_texts() -> bytes:
    """A thousand texts of a megabyte each."""
    text = _chunk(b"zTXt", b"a\0\0" + _zeros((1 << 20) - 1))
    return _SIGNATURE + _header(1, 1) + text * 1000 + _chunk(b"IDAT", zlib.compress(b"\0abc")) + _END


def inflated_profile() -> bytes:
    """A colour profile of a gigabyte."""
    profile = _chunk(b"iCCP", b"a\0\0" + _zeros(1 << 30))
    return _SIGNATURE + _header(1, 1) + profile + _chunk(b"IDAT", zlib.compress(b"\0abc")) + _END


def empty_chunks() -> bytes:
    """As many chunks as fit."""
    chunk = _chunk(b"prVt", b"")
    return _SIGNATURE + _header(1, 1) + chunk * ((_MOST_IMAGE_BYTES >> 1) // len(chunk)) + _END


def empty_segments() -> bytes:
    """A JPEG file of comments without a word."""
    return b"\xff\xd8" + b"\xff\xfe\x00\x02" * (_MOST_IMAGE_BYTES >> 3) + picture("JPEG")[2:]


def many_scans(side_px: int = 2900) -> bytes:
    """A progressive JPEG whose last scan is repeated a thousand times."""
    file = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (9, 90, 200)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 1000 + data[-2:]


def flat_jpeg(side_px: int, *, progressive: bool = False, mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new(mode, (side_px, side_px)).save(file, "JPEG", progressive=progressive, subsampling=0)
    return file.getvalue()


def animated_webp(side_px: int, frames: int = 2) -> bytes:
    """Many pictures of one colour, each in a few bytes."""
    others = [Image.new("RGBA", (side_px, side_px), (shade, 0, 0, 255)) for shade in range(1, frames)]
    file = io.BytesIO()
    first = Image.new("RGBA", (side_px, side_px))
    first.save(file, "WEBP", save_all=True, append_images=others, lossless=True, method=0)
    return file.getvalue()


def _state(files: list[bytes]) -> bytes:
    return json.dumps({"video": {"frames_b64": [base64.b64encode(file).decode() for file in files]}}).encode()


def _opening(field: str, value: bytes) -> bytes:
    return b'{"type":"session_init_v2","' + field.encode() + b'":' + value + b"}"


def _filled(begin: bytes, part: bytes, end: bytes, most_bytes: int = _MOST_MESSAGE_BYTES) -> bytes:
    count = (most_bytes - len(begin) - len(end)) // len(part)
    return begin + part * (count - 1) + part.rstrip(b",") + end


def endless_run() -> bytes:
    """A fragment of a hundred bytes with four billion samples of one byte each."""
    tfhd = struct.pack(">I4sIIIII", 28, b"tfhd", 0x02_0038, 1, 512, 1, 0)
    tfdt = struct.pack(">I4sII", 16, b"tfdt", 0, 0)
    trun = struct.pack(">I4sIIi", 20, b"trun", 1, 2**32 - 1, 0)
    traf = tfhd + tfdt + trun
    mfhd = struct.pack(">I4sII", 16, b"mfhd", 0, 1)
    return _moof(mfhd + struct.pack(">I4s", 8 + len(traf), b"traf") + traf)


#: By target and name.
BOMBS: dict[tuple[str, str], Callable[[], bytes]] = {
    ("images", "PNG of 50,000 x 50,000 pixels that are not there"): claims_much,
    ("images", "PNG of 64 million pixels of one colour"): lambda: flat_png(8000, 8000),
    ("images", "PNG of 9 million pixels of one colour"): lambda: flat_png(3000, 3000),
    ("images", "the same, said to be interlaced"): lambda: flat_png(3000, 3000, 1),
    ("images", "PNG of one pixel with 1 GiB of rows"): more_than_claimed,
    ("images", "PNG with 1,000 texts of 1 MiB"): inflated_texts,
    ("images", "PNG with a colour profile of 1 GiB"): inflated_profile,
    ("images", "PNG of 1.4 million empty chunks"): empty_chunks,
    ("images", "JPEG of 4 million empty comments"): empty_segments,
    ("images", "JPEG of 8 million pixels with 1,000 scans"): many_scans,
    ("images", "JPEG of 64 million pixels of one colour"): lambda: flat_jpeg(8000),
    ("images", "progressive JPEG of 9 million pixels"): lambda: flat_jpeg(3000, progressive=True),
    ("images", "progressive JPEG of 6.7 million pixels in four colours"): lambda: flat_jpeg(
        2590, progressive=True, mode="CMYK"
    ),
    ("images", "animated WebP of 3.7 million pixels"): lambda: animated_webp(1920, 20),
    ("images", "animated WebP of 16,383 x 16,383 pixels by its header"): lambda: _large_canvas(animated_webp(64)),
    ("states", "65 frames of 4096 x 4096 pixels"): lambda: _state([flat_png(4096, 4096)] * 65),
    ("states", "frame of 9 million pixels"): lambda: _state([flat_png(3000, 3000)]),
    ("states", "9 frames of 9 million pixels, the most that is taken"): lambda: _state([flat_png(3000, 3000)] * 9),
    ("states", "frame with 1 GiB of rows"): lambda: _state([more_than_claimed()]),
    ("messages", "48 MiB of empty lists"): lambda: _filled(_opening("x", b"")[:-1] + b"[", b"[],", b"]}"),
    ("messages", "48 MiB of numbers"): lambda: _filled(_opening("x", b"")[:-1] + b"[", b"1,", b"]}"),
    ("messages", "48 MiB of opening brackets"): lambda: b"[" * _MOST_MESSAGE_BYTES,
    ("messages", "a number of a million digits"): lambda: b'{"type":"ping","id":' + b"9" * 1_000_000 + b"}",
    ("messages", "95,000 wrong prompts"): lambda: _filled(
        b'{"type":"seed_prompts_updated","seed_prompts":[', b"1,", b"]}", 190_000
    ),
    ("messages", "49,000 unknown keys"): lambda: (
        b'{"type":"session_init_v2",' + b",".join(b'"%d":{}' % number for number in range(49_000)) + b"}"
    ),
    ("boxes", "8 MiB of empty boxes"): lambda: struct.pack(">I4s", 8, b"free") * (1 << 20),
    ("boxes", "a moof of 100,000 empty trafs"): lambda: _moof(struct.pack(">I4s", 8, b"traf") * 100_000),
    ("boxes", "a run of 2**32 samples by their defaults"): endless_run,
    ("blobs", "2**32 frames"): lambda: b"\xff" * 64,
}


def _large_canvas(data: bytes) -> bytes:
    at = data.index(b"VP8X") + 12
    return data[:at] + (16_382).to_bytes(3, "little") * 2 + data[at + 6 :]


def _moof(inner: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(inner), b"moof") + inner + struct.pack(">I4s", 8, b"mdat")
