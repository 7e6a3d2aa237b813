from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import ConfigValidationError, StateInvalid
from fastvideo.api.schema import ContinuationState, GenerationRequest, GpuPoolConfig, InputConfig, SamplingConfig
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.guidance import StreamGuidance
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe
from fastvideo.pipelines.basic.ltx2.segment_inputs import ContinuationSettings, ModelGeometry, make_batch
from fastvideo.pipelines.basic.ltx2.sigmas import shifted_sigmas

GEOMETRY = ModelGeometry(spatial_scale=32, text_registers=128, max_text_tokens=1024)


def a_request(**changes: object) -> GenerationRequest:
    sampling = {"height": 64, "width": 96, "num_frames": 33, "fps": 24, "num_inference_steps": 4, "seed": 7}
    return GenerationRequest(prompt="a prompt", sampling=SamplingConfig(**(sampling | changes)))  # type: ignore[arg-type]


def batch_of(request: GenerationRequest, settings: ContinuationSettings | None = None) -> LTX2Batch:
    return make_batch(request, GEOMETRY, settings or ContinuationSettings(), CancellationToken())


def a_state(**changes: object) -> ContinuationState:
    values: dict[str, object] = {
        "video_frames": [np.zeros((64, 96, 3), np.uint8)] * 9,
        "audio_latents": torch.zeros(1, 8, 56, 16),
        "audio_conditioning_num_frames": 54,
        "audio_conditioning_strength": 0.0,
        "video_position_offset_sec": 1.6,
        "metadata": {"fps": 24, "stream_frames": 121},
    }
    return LTX2ContinuationState(**(values | changes)).to_continuation_state()  # type: ignore[arg-type]


def continuing(**changes: object) -> GenerationRequest:
    request = a_request()
    request.state = a_state(**changes)
    return request


def test_a_request_becomes_a_plan_a_schedule_and_noise_of_its_seed() -> None:
    batch = batch_of(a_request(num_frames=34))
    assert batch.plan.num_frames == 33
    assert batch.stage.sigmas == (1.0, 0.909375, 0.725, 0.421875, 0.0)
    own = replace(GEOMETRY, distilled_sigmas=(1.0, 0.45, 0.3, 0.15))
    batch_of_own = make_batch(a_request(num_frames=34), own, ContinuationSettings(), CancellationToken())
    assert batch_of_own.stage.sigmas == (1.0, 0.45, 0.3, 0.15, 0.0)
    expected = torch.randn((2, 3), generator=torch.Generator().manual_seed(7))
    assert torch.equal(batch.noise((2, 3)), expected)


def test_segments_of_one_seed_draw_different_noise() -> None:
    drawn = [batch_of(continuing(segment_index=index)).noise((4,)) for index in (0, 1)]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], torch.randn((4,), generator=torch.Generator().manual_seed(8)))


def test_a_state_decides_overlap_context_and_timeline() -> None:
    plan = batch_of(continuing()).plan
    assert (plan.overlap_frames, plan.audio_context_latents, plan.frames_before) == (9, 56, 121)
    assert float(plan.position_offset) == pytest.approx(1.6)


