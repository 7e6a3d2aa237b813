"""The initial image: documented errors, and a content check that believes nothing."""

from __future__ import annotations

import base64
import io
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fastvideo.api import image_content
from fastvideo.api.errors import ImageInvalid
from fastvideo.entrypoints.streaming import session_init_image
from fastvideo.entrypoints.streaming.session_init_image import SessionInitImage, persist_session_init_image


def encoded(kind: str, size: tuple[int, int] = (16, 12)) -> bytes:
    buffer = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 50).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def payload(data: bytes, mime: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"mime": mime, "data": base64.b64encode(data).decode(), **more}


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its few bytes of data do not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("nothing", [None, {}, "", []])
def test_a_falsy_payload_means_no_image(nothing: Any) -> None:
    assert persist_session_init_image(nothing) is None


@pytest.mark.parametrize(
    ("mime", "kind", "extension"),
    [
        ("image/png", "PNG", ".png"),
        ("image/jpeg", "JPEG", ".jpg"),
        ("image/jpg", "JPEG", ".jpg"),
        ("image/webp", "WEBP", ".webp"),
    ],
)
def test_each_documented_type_is_kept_byte_for_byte(tmp_path: Path, mime: str, kind: str, extension: str) -> None:
    data = encoded(kind)
    image = persist_session_init_image(payload(data, mime), output_dir=str(tmp_path / "new"))
    assert image is not None
    path = Path(image.path)
    assert image == SessionInitImage(str(path), f"init{extension}", mime)
    assert path.parent == tmp_path / "new"
    assert path.name.startswith("fastvideo-init-")
    assert path.suffix == extension
    assert path.read_bytes() == data


def test_the_file_is_private(tmp_path: Path) -> None:
    image = persist_session_init_image(payload(encoded("PNG")), output_dir=str(tmp_path))
    assert image is not None
    assert stat.S_IMODE(os.stat(image.path).st_mode) == 0o600


def test_without_a_folder_the_system_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image = persist_session_init_image(payload(encoded("PNG")))
    assert image is not None
    assert Path(image.path).parent == tmp_path


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\cat.png", "cat.png"),
        ("a\x00\x1bb\n.png", "ab.png"),
        ("", "init.png"),
        ("/", "init.png"),
        (None, "init.png"),
        ("x" * 1000, "x" * 255),
    ],
)
def test_the_display_name_is_a_printable_base_name(tmp_path: Path, name: str | None, shown: str) -> None:
    image = persist_session_init_image(payload(encoded("PNG"), name=name), output_dir=str(tmp_path))
    assert image is not None
    assert image.display_name == shown
    assert Path(image.path).parent == tmp_path


GOOD = payload(encoded("PNG"))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("cat.png", "must be an object"),
        ([1], "must be an object"),
        ({"data": GOOD["data"]}, "mime"),
        (GOOD | {"mime": "image/gif"}, "mime"),
        (GOOD | {"mime": ["image/png"]}, "mime"),
        (GOOD | {"mime": "x" * 100_000}, "mime"),
        ({"mime": "image/png"}, "must be a base64 string"),
        (GOOD | {"data": 3}, "must be a base64 string"),
        (GOOD | {"data": "***"}, "base64"),
        (GOOD | {"data": GOOD["data"][:-2] + "\n="}, "base64"),
        (GOOD | {"data": "äöü="}, "base64"),
        (GOOD | {"data": ""}, "empty"),
        (GOOD | {"name": 3}, "name"),
        (GOOD | {"mime": "image/jpeg"}, "mislabelled"),
        (payload(encoded("JPEG")), "mislabelled"),
        (payload(encoded("PNG", (400, 300))[:2000]), "cut off"),
        (payload(encoded("JPEG", (400, 300))[:2000], "image/jpeg"), "cut off"),
        (payload(encoded("WEBP", (400, 300))[:2000], "image/webp"), "cut off"),
        (payload(b"GIF89a" + bytes(100)), "mislabelled"),
        (payload(png_claiming(8001, 8001)), "limit"),
        (payload(png_claiming(60_000, 2)), "limit"),
        (payload(png_claiming(30_000, 30_000)), "limit"),
        (payload(png_claiming(100, 100)), "cut off"),
    ],
)
def test_every_fault_is_a_value_error_with_a_sentence_and_leaves_no_file(tmp_path: Path, bad: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        persist_session_init_image(bad, output_dir=str(tmp_path))
    assert isinstance(caught.value, ImageInvalid)
    assert len(str(caught.value)) < 300
    assert list(tmp_path.iterdir()) == []


def test_the_size_limit_is_inclusive_and_told_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("PNG")
    monkeypatch.setattr(image_content, "MAX_IMAGE_BYTES", len(data))
    assert persist_session_init_image(payload(data), output_dir=str(tmp_path)) is not None
    monkeypatch.setattr(image_content, "MAX_IMAGE_BYTES", len(data) - 1)
    with pytest.raises(ImageInvalid, match="limit"):
        persist_session_init_image(payload(data), output_dir=str(tmp_path))
    with pytest.raises(ImageInvalid, match="limit"):
        persist_session_init_image({"mime": "image/png", "data": "*" * (8 * len(data))}, output_dir=str(tmp_path))


def test_the_documented_limit_is_32_mib() -> None:
    assert image_content.MAX_IMAGE_BYTES == 32 * 1024 * 1024


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    def fdopen(handle: int, mode: str) -> FullDisk:
        os.close(handle)
        return FullDisk()

    monkeypatch.setattr(session_init_image.os, "fdopen", fdopen)
    with pytest.raises(OSError, match="No space"):
        persist_session_init_image(GOOD, output_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


SAMPLES = {"image/png": encoded("PNG"), "image/jpeg": encoded("JPEG"), "image/webp": encoded("WEBP")}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mime=st.sampled_from(sorted(SAMPLES)),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5),
    keep=st.floats(0, 1),
)
def test_damaged_files_are_refused_or_readable_but_never_crash(
    tmp_path: Path, mime: str, cuts: list[tuple[float, bytes]], keep: float
) -> None:
    data = bytearray(SAMPLES[mime])
    for place, patch in cuts:
        at = int(place * len(data))
        data[at : at + len(patch)] = patch
    damaged = bytes(data[: max(1, int(keep * len(data)))])
    try:
        image = persist_session_init_image(payload(damaged, mime), output_dir=str(tmp_path))
    except ImageInvalid:
        return
    assert image is not None
    with Image.open(image.path) as picture:
        picture.load()
