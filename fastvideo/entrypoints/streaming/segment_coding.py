"""The media side of one segment in a worker: frames and sound in, fragments on the session's timeline out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import FastVideoError, GenerationFailed
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
)
from fastvideo.media.encoder import Fragment, SegmentEncoder
from fastvideo.media.strip import draw_strip

logger = logging.getLogger(__name__)

_GENERATOR_TIMINGS = ("text", "denoise", "refine", "decode")


class TimelineBroken(FastVideoError):
    """A coder died in mid-segment: what follows could not be joined to what was sent."""

    code = "worker_failed"


class SegmentCoding:
    """One segment's encoder, what came out of it, and how long that took. ``clock`` gives seconds."""

    def __init__(self, job: SegmentJob, clock: Callable[[], float]) -> None:
        self._job = job
        self._cursor = job.cursor
        self._clock = clock
        self._started_s = clock()
        self._encoder: SegmentEncoder | None = None
        self._first_fragment_s: float | None = None
        self._encode_s = 0.0
        self._finished = False
        self.frames = 0

    def push_audio(self, waveform: Any, sample_rate_hz: int | None) -> Iterator[SegmentEvent]:
        """The segment's whole sound, float32 [channels, samples], before its first frame."""
        if sample_rate_hz is None:
            raise GenerationFailed("the generator gave sound without its sample rate")
        encoder = self._open()
        yield from self._coded(lambda: encoder.push_audio(_waveform(waveform), sample_rate_hz))

    def push_video(self, frames: NDArray[Any]) -> Iterator[SegmentEvent]:
        """Frames [N, H, W, 3], uint8 or float in 0..1."""
        encoder = self._open()
        if self._job.burn_in_timecode:
            frames = draw_strip(frames, self._job.segment_idx, self.frames)
        self.frames += len(frames)
        yield from self._coded(lambda: encoder.push_video(frames))

    def finish(self) -> Iterator[SegmentEvent]:
        """Code what is still owed; the timeline then goes on after this segment."""
        if self._encoder is None or self._finished:
            return
        self._finished = True
        yield from self._coded(self._finish_encoder)

    def cut(self) -> Iterator[SegmentEvent]:
        """End early, so that the next segment can follow what was given out. Raises TimelineBroken if it cannot."""
        if self._first_fragment_s is None or self._finished:
            return
        try:
            fragments = list(self.finish())
        except Exception as error:
            logger.exception("segment %d could not be cut cleanly", self._job.segment_idx)
            raise TimelineBroken("the encoder failed; the stream cannot go on") from error
        yield from fragments
        yield SegmentCut(self._cursor)

    def done(self, state: ContinuationState | None, metadata: Mapping[str, Any]) -> SegmentDone:
        """The summary of a finished segment."""
        timings_ms = generator_timings(metadata)
        timings_ms["encode"] = _ms(self._encode_s)
        if self._first_fragment_s is not None:
            timings_ms["first_fragment"] = _ms(self._first_fragment_s - self._started_s)
        return SegmentDone(
            cursor=self._cursor,
            state=state,
            frames=self.frames,
            duration_ms=_ms(float(self._cursor.end_s - self._job.cursor.end_s)),
            pts_base_ms=_ms(float(self._job.cursor.end_s)),
            generation_ms=_ms(self._clock() - self._started_s),
            timings_ms=timings_ms,
            peak_memory_mb=generator_peak_memory_mb(metadata),
        )

    def close(self) -> None:
        """Free the coders; twice is the same as once."""
        if self._encoder is not None:
            self._encoder.close()

    def _open(self) -> SegmentEncoder:
        if self._encoder is None:
            sampling = self._job.request.sampling
            self._encoder = SegmentEncoder(
                width=sampling.width,
                height=sampling.height,
                fps=sampling.fps,
                cursor=self._cursor,
                encoder=self._job.encoder,
            )
        return self._encoder

    def _finish_encoder(self) -> list[Fragment]:
        assert self._encoder is not None
        fragments, self._cursor = self._encoder.finish()
        return fragments

    def _coded(self, code: Callable[[], list[Fragment]]) -> Iterator[SegmentEvent]:
        began_s = self._clock()
        fragments = code()
        self._encode_s += self._clock() - began_s
        for fragment in fragments:
            if self._first_fragment_s is None:
                assert self._encoder is not None
                self._first_fragment_s = self._clock()
                yield SegmentInit(self._encoder.mime, self._encoder.init_segment)
            yield SegmentFragment(fragment.data, fragment.sequence, fragment.pts_ms, fragment.duration_ms)


def _waveform(audio: Any) -> NDArray[np.float32]:
    """What generators give as sound (mono without a channel axis, 16-bit integers) as float32 [channels, samples]."""
    samples = np.asarray(audio)
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    return np.ascontiguousarray(np.atleast_2d(samples), dtype=np.float32)


def generator_peak_memory_mb(metadata: Mapping[str, Any]) -> float | None:
    """The high-water mark of memory that a generator reports, in MiB; None where it reports none."""
    peak = metadata.get("peak_memory_mb")
    if not isinstance(peak, int | float) or isinstance(peak, bool) or not math.isfinite(peak) or peak <= 0:
        return None
    return round(float(peak), 1)


def generator_timings(metadata: Mapping[str, Any]) -> dict[str, float]:
    """The milliseconds that a generator reports under ``timings``, of the parts that the wire knows."""
    timings = metadata.get("timings")
    if not isinstance(timings, Mapping):
        return {}
    return {name: round(float(timings[name]), 3) for name in _GENERATOR_TIMINGS if timings.get(name) is not None}


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 3)
