"""An image that a client sends: a file of its own, or the bytes of one."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fastvideo.api.errors import ImageInvalid

ImageSource: TypeAlias = str | os.PathLike[str] | bytes
MAX_IMAGE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A PNG, JPEG or WebP file, told by its content."""

    name: str
    mime: str
    data: bytes

    @classmethod
    def read(cls, source: ImageSource) -> ImageFile:
        """Read a path, or take bytes as they are; raises OSError, and ImageInvalid for what servers do not take."""
        path = None if isinstance(source, bytes) else Path(source)
        if path is not None and path.stat().st_size > MAX_IMAGE_BYTES:
            raise ImageInvalid(f"expected an image of at most {MAX_IMAGE_BYTES >> 20} MiB, got {path.name}, larger")
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        if len(data) > MAX_IMAGE_BYTES:
            raise ImageInvalid(f"expected an image of at most {MAX_IMAGE_BYTES >> 20} MiB, got {len(data)} bytes")
        kind = _kind(data)
        if kind is None:
            raise ImageInvalid(f"expected a PNG, JPEG or WebP file, got one that begins with {data[:8]!r}")
        return cls(path.name if path is not None else f"image.{kind}", f"image/{kind}", data)

    @property
    def base64(self) -> str:
        """Its bytes as text."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def data_url(self) -> str:
        """Itself as an address."""
        return f"data:{self.mime};base64,{self.base64}"


def _kind(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
