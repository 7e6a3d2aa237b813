"""One segment, from request to coded fragments, synchronously and where the frames are."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import logging
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationFailed
from fastvideo.api.presets import InferencePreset
from fastvideo.api.results import (
    GenerationResult,
    VideoEvent,
    VideoFinalEvent,
    VideoPartialEvent,
    VideoProgressEvent,
)
from fastvideo.api.schema import ContinuationState, GenerationRequest
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.streaming.segment_coding import SegmentCoding
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentEvent,
    SegmentJob,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.media.encoder import FIRST_FRAGMENT_FRAMES

logger = logging.getLogger(__name__)

# Frames given to the encoder at once: few enough to send early and to notice a cancellation.
_BATCH_FRAMES = 4


@runtime_checkable
class BlockingGenerator(Protocol):
    """The least a pool can run: one call per segment, which returns a result object or a mapping.

    One whose ``generate`` also takes ``cancel``, a CancellationToken, is stopped within one step when nobody waits.
    """

    def generate(self, request: GenerationRequest) -> Any:
        """Generate one segment and block until it is whole."""
        ...


@runtime_checkable
class StreamingGenerator(Protocol):
    """A generator that tells its progress, gives frames as they are decoded, and can be cancelled."""

    def stream(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> Iterator[VideoEvent]:
        """Progress per step, then partials, then exactly one final event."""
        ...


@runtime_checkable
class ForesightedGenerator(Protocol):
    """A streaming generator that may encode the next segment's text while it makes this one."""

    @property
    def encodes_ahead(self) -> bool:
        """Whether it does."""
        ...

    def stream(
        self,
        request: GenerationRequest,
        *,
        cancel: CancellationToken | None = None,
        upcoming: UpcomingText | None = None,
    ) -> Iterator[VideoEvent]:
        """As a streaming generator's."""
        ...


SegmentGenerator = BlockingGenerator | StreamingGenerator


def preset_defaults(generator: SegmentGenerator) -> Mapping[str, Any]:
    """The request values that a generator's own preset prefers; nothing for one without a ``preset``."""
    preset: InferencePreset | None = getattr(generator, "preset", None)
    return preset.defaults if preset is not None else {}


def run_segment(
    generator: SegmentGenerator,
    job: SegmentJob,
    cancel: CancellationToken,
    upcoming: UpcomingText | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
    breaks_off: Callable[[Exception], bool] = lambda error: False,
) -> Generator[SegmentEvent, None, None]:
    """Generate and code one segment; ``clock`` gives seconds. An error that ``breaks_off`` is raised as it is, at once.
    What is ``upcoming`` is for a generator that encodes texts ahead.

    Raises GenerationCancelled, GenerationFailed, EncodeError, or what the generator raises on purpose; a SegmentCut
    comes first when media was given out already. Raises TimelineBroken when that is impossible.
    """
    with contextlib.closing(SegmentCoding(job, clock)) as coding:
        try:
            # Closed at once when it is left early: it may hold the generator, which is wanted for the next segment.
            with contextlib.closing(_events(generator, job.request, cancel, upcoming)) as events:
                yield from _generate(events, job, cancel, coding)
        except Exception as error:
            if breaks_off(error):
                raise
            yield from coding.cut()
            if isinstance(error, FastVideoError):
                raise
            logger.exception("the generator failed in segment %d", job.segment_idx)
            raise GenerationFailed("the generator failed; the server's log has the reason") from error


