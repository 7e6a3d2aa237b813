from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import fastvideo.media.encoder as encoder_module
from fastvideo.api.errors import EncodeError
from fastvideo.media.encoder import Fragment, SegmentEncoder, flush_stream
from fastvideo.media.init_segment import read_init_segment
from fastvideo.media.movie_fragment import ReadSample, read_fragments
from fastvideo.media.timeline import MediaCursor

IDR_SLICE = 5


def track_samples(fragments: list[Fragment], track_id: int) -> list[ReadSample]:
    read = [part for fragment in fragments for part in read_fragments(fragment.data)]
    return [sample for part in read for sample in part.tracks.get(track_id, [])]


def encoder(**changes: Any) -> SegmentEncoder:
    settings: dict[str, Any] = {"width": 64, "height": 48, "fps": 24, "cursor": MediaCursor.start()}
    return SegmentEncoder(**{**settings, "encoder": "libx264", **changes})


@pytest.fixture
def three_segments(coded_session: Any, signal: Any) -> Any:
    session = coded_session()
    sound = signal(3 * 49 * 2_000)
    for index in range(3):
        session.add(49, sound[:, index * 98_000 : (index + 1) * 98_000], last=index == 2)
    return session


class TestAWholeSession:
    def test_its_bytes_are_one_mp4_with_both_tracks_and_every_frame(self, three_segments: Any) -> None:
        with av.open(io.BytesIO(three_segments.file)) as container:
            (video,), (audio,) = container.streams.video, container.streams.audio
            assert (video.width, video.height, audio.rate, audio.channels) == (64, 48, 48_000, 2)
            assert sum(1 for _ in container.decode(video=0)) == 3 * 49

    def test_its_timestamps_rise_strictly_and_leave_no_gap(self, three_segments: Any) -> None:
        packets: dict[str, list[tuple[int, int]]] = {"video": [], "audio": []}
        with av.open(io.BytesIO(three_segments.file)) as container:
            for packet in container.demux():
                if packet.size:
                    packets[packet.stream.type].append((packet.dts, packet.duration))
        for kind, frame in (("video", 512), ("audio", 1_024)):
            times = packets[kind]
            assert all(later == earlier + duration for (earlier, duration), (later, _) in pairwise(times))
            assert {duration for _, duration in times[:-1]} == {frame}
        assert packets["video"][0][0] == 0
        assert packets["audio"][0][0] == -1_024

    def test_sound_and_pictures_end_together(self, three_segments: Any) -> None:
        sound, pictures = (track_samples(three_segments.fragments, track) for track in (2, 1))
        sound_end = Fraction(sound[-1].decode_time + sound[-1].duration - 1_024, 48_000)
        assert sound_end == Fraction(pictures[-1].decode_time + pictures[-1].duration, 12_288) == Fraction(147, 24)

    def test_every_message_is_whole_and_numbered_by_one(self, three_segments: Any) -> None:
        assert read_init_segment(three_segments.init_segments[0])
        for number, fragment in enumerate(three_segments.fragments, start=1):
            (read,) = read_fragments(fragment.data)
            assert read.sequence == fragment.sequence == number

    def test_the_init_segment_stays_the_same_to_the_byte(self, three_segments: Any) -> None:
        assert len(three_segments.init_segments) == 3
        assert len(set(three_segments.init_segments)) == 1

    def test_the_mime_type_is_that_of_the_coded_tracks(self, three_segments: Any) -> None:
        video, audio = read_init_segment(three_segments.init_segments[0])
        assert three_segments.mime == f'video/mp4; codecs="{video.codec}, {audio.codec}"'
        assert video.codec.startswith("avc1.42c0")

    def test_sound_is_behind_the_pictures_by_at_most_64_ms_until_the_end(self, three_segments: Any) -> None:
        sound_s = pictures_s = Fraction(0)
        for fragment in three_segments.fragments:
            (read,) = read_fragments(fragment.data)
            for track, rate, shift in ((1, 12_288, 0), (2, 48_000, 1_024)):
                if samples := read.tracks.get(track):
                    end = Fraction(samples[-1].decode_time + samples[-1].duration - shift, rate)
                    sound_s, pictures_s = (end, pictures_s) if track == 2 else (sound_s, end)
            assert 0 <= pictures_s - sound_s <= Fraction(64, 1_000)
        assert sound_s == pictures_s