def test_only_a_segment_that_is_continued_drops_its_tail_and_hears_ahead() -> None:
    settings = ContinuationSettings(end_offset_frames=3)
    request = a_request()
    alone = batch_of(request, settings).plan
    request.output.return_state = True
    continued = batch_of(request, settings).plan
    assert (alone.new_frames, continued.new_frames) == (33, 30)
    assert continued.audio_latents == alone.audio_latents + 5


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"height": 720}, "sampling.height"),
        ({"width": 16}, "sampling.width"),
        ({"max_sequence_length": 100}, "sampling.max_sequence_length"),
        ({"max_sequence_length": 2048}, "sampling.max_sequence_length"),
        ({"sigmas": [0.5]}, "sampling.sigmas"),
    ],
)
def test_sizes_that_do_not_fit_the_model_are_refused_with_their_path(changes: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        batch_of(a_request(**changes))
    assert caught.value.path == path


def test_a_text_length_of_whole_register_rows_is_taken() -> None:
    assert batch_of(a_request(max_sequence_length=256)).text_tokens == 256


def test_a_stage_override_sets_the_steps_of_its_stage() -> None:
    request = a_request()
    request.stage_overrides = {"denoise": {"num_inference_steps": 2, "guidance_scale": 1.0}}
    assert batch_of(request).steps == 2


def two_stage_batch(request: GenerationRequest, **changes: object) -> LTX2Batch:
    recipe = LTX2Recipe(refines=True, stage_values={"refine": {"num_inference_steps": 2}}, **changes)  # type: ignore[arg-type]
    return make_batch(request, GEOMETRY, ContinuationSettings(), CancellationToken(), recipe)


def test_a_refining_recipe_makes_half_the_size_first_and_each_stage_keeps_its_own_overrides() -> None:
    request = a_request(height=128, width=192)
    batch = two_stage_batch(request)
    first, refine = batch.stages
    assert (first.name, first.height, first.width, first.steps) == ("denoise", 64, 96, 4)
    assert (refine.name, refine.height, refine.width) == ("refine", 128, 192)
    assert refine.sigmas == (0.909375, 0.421875, 0.0)
    assert (batch.height, batch.width, batch.steps) == (128, 192, 6)
    request.stage_overrides = {
        "denoise": {"num_inference_steps": 5},
        "refine": {"num_inference_steps": 3, "video_position_offset_sec": 1.5},
    }
    first, refine = two_stage_batch(request, add_noise=False).stages
    assert (first.steps, refine.steps) == (5, 3)
    assert (first.position_offset_s, refine.position_offset_s) == (None, 1.5)
    assert not refine.add_noise


def test_a_size_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ConfigValidationError, match="multiple of 64 px such as 64") as caught:
        two_stage_batch(a_request(height=128, width=96))
    assert caught.value.path == "sampling.width"


def test_each_stage_has_its_own_compression_of_images() -> None:
    request = a_request(height=128, width=192)
    request.inputs = InputConfig(pil_image=Image.new("RGB", (8, 8)))
    request.stage_overrides = {"denoise": {"image_crf": 0}, "refine": {"image_crf": 30}}
    batch = two_stage_batch(request)
    assert [stage.image_crf for stage in batch.stages] == [0, 30]
    assert [reference.first_frame for reference in batch.references] == [0]


GUIDED = LTX2Recipe(
    guided=True, stage_values={"denoise": {"audio_guidance_scale": 7.0, "stg_scale": 1.0, "modality_scale": 3.0}}
)


def guided_batch(request: GenerationRequest) -> LTX2Batch:
    return make_batch(request, GEOMETRY, ContinuationSettings(), CancellationToken(), GUIDED)


def test_a_guided_recipe_takes_the_shifted_schedule_and_the_scales_of_its_stage() -> None:
    request = a_request(guidance_scale=3.0, guidance_rescale=0.7)
    request.negative_prompt = "noise"
    batch = guided_batch(request)
    assert batch.stage.sigmas == shifted_sigmas(4)
    assert batch.negative_prompt == "noise"
    assert batch.stage.guidance.video == StreamGuidance(cfg=3.0, stg=1.0, modality=3.0, rescale=0.7)
    assert batch.stage.guidance.audio == StreamGuidance(cfg=7.0, stg=1.0, modality=3.0, rescale=0.7)


