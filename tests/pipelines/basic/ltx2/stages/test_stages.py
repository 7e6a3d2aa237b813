"""Each stage alone, with what it is given and what it must refuse."""

import numpy as np
import pytest
import torch

from fastvideo.api.errors import StateInvalid
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream, seeded_noise
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.denoise_plan import DenoisePlan
from fastvideo.pipelines.basic.ltx2.guidance import Guidance, StreamGuidance
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.references import Reference
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan
from fastvideo.pipelines.basic.ltx2.stages import (
    LTX2AudioDecodingStage,
    LTX2ConditioningStage,
    LTX2DenoisingStage,
    LTX2LatentPreparationStage,
    LTX2TextEncodingStage,
    LTX2VideoDecodingStage,
)
from fastvideo.pipelines.basic.ltx2.stages.ltx2_conditioning import frames_to_pixels
from fastvideo.pipelines.basic.ltx2.stages.ltx2_denoising import euler_step
from fastvideo.pipelines.basic.ltx2.stages.ltx2_video_decoding import pixels_to_frames
from fastvideo.pipelines.basic.ltx2.stages.stage import StageVerificationError

CONFIG = LTX2T2VConfig()


def a_batch(**changes: object) -> LTX2Batch:
    values: dict[str, object] = {
        "prompt": "a fox",
        "plan": SegmentPlan.make(9, 24),
        "stages": (DenoisePlan("denoise", 64, 96, (1.0, 0.5, 0.0)),),
        "noise": seeded_noise(0),
    }
    return LTX2Batch(**(values | changes))  # type: ignore[arg-type]


def preparation(components: LTX2Components) -> LTX2LatentPreparationStage:
    return LTX2LatentPreparationStage(components.video_vae.config, components.audio_vae.config, "cpu")


def conditioning(components: LTX2Components) -> LTX2ConditioningStage:
    return LTX2ConditioningStage(components.video_vae, 8, 16)


def denoising(components: LTX2Components) -> LTX2DenoisingStage:
    return LTX2DenoisingStage(components.transformer, spatial_scale=32, temporal_scale=8)


def test_text_becomes_a_context_for_picture_and_sound(components: LTX2Components) -> None:
    stage = LTX2TextEncodingStage(components.text_encoder, components.connectors)
    batch = stage(a_batch(text_tokens=128), CONFIG)
    assert batch.context is not None
    assert batch.context.video.shape == (1, 128, components.connectors.config.video_dim)
    assert batch.context.audio.shape == (1, 128, components.connectors.config.audio_dim)
    assert batch.negative_context is None


def test_the_negative_prompt_is_encoded_where_guidance_moves_away_from_it(components: LTX2Components) -> None:
    stage = LTX2TextEncodingStage(components.text_encoder, components.connectors)
    guidance = Guidance(audio=StreamGuidance(cfg=7.0))
    stages = (DenoisePlan("denoise", 64, 96, (1.0, 0.0), guidance),)
    batch = stage(a_batch(text_tokens=128, stages=stages, negative_prompt="noise"), CONFIG)
    plain = stage(a_batch(text_tokens=128, prompt="noise"), CONFIG)
    assert batch.negative_context is not None
    assert plain.context is not None
    assert torch.equal(batch.negative_context.video, plain.context.video)
    assert batch.context is not None
    assert not torch.equal(batch.negative_context.video, batch.context.video)


def test_noise_is_drawn_for_the_picture_first_in_the_order_of_the_tokens(components: LTX2Components) -> None:
    batch = preparation(components)(a_batch(), CONFIG)
    noise = seeded_noise(0)
    assert batch.video is not None
    assert batch.audio is not None
    assert torch.equal(batch.video.latents, noise((1, 2 * 2 * 3, 128)))
    assert torch.equal(batch.audio.latents, noise((1, batch.plan.audio_latents, 128)))
    assert bool((batch.video.mask == 1).all())


