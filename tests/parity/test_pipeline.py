"""One whole small pipeline against diffusers' LTX2Pipeline: the same file, prompt, noise and schedule, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2ConditionPipeline, LTX2VideoCondition
from torch import Tensor

from benchmarks.diffusers_pipeline import diffusers_pipeline, load
from fastvideo.api.results import VideoPartialEvent
from fastvideo.api.schema import GenerationRequest, ReferenceConfig, SamplingConfig
from fastvideo.models.ltx2.loader import UPSAMPLER_FOLDER, LTX2Components, load_components
from fastvideo.models.ltx2.tiny import UPSAMPLER_NAME, write_tiny_checkpoint
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.guidance import Guidance, StreamGuidance
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe
from fastvideo.pipelines.basic.ltx2.sigmas import REFINE_SIGMAS, distilled_sigmas, shifted_sigmas
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_audio, tokens_to_video

HEIGHT, WIDTH, FRAMES, FPS, STEPS, SEED = 64, 96, 17, 24, 5, 3
PROMPT = "A heron lifts off a still lake; wings beat, water drips."


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def components(version: str, tmp_path_factory: pytest.TempPathFactory) -> LTX2Components:
    file = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), version=version)
    return load_components(file, upsampler_file=file.parent / UPSAMPLER_FOLDER / UPSAMPLER_NAME)


def test_latents_frames_and_sound_are_those_of_diffusers(version: str, components: LTX2Components) -> None:
    pipeline = LTX2Pipeline(components, LTX2T2VConfig(vae_tiling=False))
    sampling = SamplingConfig(
        height=HEIGHT, width=WIDTH, num_frames=FRAMES, fps=FPS, num_inference_steps=STEPS, seed=SEED
    )
    batch = pipeline.batch(GenerationRequest(prompt=PROMPT, sampling=sampling))
    config = LTX2T2VConfig(vae_tiling=False)
    pipeline.encode_text(batch, config)
    pipeline.prepare_latents(batch, config)
    assert batch.video is not None
    assert batch.audio is not None
    video_noise, audio_noise = batch.video.latents.clone(), batch.audio.latents.clone()
    pipeline.denoise(batch, config)
    pipeline.decode_audio(batch, config)
    grid = (batch.plan.latent_frames, HEIGHT // 32, WIDTH // 32)
    with torch.inference_mode():
        pixels = components.video_vae.decode(tokens_to_video(batch.video.latents, *grid))

    oracle = diffusers_pipeline(components)
    final: dict[str, Tensor] = {}

    def keep(_pipeline: Any, _step: int, _time: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
        final.update({name: value.clone() for name, value in values.items()})
        return values

    oracle._callback_tensor_inputs = ["latents", "audio_latents"]
    video, audio = oracle(
        prompt=PROMPT,
        height=HEIGHT,
        width=WIDTH,
        num_frames=FRAMES,
        frame_rate=float(FPS),
        num_inference_steps=STEPS,
        sigmas=list(distilled_sigmas(STEPS)[:-1]),
        guidance_scale=1.0,
        stg_scale=0.0,
        modality_scale=1.0,
        guidance_rescale=0.0,
        audio_guidance_scale=1.0,
        audio_stg_scale=0.0,
        audio_modality_scale=1.0,
        audio_guidance_rescale=0.0,
        latents=video_noise,
        audio_latents=denormalised(components, tokens_to_audio(audio_noise, 8)),
        max_sequence_length=components.text_encoder.max_tokens,
        output_type="np",
        return_dict=False,
        callback_on_step_end=keep,
        callback_on_step_end_tensor_inputs=["latents", "audio_latents"],
    )

    torch.testing.assert_close(batch.video.latents, final["latents"], atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.audio.latents, final["audio_latents"], atol=1e-5, rtol=0)
    ours = (pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).numpy()
    np.testing.assert_allclose(ours, video[0], atol=1e-5, rtol=0)
    assert batch.waveform is not None
    count = batch.waveform.shape[1]
    # The last bits of the latents come out of two log-spectra and two vocoders (2.3) some ten times larger.
    np.testing.assert_allclose(
        batch.waveform, audio[0].numpy()[:, :count], atol=1e-5 if version == "2.0" else 1e-4, rtol=0
    )


GUIDANCE = {
    "negative prompt": Guidance(StreamGuidance(cfg=3.0), StreamGuidance(cfg=7.0)),
    "perturbed block": Guidance(StreamGuidance(stg=1.0), StreamGuidance(stg=0.5)),
    "isolated streams": Guidance(StreamGuidance(modality=3.0), StreamGuidance(modality=2.0)),
    "all": Guidance(
        StreamGuidance(cfg=3.0, stg=1.0, modality=3.0, rescale=0.7),
        StreamGuidance(cfg=7.0, stg=0.5, modality=2.0, rescale=0.4),
    ),
}


@pytest.mark.parametrize("guidance", GUIDANCE.values(), ids=GUIDANCE)
def test_guided_latents_are_those_of_diffusers(guidance: Guidance, version: str, components: LTX2Components) -> None:
    steps, negative = 3, "blurred, silent"
    config = LTX2T2VConfig()
    pipeline = LTX2Pipeline(components, config, recipe=LTX2Recipe(guided=True))
    sampling = SamplingConfig(
        height=HEIGHT, width=WIDTH, num_frames=FRAMES, fps=FPS, num_inference_steps=steps, seed=SEED
    )
    batch = pipeline.batch(GenerationRequest(prompt=PROMPT, negative_prompt=negative, sampling=sampling))
    batch.stages = (replace(batch.stage, guidance=guidance),)
    pipeline.encode_text(batch, config)
    pipeline.prepare_latents(batch, config)
    assert batch.video is not None
    assert batch.audio is not None
    video_noise, audio_noise = batch.video.latents.clone(), batch.audio.latents.clone()
    pipeline.denoise(batch, config)

    oracle = diffusers_pipeline(components)
    video, audio = oracle_latents(
        oracle,
        components,
        (video_noise, audio_noise),
        shifted_sigmas(steps),
        negative_prompt=negative,
        guidance_scale=guidance.video.cfg,
        stg_scale=guidance.video.stg,
        modality_scale=guidance.video.modality,
        guidance_rescale=guidance.video.rescale,
        audio_guidance_scale=guidance.audio.cfg,
        audio_stg_scale=guidance.audio.stg,
        audio_modality_scale=guidance.audio.modality,
        audio_guidance_rescale=guidance.audio.rescale,
        spatio_temporal_guidance_blocks=[components.config.transformer.num_layers - 1],
    )
    # Guidance multiplies the last bits as it multiplies the differences.
    torch.testing.assert_close(batch.video.latents, video, atol=1e-4, rtol=0)
    torch.testing.assert_close(batch.audio.latents, audio, atol=1e-4, rtol=0)


@pytest.mark.parametrize("add_noise", [True, False])
def test_two_stages_are_two_runs_of_diffusers_with_its_upsampler_and_our_noise_between_them(
    add_noise: bool, version: str, components: LTX2Components
) -> None:
    assert components.upsampler is not None
    config = LTX2T2VConfig()
    pipeline = LTX2Pipeline(components, config, recipe=LTX2Recipe(refines=True, add_noise=add_noise))
    sampling = SamplingConfig(height=128, width=192, num_frames=FRAMES, fps=FPS, num_inference_steps=2, seed=SEED)
    batch = pipeline.batch(GenerationRequest(prompt=PROMPT, sampling=sampling))
    drawn: list[Tensor] = []
    noise = batch.noise

    def remembered(shape: tuple[int, ...]) -> Tensor:
        drawn.append(noise(shape))
        return drawn[-1].clone()

    batch.noise = remembered
    assert pipeline.upsample is not None
    pipeline.encode_text(batch, config)
    pipeline.prepare_latents(batch, config)
    pipeline.denoise(batch, config)
    pipeline.upsample(batch, config)
    pipeline.denoise(batch, config)
    assert batch.video is not None
    assert batch.audio is not None

    oracle = diffusers_pipeline(components)
    upsampler = LTX2LatentUpsamplerModel(
        mid_channels=32, num_blocks_per_stage=1, use_rational_resampler=version == "2.0"
    )
    load(upsampler, components.upsampler.state_dict())
    video, audio = oracle_latents(
        oracle, components, (drawn[0], drawn[1]), distilled_sigmas(2), height=HEIGHT, width=WIDTH
    )
    mean, deviation = oracle.vae.latents_mean, oracle.vae.latents_std
    plain = oracle._denormalize_latents(tokens_to_video(video, 3, HEIGHT // 32, WIDTH // 32), mean, deviation)
    with torch.inference_mode():
        larger = oracle._pack_latents(oracle._normalize_latents(upsampler(plain), mean, deviation))
    sigma = REFINE_SIGMAS[0] if add_noise else 0.0
    noisy = [(1 - sigma) * x + sigma * noise for x, noise in ((larger, drawn[2]), (audio, drawn[3]))]
    video, audio = oracle_latents(
        oracle, components, (noisy[0], noisy[1]), REFINE_SIGMAS, height=2 * HEIGHT, width=2 * WIDTH
    )
    torch.testing.assert_close(batch.video.latents, video, atol=5e-5, rtol=0)
    torch.testing.assert_close(batch.audio.latents, audio, atol=5e-5, rtol=0)


def test_partials_are_the_same_frames_as_eight_bit_values(components: LTX2Components) -> None:
    pipeline = LTX2Pipeline(components, LTX2T2VConfig(vae_tiling=False))
    sampling = SamplingConfig(height=HEIGHT, width=WIDTH, num_frames=FRAMES, num_inference_steps=1, seed=SEED)
    request = GenerationRequest(prompt=PROMPT, sampling=sampling)
    (partial,) = [event for event in pipeline.stream(request) if isinstance(event, VideoPartialEvent)]
    batch = pipeline.batch(request)
    for stage in (pipeline.encode_text, pipeline.prepare_latents, pipeline.denoise):
        stage(batch, LTX2T2VConfig())
    assert batch.video is not None
    with torch.inference_mode():
        pixels = components.video_vae.decode(tokens_to_video(batch.video.latents, 3, HEIGHT // 32, WIDTH // 32))
    expected = (pixels[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).numpy() * 255
    assert np.abs(partial.frames - expected).max() <= 0.5 + 1e-3


@pytest.fixture
def across_streams_as_diffusers(components: LTX2Components) -> Iterator[None]:
    """Which timestep modulates attention across the streams: diffusers has no form of the current official one."""
    transformer = components.transformer
    official = transformer.config
    transformer.config = replace(official, av_cross_timestep="other")
    yield
    transformer.config = official


def pictures(seed: int, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 255, (count, HEIGHT, WIDTH, 3), np.uint8)


class Conditions:
    """The same images and clips for both implementations."""

    def __init__(self, components: LTX2Components, oracle: Any, strengths: tuple[float, ...]) -> None:
        head, clip, last = pictures(1, 1), pictures(2, 9), pictures(3, 1)
        # diffusers counts latents: its index 1 is frame 1, its index 2 frame 9.
        places = ((head, 0, 0), (clip, 1, 1), (last, 2, 9))
        self.references = [
            ReferenceConfig(frames=frames, frame=frame, strength=strength)
            for (frames, _, frame), strength in zip(places, strengths, strict=True)
        ]
        self.theirs = [
            LTX2VideoCondition(frames=frames, index=index, strength=strength, crf=0)
            for (frames, index, _), strength in zip(places, strengths, strict=True)
        ]
        parts = {name: part for name, part in oracle.components.items() if name in CONDITION_PARTS}
        self.pipeline = LTX2ConditionPipeline(**parts)
        self.pipeline.set_progress_bar_config(disable=True)
        vae = components.video_vae

        def encode(pixels: Tensor) -> Any:
            # diffusers' encoder begins wider than the tiny one, so ours stands in for it.
            latents = vae.per_channel_statistics.denormalize(vae.encode(pixels))
            return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latents))

        self.pipeline.vae.encode = encode


CONDITION_PARTS = (
    "scheduler",
    "vae",
    "audio_vae",
    "text_encoder",
    "tokenizer",
    "connectors",
    "transformer",
    "vocoder",
)


def conditioned_batch(pipeline: LTX2Pipeline, conditions: Conditions, config: LTX2T2VConfig) -> LTX2Batch:
    """Ours, ready to be denoised from diffusers' noise."""
    sampling = SamplingConfig(
        height=HEIGHT, width=WIDTH, num_frames=FRAMES, fps=FPS, num_inference_steps=STEPS, seed=SEED
    )
    request = GenerationRequest(prompt=PROMPT, sampling=sampling)
    request.inputs.references = list(conditions.references)
    batch = pipeline.batch(request)
    tokens = (HEIGHT // 32) * (WIDTH // 32)
    counts = [3 * tokens, 2 * tokens, tokens]
    # diffusers draws the picture's noise and that of what is appended at once, and then the sound's.
    generator = torch.Generator().manual_seed(SEED)
    whole = torch.randn((1, sum(counts), 128), generator=generator)
    sound = torch.randn((1, batch.plan.audio_latents, 128), generator=generator)
    first, *appended = whole.split(counts, dim=1)
    drawn = iter([first, sound, *appended])
    batch.noise = lambda shape: next(drawn)
    pipeline.encode_text(batch, config)
    pipeline.prepare_latents(batch, config)
    pipeline.condition(batch, config)
    return batch


@pytest.mark.parametrize("strengths", [(1.0, 1.0, 1.0), (0.75, 0.5, 0.25)], ids=["kept", "partly kept"])
def test_images_and_clips_at_frames_start_as_in_diffusers(
    strengths: tuple[float, ...], components: LTX2Components
) -> None:
    conditions = Conditions(components, diffusers_pipeline(components), strengths)
    pipeline = LTX2Pipeline(components, LTX2T2VConfig())
    batch = conditioned_batch(pipeline, conditions, LTX2T2VConfig())
    with torch.inference_mode():
        latents, kept, clean, positions = conditions.pipeline.prepare_latents(
            conditions=conditions.theirs,
            height=HEIGHT,
            width=WIDTH,
            num_frames=FRAMES,
            frame_rate=float(FPS),
            dtype=torch.float32,
            device="cpu",
            generator=torch.Generator().manual_seed(SEED),
        )
    assert batch.video is not None
    assert batch.video.appended_positions is not None
    torch.testing.assert_close(batch.video.latents, latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(1 - batch.video.mask, kept.squeeze(-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(batch.video.clean, clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.video.appended_positions, positions, atol=1e-6, rtol=0)


def test_a_clip_with_images_at_frames_is_that_of_diffusers(
    components: LTX2Components, across_streams_as_diffusers: None
) -> None:
    config = LTX2T2VConfig()
    conditions = Conditions(components, diffusers_pipeline(components), (1.0, 1.0, 1.0))
    pipeline = LTX2Pipeline(components, config)
    batch = conditioned_batch(pipeline, conditions, config)
    pipeline.denoise(batch, config)
    assert batch.video is not None
    assert batch.audio is not None
    with torch.inference_mode():
        latents, audio = conditions.pipeline(
            conditions=conditions.theirs,
            prompt=PROMPT,
            height=HEIGHT,
            width=WIDTH,
            num_frames=FRAMES,
            frame_rate=float(FPS),
            num_inference_steps=STEPS,
            sigmas=list(distilled_sigmas(STEPS)[:-1]),
            guidance_scale=1.0,
            stg_scale=0.0,
            modality_scale=1.0,
            guidance_rescale=0.0,
            audio_guidance_scale=1.0,
            audio_stg_scale=0.0,
            audio_modality_scale=1.0,
            audio_guidance_rescale=0.0,
            # Only their number counts: with a noise scale of 1 they are replaced by noise.
            audio_latents=torch.zeros(1, 8, batch.plan.audio_latents, 16),
            noise_scale=1.0,
            generator=torch.Generator().manual_seed(SEED),
            max_sequence_length=components.text_encoder.max_tokens,
            output_type="latent",
            return_dict=False,
        )
    statistics = components.video_vae.per_channel_statistics
    ours = statistics.denormalize(tokens_to_video(batch.video.latents, 3, HEIGHT // 32, WIDTH // 32))
    torch.testing.assert_close(ours, latents, atol=2e-5, rtol=1e-5)
    ours = denormalised(components, tokens_to_audio(batch.audio.latents, 8))
    torch.testing.assert_close(ours, audio, atol=2e-5, rtol=1e-5)


def oracle_latents(
    oracle: Any, components: LTX2Components, noise: tuple[Tensor, Tensor], sigmas: tuple[float, ...], **changes: Any
) -> tuple[Tensor, Tensor]:
    """The tokens of picture and sound that diffusers makes of the noisy ones, without guidance where none is given."""
    final: dict[str, Tensor] = {}

    def keep(_pipeline: Any, _step: int, _time: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
        final.update({name: value.clone() for name, value in values.items()})
        return values

    oracle._callback_tensor_inputs = ["latents", "audio_latents"]
    arguments: dict[str, Any] = {
        "prompt": PROMPT,
        "height": HEIGHT,
        "width": WIDTH,
        "num_frames": FRAMES,
        "frame_rate": float(FPS),
        "num_inference_steps": len(sigmas) - 1,
        "sigmas": list(sigmas[:-1]),
        "guidance_scale": 1.0,
        "stg_scale": 0.0,
        "modality_scale": 1.0,
        "guidance_rescale": 0.0,
        "audio_guidance_scale": 1.0,
        "audio_stg_scale": 0.0,
        "audio_modality_scale": 1.0,
        "audio_guidance_rescale": 0.0,
        "latents": noise[0],
        "audio_latents": denormalised(components, tokens_to_audio(noise[1], 8)),
        "max_sequence_length": components.text_encoder.max_tokens,
        "output_type": "latent",
        "return_dict": False,
        "callback_on_step_end": keep,
        "callback_on_step_end_tensor_inputs": ["latents", "audio_latents"],
    }
    oracle(**(arguments | changes))
    return final["latents"], final["audio_latents"]


def denormalised(components: LTX2Components, latents: Tensor) -> Tensor:
    """As diffusers takes audio latents of four axes: before its own normalisation."""
    return components.audio_vae.per_channel_statistics.denormalize(latents)
