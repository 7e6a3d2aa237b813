import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled
from fastvideo.entrypoints.streaming.segment_events import SegmentDone
from fastvideo.entrypoints.streaming.warmup import Warmup, WarmupReport, run_warmup


def warmup(fakes, **changes) -> Warmup:
    config = fakes.config(warmup=fakes.WarmupConfig(enabled=True, prompt="warm", timeout_seconds=7))
    for name, value in changes.items():
        setattr(config.default_request.sampling, name, value)
    made = Warmup.of(config, {"guidance_scale": 3.5})
    assert made is not None
    return made


def test_the_second_segment_goes_on_from_the_first_in_state_and_time(fakes) -> None:
    generator = fakes.StepGenerator()
    first, second = run_warmup(generator, warmup(fakes), CancellationToken())
    assert isinstance(first, SegmentDone)
    assert isinstance(second, SegmentDone)
    assert second.pts_base_ms == first.duration_ms
    assert [request.state for request in generator.requests] == [None, first.state]


def test_it_makes_what_sessions_will_ask_for_in_one_step(fakes) -> None:
    made = warmup(fakes)
    sampling = made.job.request.sampling
    assert (sampling.width, sampling.height, sampling.num_frames, sampling.fps) == (64, 64, 8, 8)
    assert sampling.num_inference_steps == 1
    assert sampling.guidance_scale == 3.5
    assert made.job.request.output.return_state
    assert made.timeout_s == 7.0


def test_noise_levels_that_the_operator_wrote_decide_about_the_steps(fakes) -> None:
    sampling = warmup(fakes, sigmas=[1.0, 0.5, 0.0]).job.request.sampling
    assert sampling.sigmas == [1.0, 0.5, 0.0]
    assert sampling.num_inference_steps == 2


def test_there_is_none_when_it_is_switched_off(fakes) -> None:
    assert Warmup.of(fakes.config(), {}) is None


def test_it_can_be_cancelled(fakes) -> None:
    cancel = CancellationToken()
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        list(run_warmup(fakes.StepGenerator(), warmup(fakes), cancel))


def test_sessions_may_come_when_it_succeeded_or_was_not_wanted() -> None:
    assert WarmupReport(enabled=False).ready
    assert not WarmupReport(enabled=True).ready
    assert WarmupReport(enabled=True, success=True).ready
    assert not WarmupReport(enabled=True, success=False).ready
