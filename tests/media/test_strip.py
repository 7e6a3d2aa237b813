from __future__ import annotations

import io

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.media.strip import draw_strip, read_strip


@given(st.integers(0, 1_023), st.integers(0, 4_095), st.integers(256, 700), st.integers(16, 40))
def test_the_numbers_drawn_are_read(segment: int, frame: int, width_px: int, height_px: int) -> None:
    picture = np.full((height_px, width_px, 3), 130, np.uint8)
    drawn = draw_strip(picture, segment, frame)
    assert read_strip(drawn) == (segment, frame)
    assert (drawn[16:] == 130).all()
    assert (picture == 130).all()


def test_the_layout_is_the_documented_one() -> None:
    drawn = draw_strip(np.full((16, 264, 3), 9, np.uint8), 1, 2)
    cells = "10" + "0000000001" + "000000000010" + "101111" + "01"
    assert "".join(str(int(drawn[8, 8 * cell + 4, 0] == 255)) for cell in range(32)) == cells
    assert not drawn[:, 256:].any()


def test_a_batch_gets_consecutive_numbers_that_wrap() -> None:
    drawn = draw_strip(np.zeros((3, 16, 256, 3), np.float32), 1_024 + 5, 4_095)
    assert drawn.dtype == np.float32
    assert drawn.max() == 1.0
    assert [read_strip((picture * 255).astype(np.uint8)) for picture in drawn] == [(5, 4_095), (5, 0), (5, 1)]


def test_the_strip_survives_a_starved_coder() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, 144, 256, 3), dtype=np.uint8)
    stamped = draw_strip(noise, 300, 77)
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast", "b": "60k", "qmin": "40"})
        stream.width, stream.height, stream.pix_fmt = 256, 144, "yuv420p"
        for picture in stamped:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    assert len(data.getvalue()) < 12 * 256 * 144 * 3 / 50
    data.seek(0)
    with av.open(data) as container:
        read = [read_strip(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert read == [(300, 77 + index) for index in range(12)]


@given(st.integers(0, 29), st.integers(1, 2))
def test_a_burst_of_cells_that_flipped_is_noticed(first: int, length: int) -> None:
    drawn = draw_strip(np.zeros((16, 256, 3), np.uint8), 123, 456)
    drawn[:, 8 * (first + 2 - length) : 8 * (first + 2)] ^= 255
    assert read_strip(drawn) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_has_no_strip(level: int) -> None:
    assert read_strip(np.full((64, 256, 3), level, np.uint8)) is None


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="256x16 px or more, the picture has 254x64"):
        draw_strip(np.zeros((64, 254, 3), np.uint8), 0, 0)
    with pytest.raises(ValueError, match="256x14"):
        read_strip(np.zeros((14, 256, 3), np.uint8))
    with pytest.raises(ValueError, match=r"\[H, W, 3\], got \[16, 256\]"):
        read_strip(np.zeros((16, 256), np.uint8))