@pytest.mark.parametrize("fps", [24, 25, 30, 60, 23.976, 12.5, 6, 2])
def test_fragments_are_short_and_begin_with_a_key_picture_every_second(fps: float, coded_session: Any) -> None:
    session = coded_session(fps=fps)
    frames = round(3 * fps) + 1
    fragments = session.add(frames)
    samples = [read_fragments(fragment.data)[0].tracks[1] for fragment in fragments]
    assert sum(len(pictures) for pictures in samples) == frames
    assert len(samples[0]) <= 2
    frame_ms = 1_000 / fps
    for fragment, pictures in zip(fragments, samples, strict=True):
        assert fragment.duration_ms == pytest.approx(len(pictures) * frame_ms, rel=1e-5)
        assert fragment.duration_ms <= max(250, frame_ms) + 1e-3
        assert fragment.keyframe == pictures[0].keyframe
        assert not any(picture.keyframe for picture in pictures[1:])
        for picture in pictures:
            assert (picture.data[4] & 0x1F == IDR_SLICE) == picture.keyframe
    key_times_ms = [fragment.pts_ms for fragment in fragments if fragment.keyframe]
    assert key_times_ms[0] == 0
    assert all(later - earlier <= max(1_000, frame_ms) + 1e-3 for earlier, later in pairwise(key_times_ms))


def test_each_segment_begins_with_a_key_picture_on_the_sessions_time(three_segments: Any) -> None:
    for index, fragments in enumerate(three_segments.segments):
        assert fragments[0].keyframe
        assert fragments[0].pts_ms == pytest.approx(index * 49 * 1_000 / 24)
        assert len(read_fragments(fragments[0].data)[0].tracks[1]) == 2


def test_the_same_cursor_and_input_give_the_same_bytes_however_frames_are_batched(
    coded_session: Any, signal: Any, grey_frames: Any
) -> None:
    session = coded_session()
    session.add(25, signal(50_000))
    cursor, sound, frames = session.cursor, signal(50_000, seed=1), grey_frames(25)
    expected = session.add(25, sound)
    after = session.cursor
    for batch in (1, 7, 25):
        again = encoder(cursor=MediaCursor.from_dict(cursor.to_dict()))
        again.push_audio(sound, 48_000)
        fragments = [part for at in range(0, 25, batch) for part in again.push_video(frames[at : at + batch])]
        owed, cursor_after = again.finish()
        assert [part.data for part in fragments + owed] == [part.data for part in expected]
        assert cursor_after == after


def test_fragments_leave_as_soon_as_their_pictures_are_there(grey_frames: Any) -> None:
    segment = encoder()
    left = [len(segment.push_video(frame[np.newaxis])) for frame in grey_frames(13)]
    assert left == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]
    assert len(segment.finish()[0]) == 1


