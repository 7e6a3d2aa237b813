"""A generator whose frames are there before anyone asks: what a segment costs beside making its pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.results import VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import ContinuationState, GenerationRequest
from fastvideo.media.timeline import AUDIO_RATE_HZ

# What a decoder in overlapped temporal tiles gives at a time.
CHUNK_FRAMES = 8
TRAILING_FRAMES = 9


class ReadyGenerator:
    """Gives ``clip`` (uint8 [T, H, W, 3]) and ``wave`` (float32 [2, n] at 48 kHz) for every request, and stamps when.

    ``stamp`` gets, per segment, monotonic seconds: ``called_s``, ``state_read_s``, ``ready_s`` (the first frame can be
    taken), ``coded_s`` (the last frame was taken and coded), ``state_made_s``; and ``ready_cpu_s`` of this process.
    With ``carry_state`` it writes and reads LTX-2's continuation state, its trailing frames included.
    """

    model_id = "ready"

    def __init__(
        self,
        clip: NDArray[np.uint8],
        wave: NDArray[np.float32],
        *,
        stamp: Callable[[dict[str, float]], None],
        carry_state: bool = False,
    ) -> None:
        self._clip = clip
        self._wave = wave
        self._stamp = stamp
        self._carry_state = carry_state

    def stream(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> Iterator[VideoEvent]:
        """One step, then the frames in chunks as a decoder would give them, then the state."""
        stamps = {"called_s": time.monotonic()}
        if self._carry_state and request.state is not None:
            _read(request.state)
        stamps["state_read_s"] = time.monotonic()
        yield VideoProgressEvent(0, 1)
        yield VideoProgressEvent(1, 1)
        stamps["ready_cpu_s"] = time.process_time()
        stamps["ready_s"] = time.monotonic()
        for index, first in enumerate(range(0, len(self._clip), CHUNK_FRAMES)):
            if cancel is not None:
                cancel.raise_if_cancelled()
            frames = self._clip[first : first + CHUNK_FRAMES]
            if index == 0:
                yield VideoPartialEvent(frames, 0, self._wave, AUDIO_RATE_HZ)
            else:
                yield VideoPartialEvent(frames, index)
        stamps["coded_s"] = time.monotonic()
        state = self._made_state() if self._carry_state else None
        stamps["state_made_s"] = time.monotonic()
        self._stamp(stamps)
        yield VideoFinalEvent(continuation_state=state)

    def _made_state(self) -> ContinuationState:
        import torch

        from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState

        state = LTX2ContinuationState(
            video_frames=list(self._clip[-TRAILING_FRAMES:]),
            audio_latents=torch.zeros(1, 8, 32, 16),
            audio_sample_rate=AUDIO_RATE_HZ,
            audio_conditioning_num_frames=TRAILING_FRAMES,
            audio_conditioning_strength=0.0,
        )
        return state.to_continuation_state()


def _read(state: ContinuationState) -> None:
    from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState

    LTX2ContinuationState.from_continuation_state(state)
