"""Workloads t2a and v2a: sound from text, and sound for a clip."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.results import GenerationResult, VideoFinalEvent, VideoProgressEvent
from fastvideo.api.schema import (
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    InputConfig,
    OutputConfig,
    PipelineSelection,
    SamplingConfig,
)
from fastvideo.entrypoints.model_path import build_generator, generator_defaults
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.media.mp4_file import encode_mp4
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig

FRAMES, FPS, RATE_HZ = 17, 24, 24000

pytestmark = pytest.mark.usefixtures("cache")


def config(workload: Any, **selection: Any) -> GeneratorConfig:
    return GeneratorConfig(model_path="tiny:?seed=0", pipeline=PipelineSelection(workload_type=workload, **selection))


@pytest.fixture(scope="module")
def from_text(cache: None) -> Iterator[VideoGenerator]:
    with VideoGenerator(config("t2a")) as built:
        yield built


@pytest.fixture(scope="module")
def for_a_clip(cache: None) -> Iterator[VideoGenerator]:
    with VideoGenerator(config("v2a")) as built:
        yield built


def a_request(
    output: OutputConfig | None = None, inputs: InputConfig | None = None, **changes: Any
) -> GenerationRequest:
    sampling = {"height": 64, "width": 64, "num_frames": FRAMES, "fps": FPS, "num_inference_steps": 2, "seed": 1}
    return GenerationRequest(
        prompt=changes.pop("prompt", "a bell rings"),
        inputs=inputs or InputConfig(),
        sampling=SamplingConfig(**(sampling | changes)),
        output=output or OutputConfig(save_video=False),
    )


def made(generator: VideoGenerator, request: GenerationRequest) -> GenerationResult:
    result = generator.generate(request)
    assert isinstance(result, GenerationResult)
    return result


def a_clip(folder: Path, level: int, frames: int = FRAMES) -> str:
    path = folder / f"{level}-{frames}.mp4"
    path.write_bytes(encode_mp4(np.full((frames, 64, 64, 3), level, np.uint8), None, None, FPS))
    return str(path)


def test_text_alone_gives_sound_of_the_asked_length_in_a_wav_file(from_text: VideoGenerator, tmp_path: Path) -> None:
    result = made(from_text, a_request(OutputConfig(output_path=str(tmp_path))))
    assert result.audio.shape == (2, FRAMES * RATE_HZ // FPS)
    assert result.audio.std() > 0.02
    assert (result.frames, result.samples, result.size) == (None, None, None)
    assert result.video_path == str(tmp_path / "a bell rings.wav")
    with wave.open(result.video_path) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, RATE_HZ, result.audio.shape[1])
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T
    np.testing.assert_allclose(samples / 32767, np.clip(result.audio, -1, 1), atol=1 / 32767)


def test_sound_from_text_hears_no_picture(from_text: VideoGenerator) -> None:
    first = made(from_text, a_request())
    assert np.array_equal(made(from_text, a_request(height=128, width=192)).audio, first.audio)
    assert not np.array_equal(made(from_text, a_request(prompt="rain")).audio, first.audio)
    assert not np.array_equal(made(from_text, a_request(seed=2)).audio, first.audio)


async def test_events_are_steps_and_one_final_with_the_files_bytes(from_text: VideoGenerator) -> None:
    *steps, final = [event async for event in from_text.generate_async(a_request())]
    assert [type(event) for event in steps] == [VideoProgressEvent] * 3
    assert isinstance(final, VideoFinalEvent)
    assert final.metadata["num_frames"] == 0
    with wave.open(io.BytesIO(final.video_bytes or b"")) as file:
        assert file.getnframes() == FRAMES * RATE_HZ // FPS


def test_the_sound_for_a_clip_follows_its_picture(for_a_clip: VideoGenerator, tmp_path: Path) -> None:
    dark, light = (InputConfig(video_path=a_clip(tmp_path, level)) for level in (20, 200))
    first = made(for_a_clip, a_request(inputs=dark, prompt=""))
    assert first.audio.shape == (2, FRAMES * RATE_HZ // FPS)
    assert first.frames is None
    assert np.array_equal(made(for_a_clip, a_request(inputs=dark, prompt="")).audio, first.audio)
    assert not np.array_equal(made(for_a_clip, a_request(inputs=light, prompt="")).audio, first.audio)


def test_the_clip_is_clean_in_every_step_and_stays_as_it_is(for_a_clip: VideoGenerator, tmp_path: Path) -> None:
    pipeline = for_a_clip._pipeline
    assert pipeline is not None
    batch = pipeline.batch(for_a_clip.resolve(a_request(inputs=InputConfig(video_path=a_clip(tmp_path, 90)))))
    levels: list[tuple[float, float]] = []
    handle = pipeline.denoise._transformer.register_forward_pre_hook(
        lambda _module, streams: levels.append((float(streams[0].sigma), float(streams[1].sigma)))
    )
    try:
        for stage in (pipeline.encode_text, pipeline.prepare_latents, pipeline.condition, pipeline.denoise):
            stage(batch, LTX2T2VConfig())
    finally:
        handle.remove()
    assert batch.video is not None
    assert torch.equal(batch.video.latents, batch.video.clean)
    assert [level[0] for level in levels] == [0.0, 0.0]
    assert [level[1] for level in levels] == list(batch.stage.sigmas[:-1])


def test_what_does_not_belong_to_sound_alone_is_refused_with_its_path(
    from_text: VideoGenerator, for_a_clip: VideoGenerator, tmp_path: Path
) -> None:
    clip, short = (InputConfig(video_path=a_clip(tmp_path, 90, frames)) for frames in (FRAMES, 9))
    state = a_request()
    state.state = ContinuationState("ltx2.v1", {})
    trajectory = a_request()
    trajectory.runtime.return_trajectory_decoded = True
    for generator, request, path in (
        (from_text, state, "state"),
        (from_text, a_request(OutputConfig(return_state=True)), "output.return_state"),
        (from_text, a_request(inputs=clip), "inputs"),
        (from_text, trajectory, "runtime.return_trajectory_decoded"),
        (for_a_clip, a_request(), "inputs.video_path"),
        (for_a_clip, a_request(inputs=short), "sampling.num_frames"),
    ):
        with pytest.raises(ConfigValidationError) as caught:
            generator.generate(request)
        assert caught.value.path == path


def test_two_stages_and_streams_are_refused_before_anything_is_loaded(cache: None) -> None:
    with pytest.raises(ConfigValidationError, match="one stage") as caught:
        VideoGenerator(config("t2a", preset="ltx2_two_stage"))
    assert caught.value.path == "pipeline.workload_type"
    for refuse in (
        lambda: build_generator(config("v2a"), pool=GpuPoolConfig()),
        lambda: generator_defaults(config("t2a")),
    ):
        with pytest.raises(ConfigValidationError, match="show pictures"):
            refuse()
