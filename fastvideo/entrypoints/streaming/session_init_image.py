"""The picture a session may start from: checked by its content, then kept in a private temporary file."""

from __future__ import annotations

import binascii
import io
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from fastvideo.api.errors import ImageInvalid

MAX_INIT_IMAGE_BYTES = 32 << 20
MAX_INIT_IMAGE_PIXELS = 64_000_000
MAX_SIDE_PX = 32_768
MAX_DISPLAY_NAME_CHARS = 255
# MIME type to file extension and to the formats Pillow may find (a phone's JPEG may hold several pictures: MPO).
_TYPES: dict[str, tuple[str, str, frozenset[str]]] = {
    "image/png": (".png", "PNG", frozenset({"PNG"})),
    "image/jpeg": (".jpg", "JPEG", frozenset({"JPEG", "MPO"})),
    "image/jpg": (".jpg", "JPEG", frozenset({"JPEG", "MPO"})),
    "image/webp": (".webp", "WEBP", frozenset({"WEBP"})),
}
# What Pillow's decoders raise on damaged input.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, MemoryError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


@dataclass(frozen=True)
class SessionInitImage:
    """A checked picture on disk; whoever holds this deletes the file."""

    path: str
    display_name: str
    mime: str


def persist_session_init_image(payload: Any, *, output_dir: str | None = None) -> SessionInitImage | None:
    """Check `{mime, name?, data: base64}` and write it, mode 0600, to `output_dir` or the system's temporary folder.

    A falsy payload means no image. Blocks while it decodes: call it in a thread. Raises ImageInvalid (a ValueError)
    for anything wrong with the payload, and OSError when the file cannot be written; neither leaves a file behind.
    """
    if not payload:
        return None
    if not isinstance(payload, Mapping):
        raise ImageInvalid(f"initial_image must be an object, got {type(payload).__name__}")
    mime = payload.get("mime")
    if not isinstance(mime, str) or mime not in _TYPES:
        raise ImageInvalid(f"initial_image.mime must be one of {', '.join(_TYPES)}, got {_show(mime)}")
    extension, _, _ = _TYPES[mime]
    display_name = _display_name(payload.get("name"), f"init{extension}")
    data = _decode_base64(payload.get("data"))
    check_image(data, mime, "initial_image.data")
    return SessionInitImage(_write(data, extension, output_dir), display_name, mime)


def sniff_mime(data: bytes) -> str | None:
    """The MIME type that an image's first bytes tell, of those that are taken; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def check_image(data: bytes, mime: str, label: str) -> str:
    """Look at an image's header, then decode it; gives the extension of its files. ``label`` is what errors call it.

    Blocks while it decodes: call it in a thread. Raises ImageInvalid unless it is what its MIME type says.
    """
    extension, decoder, formats = _TYPES[mime]
    if len(data) > MAX_INIT_IMAGE_BYTES:
        raise ImageInvalid(f"{label} is over the limit of {MAX_INIT_IMAGE_BYTES} bytes")
    _check_content(data, mime, decoder, formats, label)
    return extension


def _decode_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ImageInvalid(f"initial_image.data must be a base64 string, got {type(text).__name__}")
    # Told from the text's length, before anything of that size is allocated.
    if len(text) > 4 * ((MAX_INIT_IMAGE_BYTES + 2) // 3):
        raise ImageInvalid(f"initial_image.data is over the limit of {MAX_INIT_IMAGE_BYTES} bytes")
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise ImageInvalid("initial_image.data is not valid base64") from None
    if not data:
        raise ImageInvalid("initial_image.data is empty")
    return data


def _check_content(data: bytes, mime: str, decoder: str, formats: frozenset[str], label: str) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=[decoder]) as image:
            width, height = image.size
            if image.format not in formats:
                raise ImageInvalid(f"{label} is {image.format}, not {mime} as its mime says")
            if width * height > MAX_INIT_IMAGE_PIXELS or max(width, height) > MAX_SIDE_PX:
                raise ImageInvalid(
                    f"{label} is {width}x{height} pixels, over the limit of {MAX_INIT_IMAGE_PIXELS} pixels"
                    f" and {MAX_SIDE_PX} a side"
                )
            image.load()
    except ImageInvalid:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageInvalid(f"{label} is over the limit of {MAX_INIT_IMAGE_PIXELS} pixels") from None
    except _DECODER_ERRORS:
        raise ImageInvalid(f"{label} is not a readable {mime} file; it may be cut off or mislabelled") from None


def _write(data: bytes, extension: str, output_dir: str | None) -> str:
    if output_dir is not None:
        os.makedirs(output_dir, exist_ok=True)
    # mkstemp makes the file readable and writable by this user only.
    handle, path = tempfile.mkstemp(prefix="fastvideo-init-", suffix=extension, dir=output_dir)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    return path


def _display_name(name: Any, default: str) -> str:
    if name is None:
        return default
    if not isinstance(name, str):
        raise ImageInvalid(f"initial_image.name must be a string, got {type(name).__name__}")
    base = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(char for char in base if char.isprintable())[:MAX_DISPLAY_NAME_CHARS]
    return shown or default


def _show(value: Any) -> str:
    return repr(value[:40]) if isinstance(value, str) else type(value).__name__
