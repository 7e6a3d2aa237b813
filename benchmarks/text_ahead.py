"""From a segment's start to its first step and frames, its text encoded while the segment before was made, and not.

The embedded model through a server, each prompt another one and queued before its turn; two servers, of which one has
``streaming.pacing.encode_ahead`` off, are asked in turns. Then a model with random weights, whose text encoder takes
several of its steps, without a server. Medians; whole segments are compared too, because time is only moved.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import torch

from benchmarks.pipeline_model import ModelSize, random_components
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT, fastvideo_serve
from fastvideo.api.results import VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import GenerationRequest, OutputConfig, SamplingConfig
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    SessionInitV2,
    StepComplete,
)
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig

CONFIG = ROOT / "configs" / "serve_embedded.yaml"
# Segments of one turn; the first of them has nothing before it, and is not counted.
_TURN = 5
_TURNS = {Effort.QUICK: 1, Effort.NORMAL: 8, Effort.LONG: 40}
_SEGMENTS = {Effort.QUICK: 1, Effort.NORMAL: 9, Effort.LONG: 30}
_SMALL = ModelSize(width=128, blocks=1, text_layers=1, text_tokens=128)
_LARGE = ModelSize(width=512, blocks=4, text_layers=8, text_tokens=256)


@dataclass(frozen=True)
class Segment:
    """Milliseconds: from its start to its first step and to its first frames (as a fragment where it is served), of its
    text as ``timings`` tell it, and in the worker whole."""

    first_step_ms: float
    first_frames_ms: float
    text_ms: float
    whole_ms: float


def measure(effort: Effort) -> Report:
    """Both models, each with and without."""
    served = asyncio.run(_served(_TURNS[effort]))
    alone = _alone(_SMALL if effort is Effort.QUICK else _LARGE, _SEGMENTS[effort])
    figures = [*_figures("embedded model, served", *served), *_figures("large text encoder, pipeline alone", *alone)]
    return Report("text_ahead", effort, figures, against="the same, with the text encoded at the segment's start")


def _figures(name: str, ahead: list[Segment], without: list[Segment]) -> Iterator[Figure]:
    def median(segments: list[Segment], part: str) -> float:
        values: list[float] = [getattr(segment, part) for segment in segments]
        return statistics.median(values)

    def ratio(part: str, what: str, goal: float | None) -> Figure:
        ours, theirs = median(ahead, part), median(without, part)
        text = f"text {median(ahead, 'text_ms'):.2f} / {median(without, 'text_ms'):.2f} ms"
        note = f"{ours:.1f} ms / {theirs:.1f} ms; {text}"
        return Figure(f"{name}: {what}, with / without", ours / theirs, "x", goal, note)

    yield ratio("first_step_ms", "start to first step", 1.0)
    yield ratio("first_frames_ms", "start to first frames", 1.0)
    yield ratio("whole_ms", "whole segment", None)


# --- through a server


async def _served(turns: int) -> tuple[list[Segment], list[Segment]]:
    """Segments with their texts encoded ahead, and without."""
    found: tuple[list[Segment], list[Segment]] = ([], [])
    numbers = itertools.count()
    async with AsyncExitStack() as stack:
        clients = []
        for switch in ("true", "false"):
            overrides = ("--streaming.pacing.encode_ahead", switch)
            server, _ = await stack.enter_async_context(fastvideo_serve(CONFIG, overrides))
            clients.append(
                await stack.enter_async_context(await StreamClient.connect(server.stream_url, SessionInitV2()))
            )
        for client in clients:
            await client.started()
        for _ in range(turns):
            for client, segments in zip(clients, found, strict=True):
                for number in itertools.islice(numbers, _TURN):
                    await client.prompt(f"A red ball bounces on a blue background, scene {number}")
                segments += [await _segment(client) for _ in range(_TURN)][1:]
    return found


async def _segment(client: StreamClient) -> Segment:
    began_s = first_step_s = first_frames_s = 0.0
    while True:
        match await client.receive():
            case Ltx2SegmentStart():
                began_s = time.monotonic()
            case StepComplete(step=1):
                first_step_s = time.monotonic()
            case MediaFragment():
                first_frames_s = first_frames_s or time.monotonic()
            case Ltx2SegmentComplete(timings=timings, generation_time_ms=whole_ms):
                assert timings is not None
                step_ms, frames_ms = (1000 * (at_s - began_s) for at_s in (first_step_s, first_frames_s))
                return Segment(step_ms, frames_ms, timings.text or 0.0, whole_ms)
            case ErrorMessage() as error:
                raise RuntimeError(error.message)


# --- the pipeline alone


def _alone(size: ModelSize, segments: int) -> tuple[list[Segment], list[Segment]]:
    pipeline = LTX2Pipeline(random_components(size, device=torch.device("cpu"), dtype=torch.float32), LTX2T2VConfig())
    numbers = itertools.count()
    ahead, without = [], []
    _made(pipeline, _request(next(numbers)), None)
    for _ in range(segments):
        following = _request(next(numbers))
        # What is encoded ahead is the next segment's, and counts for the one that runs.
        beside = _made(pipeline, _request(next(numbers)), following)
        found = _made(pipeline, following, None)
        ahead.append(replace(found, whole_ms=beside.whole_ms - beside.text_ms))
        without.append(_made(pipeline, _request(next(numbers)), None))
    return ahead, without


def _request(number: int) -> GenerationRequest:
    sampling = SamplingConfig(height=256, width=256, num_frames=33, fps=24, num_inference_steps=4, seed=number)
    return GenerationRequest(
        prompt=f"a lighthouse at dawn, scene {number}", sampling=sampling, output=OutputConfig(return_state=False)
    )


def _made(pipeline: LTX2Pipeline, request: GenerationRequest, following: GenerationRequest | None) -> Segment:
    told = [following]
    upcoming: Callable[[], GenerationRequest | None] = lambda: told.pop() if told else None  # noqa: E731
    began_s = time.perf_counter()
    first_step_s = first_frames_s = text_ms = 0.0
    for event in pipeline.stream(request, upcoming=upcoming):
        if isinstance(event, VideoProgressEvent) and event.step == 1:
            first_step_s = time.perf_counter()
        elif isinstance(event, VideoPartialEvent):
            first_frames_s = first_frames_s or time.perf_counter()
        elif isinstance(event, VideoFinalEvent):
            text_ms = event.metadata["timings"]["text"]
    ended_s = time.perf_counter()
    step_ms, frames_ms, whole_ms = (1000 * (at_s - began_s) for at_s in (first_step_s, first_frames_s, ended_s))
    return Segment(step_ms, frames_ms, text_ms, whole_ms)


if __name__ == "__main__":
    sys.exit(main("text_ahead", __doc__, measure))
