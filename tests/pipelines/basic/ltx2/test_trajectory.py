import numpy as np
import pytest
import torch

from fastvideo.api.results import GenerationResult, VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import GenerationRequest, RequestRuntimeConfig, SamplingConfig
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream, seeded_noise
from fastvideo.pipelines.basic.ltx2.denoise_plan import DenoisePlan
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan
from fastvideo.pipelines.basic.ltx2.stages.tokens import video_to_tokens
from fastvideo.pipelines.basic.ltx2.trajectory import Trajectory


def made(components: LTX2Components, **runtime: bool) -> tuple[GenerationResult, np.ndarray]:
    """The result, and the frames that were streamed."""
    request = GenerationRequest(
        prompt="a fox",
        sampling=SamplingConfig(height=64, width=96, num_frames=17, fps=24, num_inference_steps=3, seed=1),
        runtime=RequestRuntimeConfig(**runtime),
    )
    *events, final = LTX2Pipeline(components, LTX2T2VConfig()).stream(request)
    assert isinstance(final, VideoFinalEvent)
    assert final.result is not None
    return final.result, np.concatenate([event.frames for event in events if isinstance(event, VideoPartialEvent)])


def test_each_step_leaves_its_latents_and_the_noise_that_it_began_with(components: LTX2Components) -> None:
    result, frames = made(components, return_trajectory_latents=True, return_trajectory_decoded=True)
    assert [latents.shape for latents in result.trajectory] == [(1, 128, 3, 2, 3)] * 3
    assert result.trajectory_timesteps[0] == 1000.0
    assert result.trajectory_timesteps == sorted(result.trajectory_timesteps, reverse=True)
    assert [clip.shape for clip in result.trajectory_decoded] == [(17, 64, 96, 3)] * 3
    # What the last step left is the video.
    assert np.array_equal(result.trajectory_decoded[-1], frames)
    assert not np.array_equal(result.trajectory_decoded[0], frames)


@pytest.mark.parametrize("asked", [set(), {"latents"}, {"decoded"}], ids=str)
def test_only_what_is_asked_for_is_kept(components: LTX2Components, asked: set[str]) -> None:
    result, _ = made(components, **{f"return_trajectory_{name}": True for name in asked})
    assert (result.trajectory is not None) == ("latents" in asked)
    assert (result.trajectory_decoded is not None) == ("decoded" in asked)
    assert (result.trajectory_timesteps is not None) == bool(asked)


def test_each_stage_has_its_own_size_and_appended_tokens_are_left_out() -> None:
    sizes = ((32, 64), (64, 128))
    stages = tuple(DenoisePlan("denoise", *size, (0.9, 0.4, 0.0)) for size in sizes)
    batch = LTX2Batch("a fox", SegmentPlan.make(9, 24), stages, seeded_noise(0))
    kept, expected = Trajectory(), []
    for index, (height, width) in enumerate(sizes):
        batch.stage_index = index
        latents = torch.randn(1, 4, 2, height // 32, width // 32)
        batch.video = Stream.of_noise(video_to_tokens(latents))
        extra = torch.zeros(1, 2, 4)
        batch.video.append(extra, 0.0, torch.zeros(1, 3, 2, 2), extra)
        kept.keep(batch, 2, spatial_scale=32)
        expected.append(latents)
    assert kept.timesteps == [400.0, 400.0]
    for actual, latents in zip(kept.latents, expected, strict=True):
        assert torch.equal(actual, latents)