def test_a_size_off_the_grid_is_caught(components: LTX2Components) -> None:
    with pytest.raises(StageVerificationError, match="multiple of 32"):
        preparation(components)(a_batch(stages=(DenoisePlan("denoise", 64, 100, (1.0, 0.0)),)), CONFIG)


def test_an_image_takes_the_place_of_the_first_latent_frame(components: LTX2Components) -> None:
    image = np.full((64, 96, 3), 200, np.uint8)
    batch = conditioning(components)(
        preparation(components)(a_batch(references=(Reference((image,)),)), CONFIG), CONFIG
    )
    assert batch.video is not None
    assert batch.video.mask.tolist() == [[0.0] * 6 + [1.0] * 6]
    with torch.inference_mode():
        encoded = components.video_vae.encode(frames_to_pixels([image]))
    assert torch.equal(batch.video.latents[:, :6], encoded.flatten(2).transpose(1, 2))


def test_a_later_image_is_appended_at_its_time_and_dropped_with_the_last_step(components: LTX2Components) -> None:
    image = np.full((80, 80, 3), 200, np.uint8)
    batch = LTX2TextEncodingStage(components.text_encoder, components.connectors)(
        a_batch(references=(Reference((image,), 5, 0.75),), plan=SegmentPlan.make(9, 24, position_offset_s=0.5)), CONFIG
    )
    plain = preparation(components)(batch, CONFIG).video
    assert plain is not None
    noise = plain.latents.clone()
    conditioning(components)(batch, CONFIG)
    assert batch.video is not None
    assert torch.equal(batch.video.latents[:, :12], noise)
    assert batch.video.mask.tolist() == [[1.0] * 12 + [0.25] * 6]
    positions = batch.video.appended_positions
    assert positions is not None
    assert positions[0, 0].tolist() == [pytest.approx([5 / 24 + 0.5, 6 / 24 + 0.5])] * 6
    denoising(components)(batch, CONFIG)
    assert batch.video.latents.shape == (1, 12, 128)
    assert batch.video.mask.shape == (1, 12)


def test_both_prompts_in_one_forward_pass_give_the_same_as_in_two(components: LTX2Components) -> None:
    guidance = Guidance(StreamGuidance(cfg=3.0, stg=1.0), StreamGuidance(cfg=7.0))
    ends, passes = [], []
    for batch_cfg in (False, True):
        plan = DenoisePlan("denoise", 64, 96, (1.0, 0.5, 0.0), guidance, batch_cfg=batch_cfg)
        batch = LTX2TextEncodingStage(components.text_encoder, components.connectors)(
            a_batch(stages=(plan,), negative_prompt="blurred"), CONFIG
        )
        preparation(components)(batch, CONFIG)
        calls: list[object] = []
        counter = components.transformer.register_forward_hook(lambda *call, calls=calls: calls.append(call))
        denoising(components)(batch, CONFIG)
        counter.remove()
        assert batch.video is not None
        assert batch.audio is not None
        ends.append((batch.video.latents, batch.audio.latents))
        passes.append(len(calls))
    assert passes == [6, 4]
    for one_by_one, together in zip(*ends, strict=True):
        torch.testing.assert_close(one_by_one, together, atol=1e-4, rtol=0)


def test_audio_latents_of_another_model_are_a_state_error(components: LTX2Components) -> None:
    state = LTX2ContinuationState(audio_latents=torch.zeros(1, 4, 8, 16))
    plan = SegmentPlan.make(17, 24, audio_context_latents=8)
    batch = preparation(components)(a_batch(plan=plan, state=state), CONFIG)
    with pytest.raises(StateInvalid, match=r"\[1, 8, T, 16\], got \[1, 4, 8, 16\]"):
        conditioning(components)(batch, CONFIG)


def test_stages_out_of_order_are_caught(components: LTX2Components) -> None:
    for stage in (conditioning(components), denoising(components), LTX2VideoDecodingStage(components.video_vae)):
        with pytest.raises(StageVerificationError, match="not been prepared"):
            stage(a_batch(), CONFIG)


