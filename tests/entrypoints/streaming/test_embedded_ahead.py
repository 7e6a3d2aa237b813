"""The embedded model behind a server's pools: the next segment's text is encoded while this one is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled
from fastvideo.api.results import VideoProgressEvent
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, GpuPoolConfig, OutputConfig, SamplingConfig
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.segment_events import SegmentProgress
from fastvideo.entrypoints.streaming.worker_supervisor import Limits
from fastvideo.entrypoints.video_generator import VideoGenerator

SAMPLING = {"height": 64, "width": 64, "num_frames": 9, "fps": 24, "num_inference_steps": 3}


class Watched:
    """The embedded model, each text that its encoder was given, and the prompts ``beside`` whose segments it was given
    another one's."""

    def __init__(self) -> None:
        self.generator = VideoGenerator.from_config(GeneratorConfig("embedded:"))
        self.encoded: list[str] = []
        self.beside: list[str] = []
        self._running = ""
        assert self.generator._pipeline is not None
        stage = self.generator._pipeline.encode_text
        encode = stage._encoded

        def watched(prompt: str, length: int | None) -> Any:
            self.encoded.append(prompt)
            self.beside += [self._running] if prompt != self._running else []
            return encode(prompt, length)

        stage._encoded = watched  # type: ignore[method-assign]
        stream = self.generator._pipeline.stream

        def noted(request: GenerationRequest, **more: Any) -> Any:
            assert isinstance(request.prompt, str)
            self._running = request.prompt
            return stream(request, **more)

        self.generator._pipeline.stream = noted  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def model() -> Iterator[Watched]:
    model = Watched()
    with model.generator:
        yield model


@pytest.fixture(autouse=True)
def nothing_known(model: Watched) -> None:
    """Each test has other words, and starts with nothing watched."""
    model.encoded.clear()
    model.beside.clear()


def request(prompt: str) -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt, sampling=SamplingConfig(**SAMPLING), output=OutputConfig(save_video=False, return_state=True)
    )


async def test_each_text_of_a_session_is_encoded_once_and_the_next_one_while_this_segment_is_made(
    stage, fakes, model
) -> None:
    one = stage(model.generator)
    client = one.open(single_clip_mode=True)
    prompts = ["a red ball bounces", "a green star turns", "a blue square slides"]
    for prompt in prompts:
        client.say("segment_prompt_source", prompt=prompt)
    await fakes.until(lambda: len(client.of("ltx2_segment_complete")) == 3, seconds=90.0)
    assert model.encoded == prompts
    assert model.beside == prompts[:-1]


def test_a_changed_prompt_is_encoded_and_used_and_the_old_one_is_not(model) -> None:
    upcoming = UpcomingText()
    for event in model.generator.stream(request("changes first"), upcoming=upcoming):
        if isinstance(event, VideoProgressEvent):
            upcoming.tell(request(f"changes {event.step}"))
    assert model.encoded == ["changes first", "changes 3"]
    for _ in model.generator.stream(request("changes 2")):
        pass
    assert model.encoded == ["changes first", "changes 3", "changes 2"]
    for _ in model.generator.stream(request("changes 3")):
        pass
    assert len(model.encoded) == 3


def test_a_cancelled_segment_encodes_nothing_ahead(model) -> None:
    upcoming, cancel = UpcomingText(), CancellationToken()
    with pytest.raises(GenerationCancelled):
        for event in model.generator.stream(request("cancelled first"), cancel=cancel, upcoming=upcoming):
            if isinstance(event, VideoProgressEvent) and event.step == 0:
                cancel.cancel()
                upcoming.tell(request("cancelled second"))
    assert model.encoded in ([], ["cancelled first"])


async def test_the_worker_that_replaces_a_killed_one_encodes_the_next_text_too(model, fakes) -> None:
    workers = []

    def launch(index: int, devices: Any, total: int) -> Any:
        workers.append(fakes.ThreadWorker(lambda: model.generator))
        return workers[-1]

    pool = SubprocessGpuPool(
        GeneratorConfig("mock:"),
        pool_config=GpuPoolConfig(num_workers=1),
        launch=launch,
        limits=Limits(backoff_s=0.01, max_backoff_s=0.05),
    )
    try:
        await asyncio.wait_for(pool.start(), 20)
        await pool.acquire("a")
        async for event in pool.stream("a", fakes.job("killed first", **SAMPLING)):
            if isinstance(event, SegmentProgress) and len(workers) == 1:
                pool.encode_ahead("a", fakes.request("killed second", **SAMPLING))
                workers[0].kill()
                await fakes.until(lambda: len(workers) == 2)
        assert set(model.encoded) == {"killed first", "killed second"}
        before = len(model.encoded)
        assert [event async for event in pool.stream("a", fakes.job("killed second", **SAMPLING))]
        assert len(model.encoded) == before
    finally:
        await pool.shutdown()
        for worker in workers:
            assert worker.wait(20)
