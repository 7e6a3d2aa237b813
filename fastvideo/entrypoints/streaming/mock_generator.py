"""A generator that needs no model: it paints a scene it reads from the prompt, and keeps any pace that is asked for."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import numpy.typing as npt

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.results import GenerationResult, VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import GenerationRequest
from fastvideo.entrypoints.streaming.mock_motion import trace_path
from fastvideo.entrypoints.streaming.mock_picture import TRAIL_FRAMES, SegmentPainter
from fastvideo.entrypoints.streaming.mock_scene import read_prompt
from fastvideo.entrypoints.streaming.mock_sound import render_sound
from fastvideo.entrypoints.streaming.mock_state import Memory, read_state, write_state

AUDIO_SAMPLE_RATE_HZ = 24_000
# The first chunk is what a first fragment needs; the rest come in what a video decoder gives at a time.
FIRST_CHUNK_FRAMES = 2
CHUNK_FRAMES = 8
# With a real-time factor, this part of the time goes to the steps and the rest to the decoded chunks.
DENOISE_SHARE = 0.7
MAX_JITTER = 1.0
_PATH_KEYS = {"rtf": "realtime_factor", "jitter": "jitter", "sleep_ms": "sleep_ms"}


class MockGenerator:
    """Paints a few frames at a time and hums a chord; the same request and state give the same segment.

    `sleep_ms`: time spent per segment, spread over its steps. `realtime_factor`: generation time over playback time,
    of which `jitter` (0..1) is the largest relative change from segment to segment. `clock` gives seconds.
    """

    model_id = "mock"

    def __init__(
        self,
        sleep_ms: float = 0.0,
        realtime_factor: float | None = None,
        jitter: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_range("sleep_ms", sleep_ms, 3_600_000)
        if realtime_factor is not None:
            _check_range("realtime_factor", realtime_factor, 1000)
        _check_range("jitter", jitter, MAX_JITTER)
        self._sleep_s = sleep_ms / 1000
        self._realtime_factor = realtime_factor
        self._jitter = jitter
        self._clock = clock

    @classmethod
    def from_model_path(cls, model_path: str) -> MockGenerator:
        """The generator of `mock:?rtf=0.9&jitter=0.1&sleep_ms=0`; ConfigValidationError for anything else."""
        parts = urlsplit(model_path)
        if parts.scheme != "mock" or parts.netloc or parts.path or parts.fragment:
            raise ConfigValidationError("generator.model_path", f"expected mock:?key=value&..., got {model_path!r}")
        values: dict[str, float] = {}
        for key, text in parse_qsl(parts.query, keep_blank_values=True):
            if key not in _PATH_KEYS or _PATH_KEYS[key] in values:
                raise ConfigValidationError(
                    "generator.model_path", f"expected each of {', '.join(_PATH_KEYS)} at most once, got {key!r}"
                )
            try:
                values[_PATH_KEYS[key]] = float(text)
            except ValueError:
                raise ConfigValidationError(
                    "generator.model_path", f"expected a number for {key}, got {text!r}"
                ) from None
        return cls(values.get("sleep_ms", 0.0), values.get("realtime_factor"), values.get("jitter", 0.0))

    def generate(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> dict[str, Any]:
        """One whole segment: frames uint8 [T, H, W, 3], audio float32 [2, n], its rate, and the state after it. Raises
        what :meth:`stream` does."""
        blocks: list[npt.NDArray[np.uint8]] = []
        audio: Any = None
        final = VideoFinalEvent()
        for event in self.stream(request, cancel=cancel):
            if isinstance(event, VideoPartialEvent):
                blocks.append(event.frames)
                audio = event.audio if event.index == 0 else audio
            elif isinstance(event, VideoFinalEvent):
                final = event
        frames = np.concatenate(blocks)
        return {
            "prompt": request.prompt,
            "frames": frames,
            "audio": audio,
            "audio_sample_rate": AUDIO_SAMPLE_RATE_HZ,
            "size": (frames.shape[1], frames.shape[2], frames.shape[0]),
            "generation_time": final.metadata["generation_time"],
            "state": final.continuation_state,
        }

    def stream(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> Iterator[VideoEvent]:
        """Progress per step, then a few frames at a time, then one Final. Raises StateInvalid, GenerationCancelled."""
        if not isinstance(request.prompt, str):
            raise ConfigValidationError("prompt", f"expected one prompt, got {type(request.prompt).__name__}")
        token = cancel if cancel is not None else CancellationToken()
        finished, memory = read_state(request.state) if request.state is not None else (-1, None)
        segment_index = finished + 1
        start_s = memory.end_s if memory else 0.0
        sampling = request.sampling
        steps = max(1, sampling.num_inference_steps)
        started_s = self._clock()
        pace = self._pace(sampling.num_frames / sampling.fps, sampling.seed, segment_index)

        yield VideoProgressEvent(0, steps)
        for step in range(1, steps + 1):
            self._wait_until(started_s + pace.denoise_s * step / steps, token)
            yield VideoProgressEvent(step, steps)
        denoised_s = resumed_s = self._clock()
        decode_s = 0.0

        scene = read_prompt(request.prompt, sampling.seed)
        path = trace_path(
            scene,
            start_s=start_s,
            frames=sampling.num_frames,
            fps=sampling.fps,
            before=memory.pose if memory else None,
        )
        waveform, sound = render_sound(
            scene.chord_hz,
            before=memory.sound if memory else None,
            start_s=start_s,
            samples=round(sampling.num_frames * AUDIO_SAMPLE_RATE_HZ / sampling.fps),
            sample_rate_hz=AUDIO_SAMPLE_RATE_HZ,
            pan=path.x,
        )
        trail = memory.trail if memory else []
        painter = SegmentPainter(
            scene,
            before=memory.look if memory else None,
            path=path,
            trail=trail,
            width_px=sampling.width,
            height_px=sampling.height,
            fps=sampling.fps,
            start_s=start_s,
            segment_index=segment_index,
            caption=request.prompt,
        )
        for index, (first, last) in enumerate(_chunks(sampling.num_frames)):
            frames = painter.frames(first, last)
            self._wait_until(started_s + pace.denoise_s + pace.decode_s * last / sampling.num_frames, token)
            # What whoever takes the frames does with them is not our time.
            decode_s += self._clock() - resumed_s
            if index == 0:
                yield VideoPartialEvent(frames, 0, waveform, AUDIO_SAMPLE_RATE_HZ)
            else:
                yield VideoPartialEvent(frames, index)
            resumed_s = self._clock()

        state = None
        if request.output.return_state:
            centres = [*trail, *zip(path.x.tolist(), path.y.tolist(), strict=True)]
            after = Memory(
                end_s=start_s + sampling.num_frames / sampling.fps,
                trail=centres[-TRAIL_FRAMES:],
                turn=path.last().turn,
                shape=scene.shape,
                shape_rgb=scene.shape_rgb,
                backdrop_rgb=scene.backdrop_rgb,
                spread=scene.spread,
                chord_hz=sound.chord_hz,
                phases=sound.phases,
            )
            state = write_state(segment_index, after, AUDIO_SAMPLE_RATE_HZ)
        denoise_s = denoised_s - started_s
        metadata = {
            "generation_time": denoise_s + decode_s,
            "inference_time_s": denoise_s + decode_s,
            "timings": {"text": 0.0, "denoise": 1000 * denoise_s, "decode": 1000 * decode_s},
        }
        yield VideoFinalEvent(
            metadata=metadata,
            continuation_state=state,
            result=GenerationResult(
                prompt=request.prompt,
                audio_sample_rate=AUDIO_SAMPLE_RATE_HZ,
                size=(sampling.height, sampling.width, sampling.num_frames),
                generation_time=denoise_s + decode_s,
                state=state,
                extra=metadata,
            ),
        )

    def _pace(self, playback_s: float, seed: int, segment_index: int) -> _Pace:
        if self._realtime_factor is None:
            return _Pace(self._sleep_s, 0.0)
        # The seed decides, so that a run can be repeated.
        change = random.Random(f"{seed}/{segment_index}").uniform(-self._jitter, self._jitter)
        total_s = playback_s * self._realtime_factor * (1 + change)
        return _Pace(self._sleep_s + DENOISE_SHARE * total_s, (1 - DENOISE_SHARE) * total_s)

    def _wait_until(self, due_s: float, token: CancellationToken) -> None:
        token.raise_if_cancelled()
        left_s = due_s - self._clock()
        if left_s > 0 and token.wait(left_s):
            token.raise_if_cancelled()


@dataclass(frozen=True, slots=True)
class _Pace:
    denoise_s: float
    decode_s: float


def _chunks(num_frames: int) -> Iterator[tuple[int, int]]:
    first, size = 0, FIRST_CHUNK_FRAMES
    while first < num_frames:
        last = min(first + size, num_frames)
        yield first, last
        first, size = last, CHUNK_FRAMES


def _check_range(name: str, value: float, highest: float) -> None:
    if not math.isfinite(value) or not 0 <= value <= highest:
        raise ConfigValidationError("generator.model_path", f"expected {name} from 0 to {highest:g}, got {value}")
