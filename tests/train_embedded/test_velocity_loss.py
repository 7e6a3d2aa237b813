"""Errors of velocities: on noisy data, and along the model's own steps."""

import pytest
import torch
from torch import Tensor

from fastvideo.models.ltx2.transformer import ModalityInput
from fastvideo.pipelines.basic.ltx2.sigmas import distilled_sigmas
from fastvideo.pipelines.basic.ltx2.stages.ltx2_denoising import euler_step
from scripts.train_embedded.sizes import SIGMAS
from scripts.train_embedded.velocity_loss import noise_levels, velocity_losses
from tests.train_embedded.flow_samples import batch_of, contexts


@pytest.mark.parametrize("place", [0, 1])
def test_the_velocity_that_leads_back_to_the_clean_tokens_loses_nothing(place: int) -> None:
    batch = batch_of(place)

    def perfect(video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        def velocity(stream: ModalityInput, clean: Tensor) -> Tensor:
            sigma = stream.sigma[:, None, None]
            return (stream.latents - clean) / sigma

        return velocity(video, batch.video), velocity(audio, batch.audio)

    losses = velocity_losses(perfect, batch, contexts(), torch.Generator().manual_seed(0))
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(
        dict.fromkeys(("loss", "video", "audio"), 0.0), abs=1e-6
    )


def test_what_a_later_segment_continues_is_nearly_clean_has_timestep_0_and_costs_nothing() -> None:
    batch = batch_of(1)
    seen: list[ModalityInput] = []

    def wrong_where_given(video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        seen.extend((video, audio))
        velocities = []
        for stream, clean in ((video, batch.video), (audio, batch.audio)):
            right = (stream.latents - clean) / stream.sigma[:, None, None]
            velocities.append(torch.where(stream.timesteps[..., None] > 0, right, torch.full_like(right, 9.0)))
        return velocities[0], velocities[1]

    losses = velocity_losses(wrong_where_given, batch, contexts(), torch.Generator().manual_seed(0))
    assert float(losses["loss"]) == pytest.approx(0, abs=1e-6)
    for stream, clean, given in zip(seen, (batch.video, batch.audio), (2 * 64, 56), strict=True):
        assert (stream.timesteps[:, :given] == 0).all()
        assert torch.equal(stream.timesteps[:, given:], stream.sigma[:, None].expand(-1, clean.shape[1] - given))
        assert float((stream.latents - clean)[:, :given].std()) < 0.15
    assert seen[1].positions.shape[2] == batch.plan.audio_latents
    # The picture begins where the sound has gone on for 1.6 s.
    assert float(seen[0].positions[0, 0, 0, 0]) == pytest.approx(1.6)


def test_along_a_schedule_the_model_meets_what_its_own_steps_lead_to() -> None:
    batch, sigmas = batch_of(1), distilled_sigmas(4)
    seen: list[list[ModalityInput]] = []

    def half_way(video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        seen.append([video, audio])
        return 0.5 * video.latents, 0.5 * audio.latents

    generator = torch.Generator().manual_seed(0)
    while len(seen) < 4:
        seen.clear()
        losses = velocity_losses(half_way, batch, contexts(), generator, sigmas=sigmas[:-1])
    for stream in range(2):
        latents = seen[0][stream].latents
        for inputs, sigma, following in zip(seen, sigmas, sigmas[1:], strict=False):
            free = inputs[stream].timesteps[..., None] > 0
            assert inputs[stream].sigma.tolist() == pytest.approx([sigma] * 2)
            torch.testing.assert_close(torch.where(free, inputs[stream].latents, latents), latents)
            clean = latents - sigma * 0.5 * latents
            latents = torch.where(free, euler_step(latents, clean, sigma, following), latents)
    # The last level's velocity, from where it began to the clean tokens; errors count as those of x0 over sigma.
    last, clean = seen[-1][0], batch.video
    free = last.timesteps[0] > 0
    error = (last.latents - sigmas[3] * 0.5 * last.latents - clean).square().mean(dim=-1) / sigmas[3]
    apart = (clean - clean.mean(dim=1, keepdim=True)).abs().mean(dim=-1)
    apart = 0.5 + apart / apart.mean(dim=1, keepdim=True)
    expected = [
        float((one[free] * weight[free]).mean() / weight[free].mean()) for one, weight in zip(error, apart, strict=True)
    ]
    assert float(losses["video"]) == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_noise_levels_are_often_1_and_reach_the_lowest_that_sampling_visits() -> None:
    sigmas = noise_levels(4000, torch.Generator().manual_seed(1))
    assert SIGMAS[-1] <= float(sigmas.min()) < SIGMAS[-1] + 0.01
    assert float(sigmas.max()) == 1
    assert 0.45 < float((sigmas == 1).float().mean()) < 0.55
