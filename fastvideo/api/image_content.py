"""Images that came from somebody else: told by their content, bounded, and decoded once before they are relied on."""

from __future__ import annotations

import binascii
import io
import re
import struct
import zlib
from typing import TYPE_CHECKING

from fastvideo.api.errors import ImageInvalid
from fastvideo.api.image_layout import LayoutError, check_png, read_jpeg

if TYPE_CHECKING:
    from PIL import Image

MAX_IMAGE_BYTES = 32 << 20
# Decoded at an eighth of its size at least, a JPEG of one scan takes little; all else is in memory as a whole, a WebP
# several times. These keep each within some 64 MB. The largest video has 2.4 million pixels.
MAX_IMAGE_PIXELS = 64_000_000
MAX_BUFFERED_PIXELS = 9_000_000
MAX_WEBP_PIXELS = 3_700_000
MAX_SIDE_PX = 32_768
# What a large JPEG is decoded to at least, when it is only looked at.
_LOOKED_AT_PX = 1024
# MIME type to file extension and to the formats Pillow may find (a phone's JPEG may hold several pictures: MPO).
IMAGE_TYPES: dict[str, tuple[str, str, frozenset[str]]] = {
    "image/png": (".png", "PNG", frozenset({"PNG"})),
    "image/jpeg": (".jpg", "JPEG", frozenset({"JPEG", "MPO"})),
    "image/jpg": (".jpg", "JPEG", frozenset({"JPEG", "MPO"})),
    "image/webp": (".webp", "WEBP", frozenset({"WEBP"})),
}
_DATA_URL = re.compile(r"data:image/(?:png|jpeg|jpg|webp);base64,", re.IGNORECASE)


def image_from_upload(upload: bytes | str, label: str = "image") -> Image.Image:
    """The picture in a PNG, JPEG or WebP file, which comes as bytes or as a ``data:image/...;base64,`` URL.

    ``label`` is what errors call it. Nothing is fetched and no path is opened. Blocks while it decodes: call it in a
    thread. Raises ImageInvalid.
    """
    data = bytes_of_data_url(upload, label) if isinstance(upload, str) else upload
    mime = uploaded_mime(data, label)
    return check_image(data, mime, label, whole_size=True)


def uploaded_mime(data: bytes, label: str) -> str:
    """The MIME type of an uploaded file by its first bytes. Raises ImageInvalid for what is empty or no image."""
    if not data:
        raise ImageInvalid(f"{label} is empty")
    mime = sniff_mime(data)
    if mime is None:
        raise ImageInvalid(f"{label}: expected a PNG, JPEG or WebP file, got something else")
    return mime


def sniff_mime(data: bytes) -> str | None:
    """The MIME type that an image's first bytes tell, of those that are taken; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def bytes_of_data_url(text: str, label: str) -> bytes:
    """The file in a ``data:image/...;base64,`` URL. Raises ImageInvalid for any other text, and for a large one."""
    head = _DATA_URL.match(text)
    if head is None:
        raise ImageInvalid(
            f"{label}: expected an uploaded file or a data:image/...;base64, URL; nothing is fetched, and no path is"
            " opened, that a client names"
        )
    # Told from the text's length, before anything of that size is allocated.
    if len(text) - head.end() > base64_chars(MAX_IMAGE_BYTES):
        raise ImageInvalid(f"{label} is over the limit of {MAX_IMAGE_BYTES} bytes")
    try:
        return binascii.a2b_base64(text[head.end() :], strict_mode=True)
    except ValueError:
        raise ImageInvalid(f"{label} is not valid base64") from None


def base64_chars(count_bytes: int) -> int:
    """How long so many bytes are as base64."""
    return 4 * ((count_bytes + 2) // 3)


def check_image(data: bytes, mime: str, label: str, *, whole_size: bool = False) -> Image.Image:
    """Look at an image's header, then decode it. ``label`` is what errors call it.

    Blocks while it decodes: call it in a thread. A large JPEG comes at a fraction of its size unless the ``whole_size``
    is asked for. Raises ImageInvalid unless it is what its MIME type says.
    """
    # Imported here, as the contracts are imported by programs that never see an image.
    from PIL import Image

    if len(data) > MAX_IMAGE_BYTES:
        raise ImageInvalid(f"{label} is over the limit of {MAX_IMAGE_BYTES} bytes")
    _, decoder, formats = IMAGE_TYPES[mime]
    # What Pillow's decoders raise on damaged input.
    decoder_errors = (
        OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError,
        MemoryError, struct.error, zlib.error,
    )  # fmt: skip
    try:
        most_pixels = _most_pixels(data, decoder)
        with Image.open(io.BytesIO(data), formats=[decoder]) as image:
            width, height = image.size
            if image.format not in formats:
                raise ImageInvalid(f"{label} is {image.format}, not {mime} as its mime says")
            if width * height > most_pixels or max(width, height) > MAX_SIDE_PX:
                raise ImageInvalid(
                    f"{label} is {width}x{height} pixels, over the limit of {most_pixels} pixels"
                    f" and {MAX_SIDE_PX} a side; send a smaller picture"
                )
            if not whole_size:
                image.draft(image.mode, (_LOOKED_AT_PX, _LOOKED_AT_PX))
            image.load()
            return image
    except LayoutError as error:
        raise ImageInvalid(f"{label} {error}; expected a file as cameras and programs write it") from None
    except ImageInvalid:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageInvalid(f"{label} is over the limit of {MAX_IMAGE_PIXELS} pixels") from None
    except decoder_errors:
        raise ImageInvalid(f"{label} is not a readable {mime} file; it may be cut off or mislabelled") from None


def _most_pixels(data: bytes, decoder: str) -> int:
    """How large a picture of this file's kind may be. Raises LayoutError."""
    if decoder == "JPEG":
        layout = read_jpeg(data)
        if not layout.buffered:
            return MAX_IMAGE_PIXELS
        return min(MAX_BUFFERED_PIXELS * 3 // max(3, layout.components), MAX_IMAGE_PIXELS)
    if decoder == "PNG":
        check_png(data)
        return min(MAX_BUFFERED_PIXELS, MAX_IMAGE_PIXELS)
    return min(MAX_WEBP_PIXELS, MAX_IMAGE_PIXELS)
