"""Two segments before the first session: a fresh one and one that goes on from its state, as both get compiled."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationFailed
from fastvideo.api.schema import ServeConfig
from fastvideo.entrypoints.streaming.director import Prompt
from fastvideo.entrypoints.streaming.segment_events import SegmentDone, SegmentEvent, SegmentJob
from fastvideo.entrypoints.streaming.segment_requests import operator_requests
from fastvideo.entrypoints.streaming.worker import SegmentGenerator, run_segment
from fastvideo.media.timeline import MediaCursor


@dataclass(frozen=True, slots=True)
class Warmup:
    """What to generate, and how long both segments together may take."""

    job: SegmentJob
    timeout_s: float

    @classmethod
    def of(cls, config: ServeConfig, model_defaults: Mapping[str, Any]) -> Warmup | None:
        """The warm-up a serve file asks for: the served size and length, because compiled code depends on them, in one
        step. None when it is switched off."""
        streaming = config.streaming
        if streaming is None or not streaming.warmup.enabled:
            return None
        requests = operator_requests(config, model_defaults)
        steps = 1 if requests.sampling.sigmas is None else None
        request = requests.build(Prompt(streaming.warmup.prompt, num_inference_steps=steps), segment_idx=0)
        job = SegmentJob(request, MediaCursor.start(), encoder=streaming.encoder)
        return cls(job, float(streaming.warmup.timeout_seconds))


@dataclass(slots=True)
class WarmupReport:
    """How the warm-up went; ``success`` is None while it has not ended. ``timings_ms`` per segment."""

    enabled: bool
    success: bool | None = None
    error: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether sessions may come."""
        return self.success is True or not self.enabled


def run_warmup(
    generator: SegmentGenerator, warmup: Warmup, cancel: CancellationToken
) -> Generator[SegmentEvent, None, None]:
    """The events of both segments. Raises what ``run_segment`` raises."""
    job = warmup.job
    for index in range(2):
        done: SegmentDone | None = None
        for event in run_segment(generator, replace(job, segment_idx=index), cancel):
            if isinstance(event, SegmentDone):
                done = event
                yield event
        if done is None:
            raise GenerationFailed("a warm-up segment did not end")
        request = copy.deepcopy(job.request)
        request.state = done.state
        job = replace(job, request=request, cursor=done.cursor)