class TestPictures:
    COLOUR = (200, 60, 30)

    def mean_colour(self, session: Any) -> NDArray[np.float64]:
        with av.open(io.BytesIO(session.file)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.mean(frames, axis=(0, 1, 2))

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16])
    def test_their_colour_is_kept_for_bytes_and_floats(self, dtype: type, coded_session: Any) -> None:
        colour = np.array(self.COLOUR)
        value = colour if dtype is np.uint8 else colour / 255
        session = coded_session()
        session.add(np.broadcast_to(value.astype(dtype), (5, 48, 64, 3)))
        assert np.abs(self.mean_colour(session) - colour).max() < 3

    def test_floats_are_coded_exactly_as_the_bytes_nearest_to_them(self, coded_session: Any) -> None:
        levels = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
        off = np.random.default_rng(4).uniform(-0.4, 0.4, levels.shape)
        as_bytes, as_floats = coded_session(), coded_session()
        as_bytes.add(levels)
        as_floats.add(((levels + off) / 255).astype(np.float32))
        assert as_bytes.file == as_floats.file

    def test_they_are_tagged_bt709_limited_range(self, coded_session: Any) -> None:
        session = coded_session()
        session.add(2)
        with av.open(io.BytesIO(session.file)) as container:
            frame = next(container.decode(video=0))
            assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)

    def test_what_goes_in_comes_out_in_order(self, coded_session: Any) -> None:
        levels = np.random.default_rng(1).integers(30, 220, 60).astype(np.uint8)
        session = coded_session()
        session.add(np.broadcast_to(levels[:30, None, None, None], (30, 48, 64, 3)))
        session.add(np.broadcast_to(levels[30:, None, None, None], (30, 48, 64, 3)))
        with av.open(io.BytesIO(session.file)) as container:
            decoded = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
        assert np.abs(np.array(decoded) - levels).max() < 4

    def test_views_that_are_not_contiguous_are_coded_right(self, coded_session: Any) -> None:
        planes = np.random.default_rng(2).integers(0, 256, (3, 2, 48, 64), dtype=np.uint8)
        straight, strided = coded_session(), coded_session()
        straight.add(np.ascontiguousarray(planes.transpose(1, 2, 3, 0)))
        strided.add(planes.transpose(1, 2, 3, 0))
        assert straight.file == strided.file

    def test_noise_stays_below_the_ceiling(self, coded_session: Any) -> None:
        session = coded_session(width=640, height=352)
        session.add(np.random.default_rng(3).integers(0, 256, (48, 352, 640, 3), dtype=np.uint8))
        assert sum(len(part.data) for part in session.fragments) < 640 * 352 * 48 * 0.25 / 8 * 2

    @pytest.mark.parametrize(
        ("frames", "message"),
        [
            (np.zeros((2, 48, 66, 3), np.uint8), r"shape \[N, 48, 64, 3\], got \[2, 48, 66, 3\]"),
            (np.zeros((48, 64, 3), np.uint8), r"got \[48, 64, 3\]"),
            (np.zeros((2, 48, 64, 4), np.uint8), r"got \[2, 48, 64, 4\]"),
            ([0], "got list"),
            (np.zeros((2, 48, 64, 3), np.int64), "expected uint8 frames, or float frames in 0..1; got int64"),
            (np.full((2, 48, 64, 3), np.nan), "NaN or infinite"),
            (np.full((2, 48, 64, 3), 200.0), "in 0..1, got 200..200"),
            (np.full((2, 48, 64, 3), -0.5), "in 0..1, got -0.5..-0.5"),
        ],
    )
    def test_wrong_ones_are_refused_before_any_is_coded(self, frames: Any, message: str, grey_frames: Any) -> None:
        segment = encoder()
        with pytest.raises(ValueError, match=message):
            segment.push_video(frames)
        fragments = segment.push_video(grey_frames(2))
        assert len(track_samples(fragments, 1)) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 65}, "width must be an even number from 16 to 8192.*got 65"),
        ({"height": 0}, "height must be an even number"),
        ({"height": 10_000}, "height must be an even number"),
        ({"fps": 0}, "fps must be above 0"),
        ({"encoder": "libx265"}, "encoder must be auto, libx264 or h264_nvenc, got 'libx265'"),
        ({"preset": "placebo"}, "preset must be one of ultrafast"),
        ({"cursor": MediaCursor(ended=True)}, "flushed to its end"),
    ],
)
def test_settings_that_cannot_be_coded_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(**settings)


class TestSound:
    def test_comes_once_and_before_the_pictures(self, signal: Any, grey_frames: Any) -> None:
        segment = encoder()
        assert segment.push_audio(signal(100), 48_000) == []
        with pytest.raises(ValueError, match="whole sound at once, before its first picture"):
            segment.push_audio(signal(100), 48_000)
        late = encoder()
        late.push_video(grey_frames(1))
        with pytest.raises(ValueError, match="before its first picture"):
            late.push_audio(signal(100), 48_000)

    def test_has_no_place_without_a_sound_track(self, signal: Any) -> None:
        with pytest.raises(ValueError, match="with_audio=False"):
            encoder(with_audio=False).push_audio(signal(100), 48_000)

    def test_that_is_missing_is_a_silent_track(self, coded_session: Any, sound_of: Any) -> None:
        session = coded_session()
        session.add(24, last=True)
        assert len(read_init_segment(session.init_segments[0])) == 2
        assert np.abs(sound_of(session.file, 48_000)).max() < 1e-4

    def test_that_is_longer_than_the_pictures_is_cut(self, coded_session: Any, signal: Any) -> None:
        session = coded_session()
        session.add(24, signal(60_000), last=True)
        sound = track_samples(session.fragments, 2)
        assert sound[-1].decode_time + sound[-1].duration - 1_024 == 48_000

    def test_never_leaves_before_its_pictures(self, signal: Any, grey_frames: Any) -> None:
        segment = encoder()
        segment.push_audio(signal(480_000), 48_000)
        for count in range(1, 4):
            for fragment in segment.push_video(grey_frames(6)):
                sound = read_fragments(fragment.data)[0].tracks[2]
                # The second half of an AAC frame's window ends one frame after it is presented.
                assert sound[-1].decode_time + 1_024 <= count * 6 * 2_000

    def test_a_stream_can_be_pictures_alone(self, coded_session: Any) -> None:
        session = coded_session(with_audio=False)
        session.add(30)
        session.add(30, last=True)
        assert len(read_init_segment(session.init_segments[0])) == 1
        assert session.mime == f'video/mp4; codecs="{read_init_segment(session.init_segments[0])[0].codec}"'
        with av.open(io.BytesIO(session.file)) as container:
            assert not container.streams.audio
            assert sum(1 for _ in container.decode(video=0)) == 60
        assert flush_stream(session.cursor)[0] == []

    def test_may_begin_in_a_later_segment(self, coded_session: Any, signal: Any) -> None:
        session = coded_session(with_audio=False)
        session.add(25)
        session.with_audio = True
        session.add(25, signal(50_000), last=True)
        sound = track_samples(session.segments[1], 2)
        assert 0 <= 50_000 - (sound[0].decode_time - 1_024) < 3_072
        assert sound[-1].decode_time + sound[-1].duration - 1_024 == 100_000


