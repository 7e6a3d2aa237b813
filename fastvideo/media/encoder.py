"""Codes one segment of a session: frames and sound in, whole fMP4 fragments of the session's one timeline out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import EncodeError
from fastvideo.media.audio_coder import AacFrame, AudioCoder
from fastvideo.media.init_segment import AUDIO_TRACK, VIDEO_TRACK, VideoTrack, mime_type, write_init_segment
from fastvideo.media.movie_fragment import DELTA_FLAGS, KEYFRAME_FLAGS, Sample, TrackRun, write_fragment
from fastvideo.media.soundtrack import Soundtrack, checked_waveform, silence
from fastvideo.media.timeline import (
    AAC_FRAME_SAMPLES,
    AUDIO_RATE_HZ,
    TAIL_SAMPLES,
    FrameClock,
    MediaCursor,
    samples_at,
    tail_bytes,
)
from fastvideo.media.video_coder import PRESETS, VideoCoder, choose_encoder

FRAGMENT_S = Fraction(1, 4)
FIRST_FRAGMENT_FRAMES = 2
_KEYFRAME_INTERVAL_S = 1
_MIN_SIZE_PX, _MAX_SIZE_PX = 16, 8192
_FLOAT_OVERSHOOT = 0.05


Pictures = NDArray[np.uint8] | NDArray[np.floating]


@dataclass(frozen=True)
class Fragment:
    """One ``moof`` + ``mdat`` pair; times are those of its pictures (of its sound when it has none) on the session."""

    data: bytes
    sequence: int
    pts_ms: float
    duration_ms: float
    keyframe: bool


class SegmentEncoder:
    """Codes one segment from where ``cursor`` says the last one ended. Synchronous; not for two threads at once.

    Sound comes first and whole (``push_audio``, at most once), then pictures as they are made (``push_video``), then
    ``finish``. Fragments are cut by frame number alone, so the same cursor and input give the same bytes however the
    frames were batched. With ``last`` the sound is coded to the very end of the pictures and nothing can follow.
    Raises ValueError for settings and input that cannot be coded, EncodeError when a coder fails.
    """

    def __init__(
        self,
        *,
        width: int,
        height: int,
        fps: float,
        cursor: MediaCursor,
        encoder: str = "auto",
        with_audio: bool = True,
        last: bool = False,
        preset: str = PRESETS[0],
    ) -> None:
        for label, size in (("width", width), ("height", height)):
            if not _MIN_SIZE_PX <= size <= _MAX_SIZE_PX or size % 2:
                raise ValueError(
                    f"{label} must be an even number from {_MIN_SIZE_PX} to {_MAX_SIZE_PX}: "
                    f"H.264 stores colour for 2x2 pixels; got {size}"
                )
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {preset!r}")
        if cursor.ended:
            raise ValueError("this timeline was flushed to its end; start a new one with MediaCursor.start()")
        clock = FrameClock.for_fps(fps)
        self._clock, self._cursor, self._last = clock, cursor, last
        self._size = (height, width)
        self._start_ticks = cursor.ticks_in(clock.timescale)
        self._fragment_frames = max(1, int(FRAGMENT_S / clock.frame_s))
        per_interval = max(1, int(_KEYFRAME_INTERVAL_S / clock.frame_s))
        # Keyframes fall on fragment starts.
        gop_frames = max(1, per_interval // self._fragment_frames) * self._fragment_frames

        self._video: VideoCoder | None = VideoCoder(
            choose_encoder(encoder, width=width, height=height),
            width=width,
            height=height,
            rate=1 / clock.frame_s,
            gop_frames=gop_frames,
            preset=preset,
        )
        self._audio = AudioCoder(cursor.audio_samples) if with_audio else None
        self._sound: Soundtrack | None = None
        self._second_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="picture-converter")
        self._scaled: NDArray[np.float32] | None = None

        self._frames = 0
        self._pictures = 0
        self._sequence = cursor.sequence
        self._waiting: list[Sample] = []
        self._fragment_keyframe = False

        video_track = VideoTrack(width, height, clock.timescale, self._video.parameter_sets)
        audio_track = self._audio.track if self._audio else None
        self.encoder = self._video.encoder
        self._tracks = video_track, audio_track
        self.init_segment = write_init_segment(*self._tracks)
        self.mime = mime_type(*self._tracks)
        self._parameter_hash = hashlib.sha256(self.init_segment).hexdigest()[:32]

    @property
    def pts_base_ms(self) -> float:
        """Where the segment's first picture lies on the session's timeline."""
        return self._ms(self._start_ticks)

    @property
    def duration_ms(self) -> float:
        """Duration of the pictures coded so far."""
        return self._ms(self._pictures * self._clock.ticks_per_frame)

    @property
    def init_changed(self) -> bool:
        """Whether the init segment differs from the one that the segment before had (another size, rate or encoder)."""
        return self._cursor.parameter_hash not in ("", self._parameter_hash)

    def file_init_segment(self) -> bytes:
        """The init segment for a file that ends with this segment: it also tells the duration."""
        return write_init_segment(*self._tracks, duration_ms=round(self._ms(self._end_ticks)))

    def push_audio(self, waveform: NDArray[np.floating], sample_rate: int) -> list[Fragment]:
        """Give the segment's whole sound, before its first picture: float [2, n] or [1, n] in -1..1.

        It is converted to 48 kHz, and trimmed or padded to the pictures' length. Sound leaves with its pictures, so no
        fragment is ready yet. A segment without this call is silent.
        """
        self._open_video()
        if self._audio is None:
            raise ValueError("this encoder was made with with_audio=False")
        if self._sound is not None or self._frames:
            raise ValueError("push_audio takes a segment's whole sound at once, before its first picture")
        self._sound = self._soundtrack(checked_waveform(waveform, sample_rate), sample_rate)
        return []

    def push_video(self, frames: Pictures) -> list[Fragment]:
        """Code pictures [N, H, W, 3] RGB, uint8 or float in 0..1; returns the fragments that they complete."""
        video = self._open_video()
        self._check_frames(frames)
        fragments: list[Fragment] = []
        try:
            for frame in self._converted(video, frames):
                self._frames += 1
                for coded in video.code(frame):
                    self._add_picture(coded.parts, coded.keyframe)
                    if self._pictures == FIRST_FRAGMENT_FRAMES or self._pictures % self._fragment_frames == 0:
                        fragments.append(self._cut(self._due_audio()))
        except EncodeError:
            self.close()
            raise
        return fragments

    def finish(self) -> tuple[list[Fragment], MediaCursor]:
        """End the segment: the fragments still owed, and the cursor for the next one.

        A segment may end early (somebody cancelled it); then the cursor says where it really ended.
        """
        video = self._open_video()
        fragments: list[Fragment] = []
        try:
            for coded in video.flush():
                self._add_picture(coded.parts, coded.keyframe)
            audio = self._final_audio() if self._last else self._due_audio()
            if self._waiting or audio:
                fragments.append(self._cut(audio))
            cursor = self._next_cursor()
        finally:
            self.close()
        return fragments, cursor

    def close(self) -> None:
        """Free the coders; harmless when repeated. What was not finished stays unfinished."""
        self._video = self._audio = self._sound = self._scaled = None
        self._waiting = []
        self._second_thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_video(self) -> VideoCoder:
        if self._video is None:
            raise EncodeError("the segment is finished or its coder failed; the next segment needs its own encoder")
        return self._video

    def _ms(self, ticks: int) -> float:
        return ticks * 1000 / self._clock.timescale

    @property
    def _end_ticks(self) -> int:
        return self._start_ticks + self._pictures * self._clock.ticks_per_frame

    @property
    def _end_samples(self) -> int:
        if not self._pictures:
            return self._cursor.end_samples
        return samples_at(self._end_ticks, self._clock.timescale)

    def _soundtrack(self, waveform: NDArray[np.float32], sample_rate: int) -> Soundtrack:
        cursor = self._cursor
        return Soundtrack(cursor.end_samples, cursor.tail_samples(), cursor.invented_samples, waveform, sample_rate)

    def _heard(self) -> Soundtrack:
        if self._sound is None:
            self._sound = self._soundtrack(silence(), AUDIO_RATE_HZ)
        return self._sound

    def _due_audio(self) -> list[AacFrame]:
        if self._audio is None:
            return []
        sound = self._heard()
        return self._audio.code(sound.read, allowed=self._end_samples, known=sound.known_end)

    def _final_audio(self) -> list[AacFrame]:
        if self._audio is None or not self._end_samples:
            return []
        return self._audio.code_to_end(self._heard().read, self._end_samples)

    def _add_picture(self, parts: list[bytes | bytearray | memoryview], keyframe: bool) -> None:
        if not self._waiting:
            self._fragment_keyframe = keyframe
        flags = KEYFRAME_FLAGS if keyframe else DELTA_FLAGS
        self._waiting.append(Sample(parts, self._clock.ticks_per_frame, flags))
        self._pictures += 1

    def _cut(self, audio: list[AacFrame]) -> Fragment:
        pictures, self._waiting = self._waiting, []
        first_tick = self._end_ticks - len(pictures) * self._clock.ticks_per_frame
        runs = [TrackRun(VIDEO_TRACK, first_tick, pictures)] if pictures else []
        if audio:
            runs.append(_sound_run(audio, self._end_samples))
        sequence, self._sequence = self._sequence, self._sequence + 1
        pts_ms, duration_ms = self._ms(first_tick), self._ms(len(pictures) * self._clock.ticks_per_frame)
        if not pictures:
            pts_ms, duration_ms = _sound_times_ms(runs[0])
        keyframe = bool(pictures) and self._fragment_keyframe
        return Fragment(write_fragment(sequence, runs), sequence, pts_ms, duration_ms, keyframe)

    def _next_cursor(self) -> MediaCursor:
        if not self._pictures and not self._last:
            return self._cursor
        end = self._end_samples
        tail, invented = b"", 0
        if self._audio:
            sound = self._heard()
            tail = tail_bytes(sound.read(max(0, end - TAIL_SAMPLES), end))
            invented = min(max(0, end - sound.known_end), TAIL_SAMPLES)
            position = self._audio.next_position
        else:
            # The place where sound would go on, if a later segment of this timeline has some.
            position = max(0, end - AAC_FRAME_SAMPLES) // AAC_FRAME_SAMPLES * AAC_FRAME_SAMPLES
        return MediaCursor(
            sequence=self._sequence,
            video_ticks=self._end_ticks,
            video_timescale=self._clock.timescale,
            audio_samples=position,
            tail=tail,
            invented_samples=invented,
            parameter_hash=self._parameter_hash,
            ended=self._last,
        )

    def _check_frames(self, frames: Pictures) -> None:
        if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[1:] != (*self._size, 3):
            got = list(frames.shape) if isinstance(frames, np.ndarray) else type(frames).__name__
            raise ValueError(f"expected frames of shape [N, {self._size[0]}, {self._size[1]}, 3], got {got}")
        if frames.dtype == np.uint8 or not frames.size:
            return
        if not np.issubdtype(frames.dtype, np.floating):
            raise ValueError(f"expected uint8 frames, or float frames in 0..1; got {frames.dtype}")
        low, high = float(frames.min()), float(frames.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("the frames have NaN or infinite values; the model's picture is broken")
        if low < -_FLOAT_OVERSHOOT or high > 1 + _FLOAT_OVERSHOOT:
            raise ValueError(f"expected float frames in 0..1, got {low:g}..{high:g}; scale them, or pass uint8")

    def _converted(self, video: VideoCoder, frames: Pictures) -> Iterator[av.VideoFrame]:
        """Frames as the coder takes them; the next is converted in a second thread while this one is coded."""
        if len(frames) == 1:
            yield self._convert(video, frames[0])
            return
        upcoming: Future[av.VideoFrame] | None = None
        for frame in frames:
            ready, upcoming = upcoming, self._second_thread.submit(self._convert, video, frame)
            if ready:
                yield ready.result()
        if upcoming:
            yield upcoming.result()

    def _convert(self, video: VideoCoder, frame: Pictures) -> av.VideoFrame:
        if frame.dtype == np.uint8:
            return video.convert(np.ascontiguousarray(frame, dtype=np.uint8))
        if self._scaled is None:
            self._scaled = np.empty(frame.shape, np.float32)
        np.multiply(frame, 255.0, out=self._scaled, casting="same_kind")
        self._scaled += 0.5
        np.clip(self._scaled, 0.0, 255.0, out=self._scaled)
        return video.convert(self._scaled.astype(np.uint8))


def flush_stream(cursor: MediaCursor) -> tuple[list[Fragment], MediaCursor]:
    """Code the sound that is still owed when a stream ends after a segment that was not marked ``last``.

    Returns at most one fragment, which has no pictures, and the cursor of the ended timeline.
    """
    ended = replace(cursor, ended=True)
    if cursor.ended or not cursor.tail:
        return [], ended
    sound = Soundtrack(cursor.end_samples, cursor.tail_samples(), 0, silence(), AUDIO_RATE_HZ)
    frames = AudioCoder(cursor.audio_samples).code_to_end(sound.read, cursor.end_samples)
    run = _sound_run(frames, cursor.end_samples)
    fragment = Fragment(write_fragment(cursor.sequence, [run]), cursor.sequence, *_sound_times_ms(run), keyframe=False)
    position = frames[-1].position + AAC_FRAME_SAMPLES
    return [fragment], replace(ended, sequence=cursor.sequence + 1, audio_samples=position)


def _sound_run(frames: list[AacFrame], end: int) -> TrackRun:
    """A run of AAC frames; the last one is shortened so that nothing is presented after sample ``end``."""
    samples = [Sample((frame.data,), AAC_FRAME_SAMPLES) for frame in frames]
    presented_from = frames[-1].position - AAC_FRAME_SAMPLES
    samples[-1] = replace(samples[-1], duration=min(AAC_FRAME_SAMPLES, end - presented_from))
    return TrackRun(AUDIO_TRACK, frames[0].position, samples)


def _sound_times_ms(run: TrackRun) -> tuple[float, float]:
    first = (run.decode_time - AAC_FRAME_SAMPLES) * 1000 / AUDIO_RATE_HZ
    return first, sum(sample.duration for sample in run.samples) * 1000 / AUDIO_RATE_HZ
