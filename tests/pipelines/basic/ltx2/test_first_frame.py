from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastvideo.api.errors import ImageInvalid
from fastvideo.pipelines.basic.ltx2.first_frame import fit, load_pixels


def gradient(height: int, width: int) -> np.ndarray:
    x = np.linspace(0, 255, width)[None, :, None]
    y = np.linspace(0, 255, height)[:, None, None]
    return np.concatenate([np.broadcast_to(x, (height, width, 1)), np.broadcast_to(y, (height, width, 1))] * 2, 2)[
        ..., :3
    ].astype(np.uint8)


def test_a_picture_of_the_frames_size_stays_as_it_is() -> None:
    picture = gradient(48, 64)
    assert np.array_equal(fit(picture, height=48, width=64), picture)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 32), (32, 96), (200, 100)])
def test_a_picture_covers_the_frame_and_is_cut_in_the_middle(height: int, width: int) -> None:
    frame = fit(gradient(100, 150), height=height, width=width)
    assert frame.shape == (height, width, 3)
    middle = frame[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].reshape(-1, 3).mean(0)
    assert np.abs(middle[:2] - 127.5).max() < 6


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_files_of_each_kind_are_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"picture.{suffix}"
    Image.new("RGBA" if suffix != "jpg" else "RGB", (40, 40), (200, 100, 50)).save(file)
    frame = fit(load_pixels(str(file)), height=32, width=32)
    assert np.abs(frame.astype(int) - (200, 100, 50)).max() < 6


def test_a_turned_photo_is_turned_back(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    picture = Image.new("RGB", (64, 32), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(file, exif=exif, quality=95)
    frame = fit(load_pixels(str(file)), height=64, width=32)
    assert frame[8, 16, 2] > 200
    assert frame[56, 16, 0] > 200


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a" + bytes(40)])
def test_what_is_no_picture_is_an_image_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(content)
    with pytest.raises(ImageInvalid):
        fit(load_pixels(str(file)), height=32, width=32)


def test_a_missing_file_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageInvalid):
        fit(load_pixels(str(tmp_path / "none.png")), height=32, width=32)


def test_an_enormous_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    Image.new("1", (8000, 8000)).save(file)
    with pytest.raises(ImageInvalid, match="8000x8000"):
        fit(load_pixels(str(file)), height=32, width=32)