class TestTheEnd:
    def test_of_a_stream_can_be_flushed_later(self, coded_session: Any, signal: Any, sound_of: Any) -> None:
        sound = signal(98_000)
        later, at_once = coded_session(), coded_session()
        later.add(49, sound)
        at_once.add(49, sound, last=True)
        (fragment,), cursor = flush_stream(later.cursor)
        assert fragment.sequence == later.fragments[-1].sequence + 1
        assert set(read_fragments(fragment.data)[0].tracks) == {2}
        assert fragment.pts_ms + fragment.duration_ms == pytest.approx(49 / 24 * 1_000)
        assert not fragment.keyframe
        assert cursor.ended
        error = sound_of(later.file + fragment.data, 98_000) - sound
        assert np.std(error[:, -2_000:]) < 1.2 * np.std(error[:, 40_000:60_000])
        at_once_error = sound_of(at_once.file, 98_000) - sound
        assert np.std(at_once_error[:, -2_000:]) < 1.2 * np.std(at_once_error[:, 40_000:60_000])

    def test_lets_nothing_follow(self, coded_session: Any) -> None:
        session = coded_session()
        session.add(3, last=True)
        assert session.cursor.ended
        assert flush_stream(session.cursor) == ([], session.cursor)
        with pytest.raises(ValueError, match="start a new one"):
            session.add(3)

    def test_of_a_timeline_without_segments_owes_nothing(self) -> None:
        fragments, cursor = flush_stream(MediaCursor.start())
        assert fragments == []
        assert cursor.ended

    def test_can_come_with_an_empty_last_segment(self, coded_session: Any, signal: Any, grey_frames: Any) -> None:
        session = coded_session()
        session.add(25, signal(50_000))
        fragments = session.add(grey_frames(0), last=True)
        assert [set(read_fragments(part.data)[0].tracks) for part in fragments] == [{2}]
        sound = track_samples(session.fragments, 2)
        assert sound[-1].decode_time + sound[-1].duration - 1_024 == 50_000
        empty = coded_session()
        assert empty.add(grey_frames(0), last=True) == []


class TestAnEarlyEnd:
    """Somebody cancelled the segment: the next one goes on where the pictures really ended."""

    def test_leaves_a_timeline_without_a_gap(self, coded_session: Any, signal: Any, grey_frames: Any) -> None:
        session = coded_session()
        session.add(grey_frames(31), signal(242_000))
        session.add(25, signal(50_000, seed=1), last=True)
        for track, total in ((1, 56 * 512), (2, 56 * 2_000 + 1_024)):
            samples = track_samples(session.fragments, track)
            assert samples[0].decode_time == 0
            assert all(b.decode_time == a.decode_time + a.duration for a, b in pairwise(samples))
            assert samples[-1].decode_time + samples[-1].duration == total

    def test_before_the_first_picture_changes_nothing(self, coded_session: Any, grey_frames: Any) -> None:
        session = coded_session()
        session.add(5)
        before = session.cursor
        assert session.add(grey_frames(0)) == []
        assert session.cursor == before

    @pytest.mark.parametrize("frames", [1, 2, 3])
    def test_after_a_picture_or_two_keeps_sound_in_step(
        self, frames: int, coded_session: Any, signal: Any, sound_of: Any, grey_frames: Any
    ) -> None:
        sound = signal(20 * frames * 2_000)
        session = coded_session()
        for index in range(20):
            start = index * frames * 2_000
            session.add(frames, sound[:, start : start + frames * 2_000], last=index == 19)
        decoded = sound_of(session.file, sound.shape[1])
        error = np.std(decoded - sound)
        assert error < 0.2 * np.std(sound)


