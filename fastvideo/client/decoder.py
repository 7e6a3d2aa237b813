"""Fragments in, frames out: H.264 and AAC decoded by FFmpeg's libraries, one fragment at a time."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from fastvideo.client.errors import ProtocolViolation
from fastvideo.client.frame import Frame, FrameAssembler, Picture
from fastvideo.client.stream_protocol import InitSegment, MediaFragment
from fastvideo.media.boxes import BoxError
from fastvideo.media.init_segment import TrackInfo, read_init_segment
from fastvideo.media.movie_fragment import ReadFragment, ReadSample, read_fragments

Coder = TypeVar("Coder", VideoCodecContext, AudioCodecContext)


@dataclass
class _Track(Generic[Coder]):
    info: TrackInfo
    coder: Coder


class StreamDecoder:
    """Decodes one stream's media in order. After a gap it goes on with the next keyframe.

    Holds no more than the pictures whose sound has not come, which are few.
    ``prompt_of`` tells what a segment was made from.
    """

    def __init__(self, prompt_of: Callable[[int], str]) -> None:
        self._prompt_of = prompt_of
        self._init: bytes | None = None
        self._picture: _Track[VideoCodecContext] | None = None
        self._sound: _Track[AudioCodecContext] | None = None
        self._assembler = FrameAssembler(0, 0)
        self._next_sequence: int | None = None
        # Whoever stops waiting for a fragment does not stop its decoding, and may ask for the next.
        self._busy = threading.Lock()

    def begin(self, init: InitSegment) -> list[Frame]:
        """The fragments that follow are of these tracks. Gives the frames that waited for sound which cannot come.

        Raises ProtocolViolation for what cannot be decoded.
        """
        if init.data == self._init:
            return []
        left = self._assembler.rest()
        try:
            tracks = read_init_segment(init.data)
            with av.open(io.BytesIO(init.data), format="mp4") as container:
                extra = {stream.id: stream.codec_context.extradata for stream in container.streams}
            self._picture = next((_picture_track(track, extra) for track in tracks if track.width_px), None)
            self._sound = next((_sound_track(track, extra) for track in tracks if track.channels), None)
        except (BoxError, FFmpegError, KeyError, ValueError) as error:
            raise ProtocolViolation(f"expected an init segment of H.264 and AAC: {error}") from error
        self._init = init.data
        self._forget()
        return left

    def decode(self, fragment: MediaFragment) -> list[Frame]:
        """The frames that are whole with this fragment; raises ProtocolViolation for one that cannot be decoded."""
        if self._picture is None:
            raise ProtocolViolation("expected an init segment with pictures before any fragment")
        with self._busy:
            try:
                for part in read_fragments(fragment.data):
                    self._decode(part, self._picture, fragment.segment_idx)
            except (BoxError, FFmpegError) as error:
                raise ProtocolViolation(f"expected a fragment that can be decoded: {error}") from error
            return self._assembler.ready()

    def rest(self) -> list[Frame]:
        """The frames that wait for sound, without it."""
        return self._assembler.rest()

    def _decode(self, part: ReadFragment, picture: _Track[VideoCodecContext], segment_idx: int) -> None:
        samples = part.tracks.get(picture.info.track_id, [])
        if part.sequence != self._next_sequence:
            if not samples or not samples[0].keyframe:
                self._next_sequence = None
                return
            self._forget()
        self._next_sequence = part.sequence + 1
        for sample in samples:
            for decoded in picture.coder.decode(_packet(sample)):
                assert decoded.pts is not None
                shown = Picture(
                    decoded.pts,
                    decoded.pts + sample.duration,
                    picture.info.timescale,
                    decoded.to_ndarray(format="rgb24").astype(np.uint8, copy=False),
                )
                self._assembler.add_picture(shown, segment_idx, self._prompt_of(segment_idx))
        if self._sound is not None:
            self._hear(part.tracks.get(self._sound.info.track_id, []), self._sound)

    def _hear(self, samples: list[ReadSample], sound: _Track[AudioCodecContext]) -> None:
        for sample in samples:
            for decoded in sound.coder.decode(_packet(sample)):
                assert decoded.pts is not None
                # The edit list says how much run-up lies before the first sample that is heard.
                start = decoded.pts - sound.info.edit_media_time
                heard = decoded.to_ndarray()[:, max(0, -start) :]
                self._assembler.add_sound(max(0, start), heard.astype(np.float32, copy=False))

    def _forget(self) -> None:
        if self._picture is not None:
            self._picture.coder.flush_buffers()
        if self._sound is not None:
            self._sound.coder.flush_buffers()
        sound = self._sound.info if self._sound else None
        self._assembler = FrameAssembler(sound.sample_rate_hz, sound.channels) if sound else FrameAssembler(0, 0)
        self._next_sequence = None


def _picture_track(info: TrackInfo, extra: dict[int, bytes | None]) -> _Track[VideoCodecContext]:
    coder = av.CodecContext.create("h264", "r")
    coder.extradata = extra[info.track_id]
    return _Track(info, coder)


def _sound_track(info: TrackInfo, extra: dict[int, bytes | None]) -> _Track[AudioCodecContext]:
    coder = av.CodecContext.create("aac", "r")
    coder.extradata = extra[info.track_id]
    return _Track(info, coder)


def _packet(sample: ReadSample) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(bytes(sample.data))
    packet.pts = packet.dts = sample.decode_time
    return packet