def test_latents_that_are_not_finite_are_caught(components: LTX2Components) -> None:
    batch = LTX2TextEncodingStage(components.text_encoder, components.connectors)(a_batch(), CONFIG)
    preparation(components)(batch, CONFIG)
    assert batch.video is not None
    batch.video.latents[0, 0, 0] = float("nan")
    with pytest.raises(StageVerificationError, match="latents are not finite"):
        denoising(components)(batch, CONFIG)


def test_a_token_that_is_partly_kept_ends_between_what_is_kept_and_what_is_made(components: LTX2Components) -> None:
    ends = {}
    for mask in (0.0, 0.5, 1.0):
        batch = LTX2TextEncodingStage(components.text_encoder, components.connectors)(a_batch(), CONFIG)
        preparation(components)(batch, CONFIG)
        assert batch.video is not None
        batch.video.keep(slice(0, 6), torch.full((1, 6, 128), 3.0), mask)
        denoising(components)(batch, CONFIG)
        ends[mask] = (batch.video.latents[:, :6] - 3.0).abs().mean().item()
    assert ends[0.0] == 0.0
    assert 0.05 * ends[1.0] < ends[0.5] < 0.8 * ends[1.0]


def test_an_euler_step_moves_along_the_line_to_the_clean_value() -> None:
    noisy, clean = torch.tensor([4.0]), torch.tensor([2.0])
    assert euler_step(noisy, clean, 1.0, 0.5).item() == 3.0
    assert euler_step(noisy, clean, 0.5, 0.0).item() == 2.0
    assert euler_step(clean, clean, 0.7, 0.3).item() == 2.0


def test_without_audio_latents_no_sound_is_made(components: LTX2Components) -> None:
    batch = LTX2AudioDecodingStage(components.audio_vae, components.vocoder)(a_batch(), CONFIG)
    assert batch.waveform is None
    assert batch.audio_sample_rate is None


def test_sound_is_as_long_as_the_new_frames(components: LTX2Components) -> None:
    plan = SegmentPlan.make(33, 24, overlap_frames=9, position_offset_s=0.5)
    batch = a_batch(plan=plan, audio=Stream.of_noise(torch.randn(1, plan.audio_latents, 128)))
    LTX2AudioDecodingStage(components.audio_vae, components.vocoder)(batch, CONFIG)
    assert batch.waveform is not None
    assert batch.waveform.shape == (2, 24_000)
    assert batch.audio_sample_rate == 24_000


def test_sound_that_the_latents_do_not_reach_is_caught(components: LTX2Components) -> None:
    batch = a_batch(audio=Stream.of_noise(torch.randn(1, 3, 128)))
    with pytest.raises(StageVerificationError, match="expected 9000 samples"):
        LTX2AudioDecodingStage(components.audio_vae, components.vocoder)(batch, CONFIG)


def test_chunks_add_up_to_the_segment(components: LTX2Components) -> None:
    plan = SegmentPlan.make(121, 24)
    batch = a_batch(
        plan=plan, stages=(DenoisePlan("denoise", 64, 64, (1.0, 0.0)),), video=Stream.of_noise(torch.randn(1, 64, 128))
    )
    chunks = list(LTX2VideoDecodingStage(components.video_vae).chunks(batch, CONFIG))
    assert len(chunks) == 3
    assert np.concatenate(chunks).shape == (121, 64, 64, 3)


def test_pixels_and_frames_are_inverse_and_pixels_are_clipped() -> None:
    frames = [np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)] * 2
    pixels = frames_to_pixels(frames)
    assert pixels.shape == (1, 3, 2, 16, 16)
    assert (pixels.min().item(), pixels.max().item()) == (-1.0, 1.0)
    assert np.array_equal(pixels_to_frames(pixels.clone()), np.stack(frames))
    assert pixels_to_frames(3 * pixels).min() == 0
    assert pixels_to_frames(3 * pixels).max() == 255