def test_another_rate_or_size_goes_on_at_the_same_time_with_a_new_init_segment(coded_session: Any, signal: Any) -> None:
    session = coded_session(fps=24)
    session.add(25, signal(50_000))
    session.fps = 30
    session.add(30, signal(48_000))
    assert session.segments[1][0].pts_ms == pytest.approx(25 / 24 * 1_000, abs=0.05)
    assert session.init_segments[0] != session.init_segments[1]
    sound = track_samples(session.fragments, 2)
    assert all(b.decode_time == a.decode_time + a.duration for a, b in pairwise(sound))
    assert session.cursor.end_s == pytest.approx(25 / 24 + 1, abs=1e-4)


def test_it_tells_whether_the_init_segment_changed(coded_session: Any) -> None:
    session = coded_session()
    assert not encoder(cursor=session.cursor).init_changed
    session.add(3)
    assert not encoder(cursor=session.cursor).init_changed
    assert encoder(cursor=session.cursor, width=80).init_changed


def test_it_tells_its_place_on_the_timeline(coded_session: Any, grey_frames: Any) -> None:
    session = coded_session()
    session.add(49)
    segment = encoder(cursor=session.cursor)
    segment.push_video(grey_frames(12))
    assert segment.pts_base_ms == pytest.approx(49 / 24 * 1_000)
    assert segment.duration_ms == pytest.approx(500)


class FailingVideoCoder(encoder_module.VideoCoder):
    """Dies on its fifth picture."""

    def code(self, frame: av.VideoFrame) -> Any:
        if self._frames_in == 4:
            raise EncodeError("the coder died")
        return super().code(frame)


class LosingVideoCoder(encoder_module.VideoCoder):
    """Swallows its third picture."""

    def code(self, frame: av.VideoFrame) -> Any:
        coded = super().code(frame)
        if self._frames_in == 3:
            self._pictures_out -= 1
            return []
        return coded


class TestADeadCoder:
    def test_is_an_error_and_not_a_short_video(self, monkeypatch: pytest.MonkeyPatch, grey_frames: Any) -> None:
        monkeypatch.setattr(encoder_module, "VideoCoder", FailingVideoCoder)
        segment = encoder()
        with pytest.raises(EncodeError, match="the coder died"):
            segment.push_video(grey_frames(10))
        with pytest.raises(EncodeError, match="finished or its coder failed"):
            segment.finish()

    def test_that_loses_a_picture_is_noticed(self, monkeypatch: pytest.MonkeyPatch, grey_frames: Any) -> None:
        monkeypatch.setattr(encoder_module, "VideoCoder", LosingVideoCoder)
        segment = encoder()
        with pytest.raises(EncodeError, match="gave picture 3 where 2 was due"):
            segment.push_video(grey_frames(5))

    def test_that_loses_the_last_picture_is_noticed(self, monkeypatch: pytest.MonkeyPatch, grey_frames: Any) -> None:
        monkeypatch.setattr(encoder_module, "VideoCoder", LosingVideoCoder)
        segment = encoder()
        segment.push_video(grey_frames(3))
        with pytest.raises(EncodeError, match="took 3 pictures and gave back 2"):
            segment.finish()


def test_a_closed_encoder_takes_nothing_more(grey_frames: Any) -> None:
    with encoder() as segment:
        segment.push_video(grey_frames(3))
    segment.close()
    calls: list[Callable[[], object]] = [lambda: segment.push_video(grey_frames(1)), segment.finish]
    for call in calls:
        with pytest.raises(EncodeError, match="finished or its coder failed"):
            call()


def test_a_finished_encoder_cannot_finish_again(grey_frames: Any) -> None:
    segment = encoder()
    segment.push_video(grey_frames(3))
    segment.finish()
    with pytest.raises(EncodeError):
        segment.finish()


def test_the_cursor_knows_the_init_segment(coded_session: Any) -> None:
    session = coded_session()
    session.add(3)
    assert session.cursor.parameter_hash == hashlib.sha256(session.init_segments[0]).hexdigest()[:32]
