"""The two binary forms inside an LTX-2 continuation state: PNG frames and a one-tensor safetensors file.

States come back from clients, so every length, count, shape and dtype is checked before anything of that size is
allocated. torch, safetensors and PIL are imported where they are used: the contract stays importable without them.
"""

from __future__ import annotations

import binascii
import io
import json
import math
import os
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastvideo.api.errors import StateInvalid
from fastvideo.api.image_layout import LayoutError, check_png

if TYPE_CHECKING:
    import torch
    from PIL import Image

Frame = np.ndarray[Any, np.dtype[np.uint8]]

MAX_FRAMES = 65
MAX_FRAME_SIDE_PX = 4096
MAX_FRAME_PIXELS = 9_000_000
MAX_DECODED_FRAMES_BYTES = 256 << 20
MAX_ENCODED_FRAMES_BYTES = 256 << 20
MAX_AUDIO_BYTES = 16 << 20
_MAX_TENSOR_HEADER_BYTES = 4096
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_RGB = 2
_PNG_FILTER_UP = 2
_TENSOR_KEY = "t"
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


def encode_pngs(frames: Sequence[Frame]) -> list[bytes]:
    """Frames, uint8 [H, W, 3], as PNG files, several at a time. Raises StateInvalid for any other array."""
    with ThreadPoolExecutor(_threads_for(frames)) as threads:
        return list(threads.map(encode_png, frames))


def encode_png(frame: Frame) -> bytes:
    """A frame, uint8 [H, W, 3], as PNG. Raises StateInvalid for any other array."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise StateInvalid(f"continuation frames must be uint8 HxWx3 arrays, got {got}")
    height, width, _ = frame.shape
    if not frame.size:
        raise StateInvalid(f"continuation frames must have pixels, got {width}x{height}")
    # Frames are written on a segment's critical path. Each row as its difference to the one above (PNG filter 2), and
    # run lengths instead of a search for repetitions: a third of PIL's time, and smaller for pictures with grain.
    pixels = frame.reshape(height, 3 * width)
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = _PNG_FILTER_UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_RGB, 0, 0, 0)
    data = deflate.compress(rows.data) + deflate.flush()
    return _PNG_SIGNATURE + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", data) + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _threads_for(items: Sequence[object]) -> int:
    return max(1, min(len(items), os.cpu_count() or 1))


def decode_pngs(files: Sequence[bytes]) -> list[Frame]:
    """Frames, uint8 [H, W, 3], all of one size. Raises StateInvalid for anything else, before decoding a pixel."""
    with _readable():
        images = _opened(files)
        with ThreadPoolExecutor(_threads_for(images)) as threads:
            return list(threads.map(_pixels, images))


def check_pngs(files: Sequence[bytes]) -> None:
    """Raise StateInvalid unless :func:`decode_pngs` can decode these. Has one frame in memory at a time."""
    with _readable():
        for image in _opened(files):
            image.load()
            image.close()


@contextmanager
def _readable() -> Iterator[None]:
    from PIL import UnidentifiedImageError

    try:
        yield
    except StateInvalid:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        # PIL reports broken chunks by any of these.
        raise StateInvalid("a continuation frame is not a readable PNG") from error


def _opened(files: Sequence[bytes]) -> list[Image.Image]:
    from PIL import Image

    if not files:
        raise StateInvalid("a continuation state's video needs at least one frame")
    check_frame_count(len(files))
    _check_total(sum(len(file) for file in files), MAX_ENCODED_FRAMES_BYTES, "encoded frames")
    images: list[Image.Image] = []
    for index, file in enumerate(files):
        _check_png_header(file, index)
        image = Image.open(io.BytesIO(file), formats=("PNG",))
        if image.mode != "RGB":
            raise StateInvalid(f"continuation frame {index} must be an 8-bit RGB PNG, got mode {image.mode}")
        if images and image.size != images[0].size:
            raise StateInvalid(f"continuation frame {index} differs in size from frame 0")
        images.append(image)
    _check_total(len(images) * images[0].width * images[0].height * 3, MAX_DECODED_FRAMES_BYTES, "decoded frames")
    return images


def _pixels(image: Image.Image) -> Frame:
    pixels = np.array(image, dtype=np.uint8)
    # It has loaded the pixels too, in a third more memory, and is still in the list.
    image.close()
    return pixels


def _check_png_header(file: bytes, index: int) -> None:
    """Check the size in the IHDR chunk, so that no decoder ever sees an enormous one."""
    if len(file) < 33 or not file.startswith(_PNG_SIGNATURE) or file[12:16] != b"IHDR":
        raise StateInvalid(f"continuation frame {index} is not a PNG file")
    width, height = struct.unpack_from(">II", file, 16)
    if not (1 <= width <= MAX_FRAME_SIDE_PX and 1 <= height <= MAX_FRAME_SIDE_PX):
        raise StateInvalid(f"continuation frame {index} is {width}x{height}; at most {MAX_FRAME_SIDE_PX} px a side")
    if width * height > MAX_FRAME_PIXELS:
        raise StateInvalid(f"continuation frame {index} is {width}x{height}; at most {MAX_FRAME_PIXELS} pixels")
    try:
        check_png(file)
    except LayoutError as error:
        raise StateInvalid(f"continuation frame {index} {error}") from None


def pack_frames(files: Sequence[bytes]) -> bytes:
    """The frames blob: a 4-byte big-endian count, then a 4-byte big-endian length and the bytes of each PNG."""
    parts = [struct.pack(">I", len(files))]
    for file in files:
        parts += (struct.pack(">I", len(file)), file)
    return b"".join(parts)


def unpack_frames(blob: bytes) -> list[bytes]:
    """The PNG files of a frames blob. Raises StateInvalid when it is truncated, over-counted or too long."""
    if len(blob) < 4:
        raise StateInvalid("a continuation frames blob needs a 4-byte count")
    (count,) = struct.unpack_from(">I", blob)
    check_frame_count(count)
    files: list[bytes] = []
    position = 4
    for index in range(count):
        if len(blob) - position < 4:
            raise StateInvalid(f"a continuation frames blob counts {count} frames and ends before frame {index}")
        (length,) = struct.unpack_from(">I", blob, position)
        position += 4
        if length > len(blob) - position:
            raise StateInvalid(f"continuation frame {index} says {length} bytes, {len(blob) - position} are left")
        files.append(blob[position : position + length])
        position += length
    if position != len(blob):
        raise StateInvalid(f"a continuation frames blob has {len(blob) - position} bytes after its last frame")
    return files


def encode_tensor(tensor: torch.Tensor) -> bytes:
    """Audio latents as a safetensors file with the one key ``t``; f32, f16 and bf16 keep their bits."""
    from safetensors.torch import save

    if tensor.ndim != 4:
        raise StateInvalid(f"audio latents must have 4 axes [B, C, T, mel], got {tensor.ndim}")
    return save({_TENSOR_KEY: tensor.detach().cpu().contiguous()})


def decode_tensor(blob: bytes) -> torch.Tensor:
    """Audio latents [B, C, T, mel] from a safetensors file; finite. Raises StateInvalid for anything else."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    _check_total(len(blob), MAX_AUDIO_BYTES, "audio latents")
    _check_tensor_header(blob)
    try:
        tensor = load(blob)[_TENSOR_KEY]
    except SafetensorError as error:
        raise StateInvalid("the audio latents are not a readable safetensors file") from error
    if not bool(torch.isfinite(tensor).all()):
        raise StateInvalid("the audio latents hold values that are not finite")
    return tensor