def _generate(
    events: Iterator[VideoEvent], job: SegmentJob, cancel: CancellationToken, coding: SegmentCoding
) -> Iterator[SegmentEvent]:
    total_steps = max(1, job.request.sampling.num_inference_steps)
    started = stepped = False
    final = VideoFinalEvent()
    for event in events:
        cancel.raise_if_cancelled()
        if isinstance(event, VideoProgressEvent) and not started:
            total_steps = event.total_steps
        if not started:
            started = True
            yield SegmentStarted(total_steps)
        if isinstance(event, VideoProgressEvent):
            if event.step > 0:
                stepped = True
                yield SegmentProgress(event.step, event.total_steps, event.stage)
        elif isinstance(event, VideoPartialEvent):
            if not stepped:
                # A generator that tells no progress has still done its steps when its first frame is there.
                stepped = True
                yield SegmentProgress(total_steps, total_steps)
            if event.audio is not None:
                yield from coding.push_audio(event.audio, event.audio_sample_rate)
            # The first fragment leaves as soon as its frames are coded, without waiting for more.
            for frames in _batches(event.frames, _BATCH_FRAMES if coding.frames else FIRST_FRAGMENT_FRAMES):
                cancel.raise_if_cancelled()
                yield from coding.push_video(frames)
        elif isinstance(event, VideoFinalEvent):
            final = event
    if coding.frames == 0:
        raise GenerationFailed("the generator returned no frames")
    yield from coding.finish()
    yield coding.done(final.continuation_state, final.metadata)


def _events(
    generator: SegmentGenerator,
    request: GenerationRequest,
    cancel: CancellationToken,
    upcoming: UpcomingText | None,
) -> Generator[VideoEvent, None, None]:
    if isinstance(generator, StreamingGenerator):
        # Frames travel in the partials; the result would only hold the whole segment a second time.
        request.output.return_frames = False
        if upcoming is not None and isinstance(generator, ForesightedGenerator) and generator.encodes_ahead:
            events = generator.stream(request, cancel=cancel, upcoming=upcoming)
        else:
            events = generator.stream(request, cancel=cancel)
        try:
            yield from events
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()
    else:
        yield VideoProgressEvent(0, max(1, request.sampling.num_inference_steps))
        yield from result_events(generate_whole(generator, request, cancel))


def generate_whole(generator: SegmentGenerator, request: GenerationRequest, cancel: CancellationToken) -> Any:
    """What the generator itself gives for a request. Raises GenerationFailed for one that only streams."""
    if not isinstance(generator, BlockingGenerator):
        raise GenerationFailed("the generator has only stream(), and no generate()")
    generate: Callable[..., Any] = generator.generate
    if "cancel" in inspect.signature(generate).parameters:
        return generate(request, cancel=cancel)
    return generate(request)


def as_result(result: Any) -> GenerationResult:
    """A finished result, object, mapping or list of one, as ours."""
    if isinstance(result, list) and len(result) == 1:
        result = result[0]
    if isinstance(result, Mapping):
        result = GenerationResult.from_legacy_result(result)
    if not isinstance(result, GenerationResult):
        names = [spec.name for spec in fields(GenerationResult) if hasattr(result, spec.name)]
        result = GenerationResult(**{name: getattr(result, name) for name in names})
    whole: GenerationResult = result
    state: Any = whole.state
    if isinstance(state, Mapping):
        whole = replace(whole, state=ContinuationState(state["kind"], dict(state["payload"])))
    return whole


def result_events(result: Any) -> Iterator[VideoEvent]:
    """A finished result, object or mapping, in the form of a stream. Raises GenerationFailed when it has no frames."""
    whole = as_result(result)
    if whole.frames is None or len(whole.frames) == 0:
        raise GenerationFailed("the generator returned no frames")
    yield VideoPartialEvent(whole.frames, 0, audio=whole.audio, audio_sample_rate=whole.audio_sample_rate)
    metadata = dict(whole.extra or {})
    if whole.peak_memory_mb is not None:
        metadata.setdefault("peak_memory_mb", whole.peak_memory_mb)
    yield VideoFinalEvent(metadata=metadata, continuation_state=whole.state)


def _batches(frames: Any, first_frames: int) -> Iterator[NDArray[Any]]:
    for first, end in itertools.pairwise([0, *range(first_frames, len(frames), _BATCH_FRAMES), len(frames)]):
        batch = frames[first:end]
        if isinstance(batch, np.ndarray):
            yield batch
        elif batch:
            yield np.stack([np.asarray(frame) for frame in batch])


def worker_main(connection: socket.socket) -> None:
    """What a worker process does with its end of a connection, until the other end is closed."""
    # It stands on this module, and needs more than one that only runs segments.
    from fastvideo.entrypoints.streaming.worker_process import WorkerLoop, build

    WorkerLoop(connection, build).serve()
