"""A generator that does what its prompt's first word says: wait, fail, die, carry much. Run as a script: its worker."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.server_process import ROOT
from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.results import VideoEvent, VideoFinalEvent
from fastvideo.api.schema import ContinuationState, GenerationRequest
from fastvideo.entrypoints.streaming import worker_process
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.worker_launch import WorkerSubprocess, worker_environment
from fastvideo.pipelines.basic.ltx2.continuation_blobs import encode_pngs, to_base64

_WAIT_S = 20.0
_NOISE_PX = 640


class WilfulGenerator(MockGenerator):
    """As the fake generator, with the first word of a prompt obeyed. ``mortal``: it has a process of its own."""

    def __init__(self, *, mortal: bool) -> None:
        super().__init__()
        self._mortal = mortal

    def stream(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> Iterator[VideoEvent]:
        """``wait`` until it is cancelled, ``fail`` after some frames, ``die`` with the process, or, ``heavy``, leave a
        state that is too large to travel beside its blobs."""
        word = str(request.prompt).split()[0]
        for event in super().stream(request, cancel=cancel):
            if word == "die" and self._mortal:
                os._exit(9)
            if word == "heavy" and isinstance(event, VideoFinalEvent) and event.continuation_state is not None:
                yield replace(event, continuation_state=_with_noise(event.continuation_state))
            else:
                yield event
            if word == "wait" and cancel is not None and cancel.wait(_WAIT_S):
                cancel.raise_if_cancelled()
        if word in ("fail", "die"):
            raise RuntimeError("the prompt asks for a failure")


def _with_noise(state: ContinuationState) -> ContinuationState:
    return replace(state, payload=state.payload | {"video": {"frames_b64": _noise()}})


@functools.cache
def _noise() -> list[str]:
    """Trailing frames that no PNG makes small, some 2.4 MB."""
    frames = np.random.default_rng(0).integers(0, 255, (2, _NOISE_PX, _NOISE_PX, 3), np.uint8)
    return [to_base64(file) for file in encode_pngs(list(frames))]


def launch_wilful(index: int, devices: Sequence[str], workers: int) -> WorkerSubprocess:
    """Start such a worker process for a pool."""
    environment = {**worker_environment(os.environ, devices, workers), "PYTHONPATH": str(ROOT)}
    return WorkerSubprocess((sys.executable, "-m", "benchmarks.wilful_worker"), environment)


if __name__ == "__main__":
    worker_process.main(sys.argv, lambda boot: WilfulGenerator(mortal=True))
