"""Images that a client sends are told by their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastvideo.api.errors import ImageInvalid
from fastvideo.client.image_file import MAX_IMAGE_BYTES, ImageFile

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


def test_a_file_is_what_it_holds_and_not_what_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(PNG)
    image = ImageFile.read(path)
    assert (image.name, image.mime) == ("picture.txt", "image/png")
    assert image.data_url == "data:image/png;base64,iVBORw0KGgpyZXN0"


@pytest.mark.parametrize(
    ("data", "mime"),
    [(PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF\x00\x00\x00\x00WEBP", "image/webp")],
)
def test_bytes_are_taken_as_they_are(data: bytes, mime: str) -> None:
    assert ImageFile.read(data).mime == mime


def test_what_servers_do_not_take_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ImageInvalid, match="expected a PNG, JPEG or WebP file"):
        ImageFile.read(b"GIF89a")
    with pytest.raises(ImageInvalid, match="at most 32 MiB"):
        ImageFile.read(PNG + bytes(MAX_IMAGE_BYTES))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(ImageInvalid, match="at most 32 MiB"):
        ImageFile.read(tmp_path / "large")
