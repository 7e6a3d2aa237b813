"""Whether the model in the package is heard to join, by its benchmark's meter, in both ways to go on with sound."""

from __future__ import annotations

from itertools import islice

import numpy as np

from benchmarks.embedded_stories import held_out_stories
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import (
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    OutputConfig,
    SamplingConfig,
)
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.eval.meters.join import sound_steps

STORY = 16


def told(generator: VideoGenerator, state: ContinuationState | None) -> GenerationResult:
    story = next(islice(held_out_stories(0, STORY + 1), STORY, None))
    request = GenerationRequest(
        prompt=story.first.caption,
        sampling=SamplingConfig(seed=STORY),
        output=OutputConfig(return_state=True, save_video=False, return_frames=False),
        state=state,
    )
    result = generator.generate(request)
    assert isinstance(result, GenerationResult)
    return result


def generator(*, reencode: bool) -> VideoGenerator:
    pool = GpuPoolConfig(enable_audio_reencode=reencode)
    return VideoGenerator(GeneratorConfig(model_path="embedded:"), pool=pool)


def join_step(first: GenerationResult, second: GenerationResult) -> tuple[float, float]:
    """The step at the join, and the largest one inside the two segments."""
    rate_hz = first.audio_sample_rate
    assert rate_hz is not None
    joined = np.concatenate([first.audio, second.audio], axis=1)
    steps = sound_steps(joined, rate_hz, [first.audio.shape[1] / rate_hz])
    # There is something to hear on both sides.
    assert min(first.audio[:, -rate_hz // 4 :].std(), second.audio[:, : rate_hz // 4].std()) > 0.02
    return float(steps.at_joins[0]), float(steps.inside.max())


def test_a_join_is_no_larger_step_than_those_inside_segments() -> None:
    with generator(reencode=False) as carrying:
        first = told(carrying, None)
        carried, inside = join_step(first, told(carrying, first.state))
        assert carried <= inside
    with generator(reencode=True) as reencoding:
        encoded_anew, inside = join_step(first, told(reencoding, first.state))
        assert encoded_anew <= inside
    # Both begin with the old sound as it goes on; a waveform that just follows it makes a step twice as large here.
    assert encoded_anew <= 1.3 * carried