def _check_tensor_header(blob: bytes) -> None:
    if len(blob) < 8:
        raise StateInvalid("the audio latents are not a safetensors file: too short")
    (header_bytes,) = struct.unpack_from("<Q", blob)
    if header_bytes > min(_MAX_TENSOR_HEADER_BYTES, len(blob) - 8):
        raise StateInvalid(f"the audio latents' header says {header_bytes} bytes; at most 4096 are accepted")
    try:
        header = json.loads(blob[8 : 8 + header_bytes])
    except (ValueError, RecursionError) as error:
        raise StateInvalid("the audio latents' safetensors header is not JSON") from error
    if not isinstance(header, dict) or set(header) - {"__metadata__"} != {_TENSOR_KEY}:
        raise StateInvalid('the audio latents must be one tensor named "t"')
    entry = header[_TENSOR_KEY]
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise StateInvalid(f"audio latents must be F32, F16 or BF16, got {str(dtype)[:20]!r}")
    if not isinstance(shape, list) or len(shape) != 4 or not all(type(n) is int and n > 0 for n in shape):
        raise StateInvalid("audio latents must have 4 axes [B, C, T, mel] of at least 1")
    if math.prod(shape) * _ITEM_BYTES[dtype] != len(blob) - 8 - header_bytes:
        raise StateInvalid("the audio latents' shape does not match their bytes")


def to_base64(data: bytes) -> str:
    """Standard base64 with padding."""
    return b64encode(data).decode("ascii")


def from_base64(text: object, path: str, max_bytes: int) -> bytes:
    """Strict base64 of at most ``max_bytes`` decoded. Raises StateInvalid naming ``path``."""
    if not isinstance(text, str):
        raise StateInvalid(f"{path}: expected base64 text, got {type(text).__name__}")
    _check_total(len(text) // 4 * 3, max_bytes, path)
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise StateInvalid(f"{path}: not valid base64") from error


def check_frame_count(count: int) -> None:
    """Raise StateInvalid unless ``count`` frames are a reasonable number."""
    if not 1 <= count <= MAX_FRAMES:
        raise StateInvalid(f"expected 1 to {MAX_FRAMES} continuation frames, got {count}")


def _check_total(size_bytes: int, limit_bytes: int, what: str) -> None:
    if size_bytes > limit_bytes:
        raise StateInvalid(f"{what}: {size_bytes} bytes are more than the {limit_bytes} accepted")
