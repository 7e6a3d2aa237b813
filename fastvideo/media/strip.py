"""A machine-readable strip at a picture's top edge that tells which segment and frame it is, for tests and debugging.

Layout, for readers in any language: the strip is the top 16 rows of the picture, divided into 32 cells. A cell is
``floor(width / 32)`` pixels wide and 16 high; cell ``i`` starts at ``x = i * floor(width / 32)``. A white cell is a 1,
a black cell a 0; what is left of the rows at the right is black. From left to right, most significant bit first:

====== ===== ==========================================================
cells  bits  meaning
====== ===== ==========================================================
0-1    2     marker ``10`` (its two cells give the levels of 1 and 0)
2-11   10    segment, modulo 1024
12-23  12    frame within the segment, modulo 4096
24-29  6     check: CRC-6 of the 22 bits before it
30-31  2     marker ``01``
====== ===== ==========================================================

The CRC has the polynomial x^6 + x + 1 and starts at 63: for each of the 22 bits, ``top = (crc >> 5) ^ bit``,
``crc = (crc << 1) & 63``, and ``if top: crc ^= 3``. For segment 1, frame 2 it is 47.

To read, average the brightness of each cell over its middle (leave out a quarter of the cell on every side); take the
mean of the four marker cells as the threshold. The strip is absent when white and black markers differ by less than 48
of 255, when a marker is wrong, or when the check fails.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

STRIP_HEIGHT_PX = 16
CELLS = 32
MIN_WIDTH_PX = 8 * CELLS
SEGMENTS = 1024
FRAMES = 4096
_MIN_CONTRAST = 48.0
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.floating])

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def draw_strip(frames: Pixels, segment: int, frame_index: int) -> Pixels:
    """Return a copy of a picture [H, W, 3] with its strip, uint8 or float in 0..1; the numbers wrap at 1024 and 4096.

    Several pictures [N, H, W, 3] get consecutive numbers from ``frame_index`` on. Raises ValueError for pictures
    narrower than 256 px or lower than 16 px.
    """
    drawn = frames.copy()
    pictures = drawn if drawn.ndim == 4 else drawn[np.newaxis]
    white = 255 if drawn.dtype == np.uint8 else 1
    for offset, picture in enumerate(pictures):
        _check_picture(picture)
        cells = _cells(segment % SEGMENTS, (frame_index + offset) % FRAMES)
        columns = np.repeat(np.array(cells, drawn.dtype) * white, picture.shape[1] // CELLS)
        picture[:STRIP_HEIGHT_PX] = 0
        picture[:STRIP_HEIGHT_PX, : len(columns)] = columns[None, :, None]
    return drawn


def read_strip(frame: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Segment and frame number in a picture uint8 [H, W, 3] RGB, or None when there is no whole strip."""
    _check_picture(frame)
    cell_px = frame.shape[1] // CELLS
    rows = frame[STRIP_HEIGHT_PX // 4 : STRIP_HEIGHT_PX * 3 // 4, : cell_px * CELLS]
    brightness = (rows @ _LUMA).reshape(rows.shape[0], CELLS, cell_px)
    levels = brightness[:, :, cell_px // 4 : cell_px - cell_px // 4].mean(axis=(0, 2))
    white, black = (levels[0] + levels[31]) / 2, (levels[1] + levels[30]) / 2
    if white - black < _MIN_CONTRAST:
        return None
    bits = [int(level > (white + black) / 2) for level in levels]
    segment, frame_index = _number(bits[2:12]), _number(bits[12:24])
    return (segment, frame_index) if bits == _cells(segment, frame_index) else None


def _check_picture(frame: NDArray[Any]) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"expected a picture of shape [H, W, 3], got {list(frame.shape)}")
    if frame.shape[0] < STRIP_HEIGHT_PX or frame.shape[1] < MIN_WIDTH_PX:
        raise ValueError(
            f"a strip needs {MIN_WIDTH_PX}x{STRIP_HEIGHT_PX} px or more, the picture has "
            f"{frame.shape[1]}x{frame.shape[0]}"
        )


def _cells(segment: int, frame_index: int) -> list[int]:
    payload = _bits(segment, 10) + _bits(frame_index, 12)
    return [1, 0, *payload, *_bits(_crc6(payload), 6), 0, 1]


def _bits(value: int, count: int) -> list[int]:
    return [value >> shift & 1 for shift in reversed(range(count))]


def _number(bits: list[int]) -> int:
    value = 0
    for bit in bits:
        value = value << 1 | bit
    return value


def _crc6(bits: list[int]) -> int:
    crc = 63
    for bit in bits:
        top = (crc >> 5) ^ bit
        crc = (crc << 1) & 63
        if top:
            crc ^= 3
    return crc
