"""The picture a session may start from: checked by its content, then kept in a private temporary file."""

from __future__ import annotations

import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fastvideo.api import image_content
from fastvideo.api.errors import ImageInvalid
from fastvideo.api.image_content import IMAGE_TYPES, base64_chars, check_image

MAX_DISPLAY_NAME_CHARS = 255


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
    if not isinstance(mime, str) or mime not in IMAGE_TYPES:
        raise ImageInvalid(f"initial_image.mime must be one of {', '.join(IMAGE_TYPES)}, got {_show(mime)}")
    extension, _, _ = IMAGE_TYPES[mime]
    display_name = _display_name(payload.get("name"), f"init{extension}")
    data = _decode_base64(payload.get("data"))
    check_image(data, mime, "initial_image.data")
    return SessionInitImage(_write(data, extension, output_dir), display_name, mime)


def _decode_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ImageInvalid(f"initial_image.data must be a base64 string, got {type(text).__name__}")
    # Told from the text's length, before anything of that size is allocated.
    limit_bytes = image_content.MAX_IMAGE_BYTES
    if len(text) > base64_chars(limit_bytes):
        raise ImageInvalid(f"initial_image.data is over the limit of {limit_bytes} bytes")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ImageInvalid("initial_image.data is not valid base64") from None
    if not data:
        raise ImageInvalid("initial_image.data is empty")
    return data


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
