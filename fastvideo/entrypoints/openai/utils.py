"""Small readings of what clients send: sizes, kinds of images, and images themselves."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from fastvideo.api.errors import ImageInvalid
from fastvideo.api.image_content import bytes_of_data_url, check_image, uploaded_mime

ImageExtension = Literal["png", "webp", "jpg"]

_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX]\s*(\d{1,5})\s*", re.ASCII)


def parse_size(size: str) -> tuple[int, int] | tuple[None, None]:
    """Width and height of ``WxH``; two None for anything else."""
    match = _SIZE.fullmatch(size)
    return (int(match[1]), int(match[2])) if match is not None else (None, None)


def choose_image_ext(output_format: str | None, background: str | None) -> ImageExtension:
    """The extension of an image's file: as asked for, else ``png`` where it should be transparent, else ``jpg``."""
    match (output_format or "").lower():
        case "png":
            return "png"
        case "webp":
            return "webp"
        case "jpg" | "jpeg":
            return "jpg"
    return "png" if (background or "").lower() == "transparent" else "jpg"


def merge_image_input_list(*inputs: Any) -> list[Any]:
    """One list of all images, whether they came alone, in lists, or not at all."""
    merged: list[Any] = []
    for found in inputs:
        if isinstance(found, list | tuple):
            merged.extend(item for item in found if item is not None)
        elif found is not None:
            merged.append(found)
    return merged


async def save_image_to_path(image: bytes | str, target: str | Path, *, label: str = "image") -> Path:
    """Check an image, bytes or a ``data:image/...;base64,`` URL, by its content, and write it to ``target``.

    ``label`` is what errors call it. Nothing is fetched: raises ImageInvalid for any other text, and for what is no
    readable PNG, JPEG or WebP file; OSError when it cannot be written.
    """
    return await asyncio.to_thread(_save, image, Path(target), label)


def first_image(images: Sequence[bytes | str], label: str) -> bytes | str:
    """The one image that there may be. Raises ImageInvalid for several."""
    if len(images) > 1:
        raise ImageInvalid(f"{label}: expected one image, got {len(images)}")
    return images[0]


def _save(image: bytes | str, target: Path, label: str) -> Path:
    data = bytes_of_data_url(image, label) if isinstance(image, str) else image
    check_image(data, uploaded_mime(data, label), label)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return target