def test_a_request_overrides_each_scale_of_a_guided_stage() -> None:
    request = a_request(guidance_scale=3.0)
    request.stage_overrides = {
        "denoise": {"guidance_scale": 1.0, "audio_guidance_scale": 2.0, "stg_scale": 0.0, "modality_scale": 1.5}
    }
    guidance = guided_batch(request).stage.guidance
    assert guidance.video == StreamGuidance(modality=1.5)
    assert guidance.audio == StreamGuidance(cfg=2.0, modality=1.5)
    assert guidance.passes == ("negative", "isolated")
    request.stage_overrides = {"denoise": {"stg_scale": 51.0}}
    with pytest.raises(ConfigValidationError, match="stg_scale"):
        guided_batch(request)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 10**9}, "num_inference_steps"),
        ({"num_inference_steps": True}, "num_inference_steps"),
        ({"guidance_scale": 3.0}, "guidance_scale"),
    ],
)
def test_a_stage_override_out_of_bounds_is_refused_with_its_path(values: dict[str, object], key: str) -> None:
    request = a_request()
    request.stage_overrides = {"denoise": values}
    with pytest.raises(ConfigValidationError) as caught:
        batch_of(request)
    assert caught.value.path == f"stage_overrides.denoise.{key}"


@pytest.mark.parametrize(
    "changes",
    [
        {"video_frames": [np.zeros((64, 64, 3), np.uint8)] * 9},
        {"video_frames": [np.zeros((64, 96, 3), np.uint8)] * 8},
        {"video_conditioning_frame_idx": 8},
        {"metadata": {"fps": 25}},
        {"metadata": {"fps": "24"}},
        {"metadata": {"stream_frames": -1}},
        {"metadata": {"stream_frames": True}},
        {"video_frames": None, "video_frames_blob_id": "somewhere"},
        {"audio_latents": None, "audio_latents_blob_id": "somewhere"},
        {"video_position_offset_sec": 3000.0},
        {"audio_latents": torch.zeros(1, 8, 600, 16), "audio_conditioning_num_frames": 2**31 - 1},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_a_state_that_does_not_fit_the_request_is_a_state_error(changes: dict[str, object]) -> None:
    with pytest.raises(StateInvalid):
        batch_of(continuing(**changes))


def test_an_initial_image_in_mid_stream_is_refused() -> None:
    request = continuing()
    request.inputs = InputConfig(pil_image=Image.new("RGB", (8, 8)))
    with pytest.raises(ConfigValidationError, match="continues a stream"):
        batch_of(request)


def test_an_initial_image_is_the_first_frame(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    Image.new("RGB", (200, 100), (10, 200, 30)).save(file)
    request = a_request()
    request.inputs = InputConfig(image_path=str(file))
    (reference,) = batch_of(request).references
    assert (reference.first_frame, reference.strength) == (0, 1.0)
    assert (reference.frames[0] == (10, 200, 30)).all()


@pytest.mark.parametrize(
    "inputs",
    [
        InputConfig(image_path=["a.png", "b.png"]),
        InputConfig(pil_image="a.png"),
        InputConfig(pil_image=Image.new("RGB", (8, 8)), image_path="a.png"),
    ],
)
def test_images_that_are_not_one_image_are_refused(inputs: InputConfig) -> None:
    request = a_request()
    request.inputs = inputs
    with pytest.raises(ConfigValidationError):
        batch_of(request)


def test_joins_are_set_by_the_pool_config() -> None:
    pool = GpuPoolConfig(conditioning_num_frames=17, conditioning_end_offset=2, enable_audio_reencode=False)
    assert ContinuationSettings.of(pool) == ContinuationSettings(17, 2, reencode_audio=False)
    assert ContinuationSettings.of(GpuPoolConfig()).reencode_audio


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"conditioning_num_frames": 8}, "streaming.pool.conditioning_num_frames"),
        ({"conditioning_num_frames": 0}, "streaming.pool.conditioning_num_frames"),
        ({"conditioning_end_offset": -1}, "streaming.pool.conditioning_end_offset"),
    ],
)
def test_joins_that_cannot_be_made_are_refused_with_their_path(changes: dict[str, int], path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        ContinuationSettings.of(GpuPoolConfig(**changes))  # type: ignore[arg-type]
    assert caught.value.path == path
