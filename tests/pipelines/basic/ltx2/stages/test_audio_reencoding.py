"""The carried sound, encoded anew from its waveform."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastvideo.api.errors import StateInvalid
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.models.ltx2.mel import LogMelSpectrogram
from fastvideo.models.ltx2.resampling import resample
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream, seeded_noise
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.denoise_plan import DenoisePlan
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan
from fastvideo.pipelines.basic.ltx2.stages import LTX2AudioDecodingStage, LTX2AudioReencodingStage

CONFIG = LTX2T2VConfig()
CONTEXT = 30
LATENTS = torch.randn((1, 8, CONTEXT, 16), generator=torch.Generator().manual_seed(4))


def continued(latents: torch.Tensor | None = LATENTS, strength: float = 0.0) -> LTX2Batch:
    """A segment whose sound begins a second before its picture; the carried part goes on for 0.17 s after the join."""
    plan = SegmentPlan.make(25, 24, audio_context_latents=CONTEXT, position_offset_s=1.0)
    state = LTX2ContinuationState(audio_latents=latents, audio_conditioning_strength=strength)
    stages = (DenoisePlan("denoise", 64, 96, (1.0, 0.0)),)
    return LTX2Batch(prompt="a bell", plan=plan, stages=stages, noise=seeded_noise(0), state=state)


@pytest.fixture
def reencode(components: LTX2Components) -> LTX2AudioReencodingStage:
    return LTX2AudioReencodingStage(components.audio_vae, components.vocoder)


def heard(components: LTX2Components, latents: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return components.vocoder(components.audio_vae.decode(latents))


def test_as_many_latents_as_were_carried_are_made_of_their_sound(
    components: LTX2Components, reencode: LTX2AudioReencodingStage
) -> None:
    batch = reencode(continued(), CONFIG)
    assert batch.state is not None
    made = batch.state.audio_latents
    assert made is not None
    assert made.shape == LATENTS.shape
    with torch.inference_mode():
        narrow = resample(heard(components, LATENTS), components.vocoder.sample_rate, 16000)
        mel = LogMelSpectrogram(components.audio_vae.config.mel)(narrow)
        expected = components.audio_vae.encode(mel)
    # One more of the spectrum's frames is centred on the waveform's end; no earlier latent looks ahead to it.
    assert mel.shape[2] == 4 * CONTEXT - 2
    torch.testing.assert_close(made[:, :, :-1], expected[:, :, : CONTEXT - 1], atol=1e-5, rtol=0)
    # Whatever comes later may change them in place.
    made += 1


def test_only_the_latents_that_the_plan_takes_over_are_heard(reencode: LTX2AudioReencodingStage) -> None:
    longer = torch.cat([torch.randn(1, 8, 7, 16), LATENTS], dim=2)
    made = [reencode(continued(latents), CONFIG).state for latents in (LATENTS, longer)]
    assert made[0] is not None
    assert made[1] is not None
    assert torch.equal(made[0].audio_latents, made[1].audio_latents)  # type: ignore[arg-type]


def test_the_new_sound_begins_as_the_old_one_went_on(
    components: LTX2Components, reencode: LTX2AudioReencodingStage
) -> None:
    batch = reencode(continued(), CONFIG)
    batch.audio = Stream.of_noise(torch.randn(1, batch.plan.audio_latents, 128))
    LTX2AudioDecodingStage(components.audio_vae, components.vocoder)(batch, CONFIG)
    rate = components.vocoder.sample_rate
    old = heard(components, LATENTS)[0].numpy()
    latents = batch.audio.latents.reshape(1, -1, 8, 16).transpose(1, 2)
    own = heard(components, latents)[0].numpy()
    start, count = batch.plan.sample_span(rate)
    faded = rate // 50
    assert batch.waveform is not None
    assert batch.waveform.shape[1] == count
    np.testing.assert_allclose(batch.waveform[:, 0], old[:, start], atol=2e-3)
    np.testing.assert_allclose(batch.waveform[:, faded:], own[:, start + faded : start + count], atol=1e-6)
    middle = batch.waveform[:, faded // 2]
    expected = (old[:, start + faded // 2] + own[:, start + faded // 2]) / 2
    np.testing.assert_allclose(middle, expected, atol=2e-3)
    # So the join is no step, which it would be by itself.
    assert np.abs(old[:, start] - own[:, start]).max() > 0.02


@pytest.mark.parametrize("batch", [continued(strength=1.0), continued(latents=None)], ids=["made anew", "no sound"])
def test_without_a_sound_that_is_kept_there_is_nothing_to_do(
    batch: LTX2Batch, reencode: LTX2AudioReencodingStage
) -> None:
    before = batch.state
    assert reencode(batch, CONFIG).state is before
    assert batch.sound_before is None


def test_latents_of_another_model_are_a_state_error(reencode: LTX2AudioReencodingStage) -> None:
    with pytest.raises(StateInvalid, match=r"\[1, 8, T, 16\], got \[1, 4, 30, 16\]"):
        reencode(continued(torch.zeros(1, 4, CONTEXT, 16)), CONFIG)
