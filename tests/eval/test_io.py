"""Files come in as they were made: every frame, every sample, on one timeline."""

import numpy as np
import pytest

from fastvideo.api.errors import EvaluationError
from fastvideo.eval.io import load_video
from fastvideo.media.encoder import SegmentEncoder
from fastvideo.media.timeline import MediaCursor


def test_a_lossless_file_gives_its_frames_and_its_sound_back(tmp_path, texture, video_file):
    frames = texture(7, 32, 48)
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 14000))
    clip = load_video(video_file(tmp_path / "a.mkv", frames, sound))
    assert np.array_equal(clip.frames, frames)
    assert clip.fps == 24
    assert clip.sample_rate_hz == 48000
    assert clip.samples is not None
    assert clip.samples == pytest.approx(sound, abs=4e-5)
    assert clip.duration_s == pytest.approx(7 / 24)


def test_a_file_of_our_own_is_read_with_its_sound_in_place(tmp_path, texture):
    frames = texture(24, 64, 64)
    click = np.zeros((2, 48000), np.float32)
    click[:, 24000:24480] = 0.5
    encoder = SegmentEncoder(
        width=64, height=64, fps=24, cursor=MediaCursor.start(), encoder="libx264", with_audio=True, last=True
    )
    encoder.push_audio(click, 48000)
    fragments = encoder.push_video(frames)
    owed, _ = encoder.finish()
    path = tmp_path / "ours.mp4"
    path.write_bytes(encoder.init_segment + b"".join(fragment.data for fragment in (*fragments, *owed)))
    clip = load_video(path)
    assert clip.frames.shape == frames.shape
    assert clip.samples is not None
    loud = np.flatnonzero(np.abs(clip.samples[0]) > 0.25)
    assert (loud[0], loud[-1]) == pytest.approx((24000, 24479), abs=40)


def test_a_silent_file_has_no_sound_and_a_rate_can_be_given(tmp_path, texture, video_file):
    clip = load_video(video_file(tmp_path / "a.avi", texture(3, 32, 32)), fps=30)
    assert clip.samples is None
    assert clip.fps == 30


@pytest.mark.parametrize(
    ("name", "data"), [("empty.mp4", b""), ("text.mp4", b"no video at all"), ("list.m3u8", b"#EXTM3U\n")]
)
def test_what_is_no_video_is_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EvaluationError, match="cannot be read; expected a video file"):
        load_video(tmp_path / name)


def test_a_file_that_is_absent_and_one_that_is_too_large_are_refused(tmp_path, texture, video_file):
    with pytest.raises(EvaluationError, match="there is no file"):
        load_video(tmp_path / "absent.mp4")
    path = video_file(tmp_path / "a.mkv", texture(5, 32, 32))
    with pytest.raises(EvaluationError, match="GiB of frames; cut it into shorter pieces"):
        load_video(path, max_bytes=4 * 32 * 32 * 3)


def test_sound_without_a_picture_is_refused(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(EvaluationError, match="has no picture"):
        load_video(path)
