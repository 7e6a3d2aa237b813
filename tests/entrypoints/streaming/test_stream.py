from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import fastvideo.entrypoints.streaming.stream as stream
from fastvideo.api.errors import EncodeError
from fastvideo.entrypoints.streaming.stream import FragmentedMP4Chunk, FragmentedMP4Encoder
from fastvideo.media.init_segment import read_init_segment
from fastvideo.media.movie_fragment import read_fragments

WIDTH, HEIGHT = 64, 48


def encoder(**changes: Any) -> FragmentedMP4Encoder:
    settings: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "fps": 24, "segment_idx": 3, "encoder": "libx264"}
    return FragmentedMP4Encoder(**{**settings, **changes})


def frames(count: int, dtype: type = np.uint8) -> list[NDArray[Any]]:
    return [np.full((HEIGHT, WIDTH, 3), 40 + index, dtype) for index in range(count)]


async def encode_all(subject: FragmentedMP4Encoder, pictures: Any, **sound: Any) -> list[FragmentedMP4Chunk]:
    async with subject:
        return [chunk async for chunk in subject.encode(pictures, **sound)]


async def test_one_init_chunk_comes_first_and_then_whole_fragments() -> None:
    subject = encoder(stream_id="abc")
    chunks = await encode_all(subject, frames(30))
    assert [chunk.kind for chunk in chunks] == ["init"] + ["media"] * (len(chunks) - 1)
    assert len(read_init_segment(chunks[0].data)) == 2
    assert [read_fragments(chunk.data)[0].sequence for chunk in chunks[1:]] == list(range(1, len(chunks)))
    assert {(chunk.stream_id, chunk.segment_idx) for chunk in chunks} == {("abc", 3)}
    with av.open(io.BytesIO(b"".join(chunk.data for chunk in chunks))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


async def test_frames_may_come_as_they_are_made() -> None:
    made: list[int] = []

    async def source() -> AsyncIterator[NDArray[Any]]:
        for index, frame in enumerate(frames(14)):
            made.append(index)
            yield frame

    seen_at: list[int] = []
    async with encoder() as subject:
        chunks = []
        async for chunk in subject.encode(source()):
            chunks.append(chunk)
            seen_at.append(len(made))
    assert seen_at[:3] == [1, 2, 6]
    assert [chunk.data for chunk in chunks] == [chunk.data for chunk in await encode_all(encoder(), frames(14))]


async def test_a_following_segment_goes_on_where_the_first_ended() -> None:
    first = encoder()
    await encode_all(first, frames(25), audio=np.zeros((2, 50_000), np.float32), sample_rate=48_000)
    assert first.next_cursor is not None
    chunks = await encode_all(encoder(cursor=first.next_cursor, stream_id=first.stream_id), frames(5))
    assert read_fragments(chunks[1].data)[0].tracks[1][0].decode_time == 25 * 512


async def test_each_stream_gets_an_id_of_32_hex_digits() -> None:
    ids = {encoder().stream_id, encoder().stream_id}
    assert len(ids) == 2
    assert all(len(bytes.fromhex(one)) == 16 for one in ids)


async def test_the_mime_type_is_known_once_it_is_open() -> None:
    subject = encoder()
    with pytest.raises(RuntimeError, match="inside 'async with'"):
        _ = subject.mime
    async with subject:
        assert subject.mime.startswith('video/mp4; codecs="avc1.42c0')
        assert "mp4a.40.2" in subject.mime


async def test_other_whole_numbers_are_taken_as_pixel_values() -> None:
    as_bytes = await encode_all(encoder(), frames(4))
    as_numbers = await encode_all(encoder(), frames(4, np.int64))
    assert [chunk.data for chunk in as_bytes] == [chunk.data for chunk in as_numbers]


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        ([[0]], TypeError, "frames must be numpy arrays"),
        (np.zeros((HEIGHT, WIDTH + 2, 3), np.uint8), ValueError, r"shape \[48, 64, 3\], got \[48, 66, 3\]"),
        (np.zeros((HEIGHT, WIDTH), np.uint8), ValueError, r"got \[48, 64\]"),
        (np.full((HEIGHT, WIDTH, 3), 256, np.int32), ValueError, "pixel values 0..255"),
        (np.full((HEIGHT, WIDTH, 3), -1, np.int8), ValueError, "pixel values 0..255"),
        (np.zeros((HEIGHT, WIDTH, 3), bool), ValueError, "got bool"),
        (np.full((HEIGHT, WIDTH, 3), np.nan, np.float32), ValueError, "NaN"),
    ],
)
async def test_a_wrong_frame_is_an_error(frame: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        await encode_all(encoder(), [*frames(1), frame])


async def test_no_frames_are_an_error_and_not_an_empty_video() -> None:
    with pytest.raises(EncodeError, match="at least one frame, got none"):
        await encode_all(encoder(), [])


async def test_sound_needs_its_rate() -> None:
    with pytest.raises(ValueError, match="sample_rate"):
        await encode_all(encoder(), frames(1), audio=np.zeros((2, 10), np.float32))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ffmpeg_path": "/opt/ffmpeg"}, "ffmpeg_path: no ffmpeg program is run"),
        ({"extra_args": ["-crf", "1"]}, "extra_args: there is no ffmpeg command line"),
        ({"pixel_format_out": "yuv444p"}, "browsers play yuv420p only"),
    ],
)
def test_settings_of_an_ffmpeg_program_are_refused_with_a_reason(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(**setting)
    encoder(ffmpeg_path="ffmpeg", extra_args=[], pixel_format_out="yuv420p")


async def test_a_size_that_cannot_be_coded_is_refused_on_opening() -> None:
    with pytest.raises(ValueError, match="width must be an even number"):
        await encode_all(encoder(width=63), frames(1))


async def test_an_encoder_is_used_once() -> None:
    async with encoder() as subject:
        assert [chunk async for chunk in subject.encode(frames(2))]
        with pytest.raises(RuntimeError, match="codes one segment"):
            await anext(subject.encode(frames(2)))


async def test_closing_twice_or_in_mid_segment_is_harmless() -> None:
    subject = encoder()
    async with subject:
        chunks = subject.encode(frames(60))
        await anext(chunks)
        await subject.close()
        with pytest.raises(EncodeError, match="closed while it was coding"):
            async for _ in chunks:
                pass
    await subject.close()
    for thread in threading.enumerate():
        if thread.name.startswith("fmp4-encoder"):
            thread.join(30)
            assert not thread.is_alive()


async def test_close_does_not_wait_for_ever_for_a_coder_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release, entered = threading.Event(), threading.Event()

    def hang(segment: Any, pictures: Any) -> list[Any]:
        entered.set()
        release.wait(60)
        return []

    monkeypatch.setattr(stream, "_code", hang)
    monkeypatch.setattr(stream, "_CLOSE_TIMEOUT_S", 0.05)
    subject = encoder()
    async with subject:
        coding = asyncio.create_task(anext(subject.encode(frames(1))))
        await asyncio.to_thread(entered.wait, 60)
        await subject.close()
        assert "still runs" in caplog.text
        release.set()
        assert (await coding).kind == "init"
