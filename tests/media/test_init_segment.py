from __future__ import annotations

import contextlib
import io

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.media.boxes import BoxError, box, parse_boxes
from fastvideo.media.h264 import ParameterSets
from fastvideo.media.init_segment import AudioTrack, VideoTrack, mime_type, read_init_segment, write_init_segment

VIDEO = VideoTrack(1280, 704, 12288, ParameterSets(bytes.fromhex("6742c01fda0140160e8400"), bytes.fromhex("68ce0fc8")))
AUDIO = AudioTrack(48_000, 2, 160_000, 1024, bytes.fromhex("119056e500"))
INIT = write_init_segment(VIDEO, AUDIO)


def test_the_tracks_are_read_back() -> None:
    video, audio = read_init_segment(INIT)
    assert (video.track_id, video.timescale, video.codec) == (1, 12288, "avc1.42c01f")
    assert (video.width_px, video.height_px, video.edit_media_time) == (1280, 704, 0)
    assert (audio.track_id, audio.timescale, audio.codec) == (2, 48_000, "mp4a.40.2")
    assert (audio.sample_rate_hz, audio.channels, audio.edit_media_time) == (48_000, 2, 1024)


def test_it_is_one_ftyp_and_one_moov() -> None:
    assert [found.kind for found in parse_boxes(INIT)] == [b"ftyp", b"moov"]


def test_the_mime_type_names_the_coded_tracks() -> None:
    assert mime_type(VIDEO, AUDIO) == 'video/mp4; codecs="avc1.42c01f, mp4a.40.2"'
    assert mime_type(VIDEO, None) == 'video/mp4; codecs="avc1.42c01f"'


def test_ffmpeg_reads_both_tracks_from_it() -> None:
    with av.open(io.BytesIO(INIT)) as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (video.codec_context.name, video.width, video.height) == ("h264", 1280, 704)
        assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 48_000, 2)
        assert (video.time_base.denominator, audio.time_base.denominator) == (12288, 48_000)
        assert audio.codec_context.extradata == AUDIO.config


def test_a_file_can_tell_its_duration() -> None:
    movie = parse_boxes(write_init_segment(VIDEO, None, duration_ms=5042))[1]
    assert movie.child(b"mvex").child(b"mehd").fields("Q", 4) == (5042,)
    assert not [found for found in parse_boxes(INIT)[1].child(b"mvex").children() if found.kind == b"mehd"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got nothing"),
        (box(b"ftyp"), "got 'ftyp'"),
        (INIT + INIT, "got 'ftyp', 'moov', 'ftyp', 'moov'"),
        (box(b"ftyp") + box(b"moov"), "expected one 'mvex' box"),
        (box(b"ftyp") + box(b"moov", box(b"mvex")), "0 tracks"),
    ],
)
def test_anything_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BoxError, match=message):
        read_init_segment(data)


@settings(max_examples=300)
@given(st.integers(0, len(INIT) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_but_never_breaks_the_reader(at: int, value: int) -> None:
    changed = bytearray(INIT)
    changed[at] = value
    with contextlib.suppress(BoxError):
        assert read_init_segment(bytes(changed))


@given(st.integers(0, len(INIT) - 1))
def test_every_truncation_is_an_error(size: int) -> None:
    with pytest.raises(BoxError):
        read_init_segment(INIT[:size])
