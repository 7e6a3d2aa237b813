"""An uploaded image, told by its content."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from fastvideo.api import ImageInvalid, image_content, image_from_upload


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (10, 200, 30)).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


@pytest.mark.parametrize(("kind", "mime"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
def test_an_image_comes_as_bytes_or_as_a_data_url(kind: str, mime: str) -> None:
    data = encoded(kind)
    for upload in (data, f"data:image/{mime};base64,{base64.b64encode(data).decode()}"):
        image = image_from_upload(upload)
        assert image.size == (6, 4)
        assert isinstance(image.convert("RGB").getpixel((1, 1)), tuple)


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        (b"", "upload is empty"),
        (b"GIF89a", "expected a PNG, JPEG or WebP"),
        (encoded("PNG")[:30], "not a readable"),
        ("/etc/passwd", "nothing is fetched"),
        ("http://127.0.0.1:1/a.png", "nothing is fetched"),
        ("data:text/html;base64,AAAA", "nothing is fetched"),
        ("data:image/png;base64,!!!", "not valid base64"),
        ("data:image/png;base64,", "is empty"),
    ],
)
def test_anything_else_is_refused(upload: bytes | str, words: str) -> None:
    with pytest.raises(ImageInvalid, match=words):
        image_from_upload(upload, "upload")


def test_a_size_is_told_before_the_text_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("PNG")
    monkeypatch.setattr(image_content, "MAX_IMAGE_BYTES", len(data))
    assert image_from_upload(data).size == (6, 4)
    monkeypatch.setattr(image_content, "MAX_IMAGE_BYTES", 9)
    for upload in (data, "data:image/png;base64," + "!" * 13):
        with pytest.raises(ImageInvalid, match="over the limit"):
            image_from_upload(upload)


def test_the_limit_of_pixels_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_content, "MAX_IMAGE_PIXELS", 23)
    with pytest.raises(ImageInvalid, match="6x4 pixels"):
        image_from_upload(encoded("PNG"))
