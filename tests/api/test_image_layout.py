"""What an image file's own lengths tell of it."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from fastvideo.api import ImageInvalid
from fastvideo.api.image_content import check_image
from fastvideo.api.image_layout import MAX_INFLATED_PARTS, MAX_PARTS, MAX_SCANS, LayoutError, check_png, read_jpeg


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (40, 30), 77).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(chunks: bytes) -> bytes:
    """A PNG with these after its header."""
    data = encoded("PNG")
    return data[:33] + chunks + data[33:]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_one_scan_is_told_from_a_progressive_one(mode: str) -> None:
    plain, progressive = read_jpeg(encoded("JPEG", mode)), read_jpeg(encoded("JPEG", mode, progressive=True))
    assert (plain.scans, plain.buffered) == (1, False)
    assert progressive.buffered
    assert 1 < progressive.scans <= MAX_SCANS
    assert plain.components == progressive.components == len(mode)


def test_a_thumbnail_in_a_photo_is_no_scan_of_it() -> None:
    photo = encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0" + encoded("JPEG", progressive=True))
    assert not read_jpeg(photo).buffered


def test_scans_that_repeat_without_end_are_refused() -> None:
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageInvalid, match="scans, more than"):
        check_image(data[:last] + data[last:-2] * 40 + data[-2:], "image/jpeg", "image")


def test_only_so_many_parts_are_looked_at() -> None:
    check_png(with_chunks(chunk(b"prVt") * (MAX_PARTS - 3)))
    with pytest.raises(LayoutError, match="chunks"):
        check_png(with_chunks(chunk(b"prVt") * MAX_PARTS))
    with pytest.raises(LayoutError, match="segments"):
        read_jpeg(b"\xff\xd8" + b"\xff\xfe\x00\x02" * (MAX_PARTS + 1))


def test_only_so_many_compressed_texts_are_taken() -> None:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b"))
    assert check_image(with_chunks(text * MAX_INFLATED_PARTS), "image/png", "image").size == (40, 30)
    with pytest.raises(ImageInvalid, match="compressed texts"):
        check_image(with_chunks(text * (MAX_INFLATED_PARTS + 1)), "image/png", "image")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_that_is_cut_anywhere_is_refused_by_the_decoder(kind: str) -> None:
    data = encoded(kind)
    # Behind the last pixel only checksums follow.
    for length in range(12, len(data) - 32, 7):
        with pytest.raises(ImageInvalid, match="not a readable"):
            check_image(data[:length], f"image/{kind.lower()}", "image")
