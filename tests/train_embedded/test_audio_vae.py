"""The audio VAE learns within a few steps, keeps its encoder from the half on, and the package's class loads it."""

from pathlib import Path

import pytest
import torch

from fastvideo.models.ltx2.audio_vae import AudioVAEConfig
from scripts.train_embedded.audio_sizes import LATENT_BINS, LATENT_CHANNELS, audio_vae_section
from scripts.train_embedded.audio_vae import load_audio_vae, reconstruction_losses, train_audio_vae
from scripts.train_embedded.sounds import Sounds
from scripts.train_embedded.training import Plan

SECTION = audio_vae_section(channels=4, multipliers=(1, 1, 1))
SOUNDS = Sounds(0, 8)
CPU = torch.device("cpu")


def test_the_embedded_sizes_keep_the_family_s_rate_and_are_what_they_say() -> None:
    config = AudioVAEConfig.from_metadata(audio_vae_section())
    assert config.latents_per_second == 25
    assert (config.latent_channels, config.latent_bins) == (LATENT_CHANNELS, LATENT_BINS)


def test_a_few_steps_improve_the_mel_and_the_part_that_is_written_is_the_one_that_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan("audio_vae", 24, 1e-2, warmup_steps=3, report_every_steps=10)
    trained = train_audio_vae(SECTION, 8, 4, 13, plan, tmp_path, CPU)
    printed = capsys.readouterr().out
    assert float(printed.rsplit(" mel L1", 1)[0].rsplit(" ", 1)[1]) < 3.5
    loaded = load_audio_vae(tmp_path)
    mel = SOUNDS.batch(0, 4, 21).mel
    with torch.no_grad():
        latents = trained.encode(mel)
        assert torch.equal(loaded.encode(mel), latents)
        assert torch.equal(loaded.decode(latents), trained.decode(latents))
    # Where the training begins anew after its half, sound is encoded as before.
    (tmp_path / "audio_vae_decoder.snapshot.safetensors").unlink()
    again = train_audio_vae(SECTION, 8, 4, 13, plan, tmp_path, CPU)
    with torch.no_grad():
        assert torch.equal(again.encode(mel), latents)


def test_latents_are_normalised_over_the_training_s_sound(tmp_path: Path) -> None:
    vae = train_audio_vae(SECTION, 8, 2, 21, Plan("audio_vae", 4, 1e-3), tmp_path, CPU)
    with torch.no_grad():
        latents = vae.encode(SOUNDS.batch(7, 64, 21).cut_mel)
    assert float(latents.mean().abs()) < 0.2
    assert float(latents.std()) == pytest.approx(1, abs=0.3)


def test_a_sound_decoded_from_a_later_latent_is_compared_with_its_later_frames(tmp_path: Path) -> None:
    vae = train_audio_vae(SECTION, 8, 2, 21, Plan("audio_vae", 2, 1e-3), tmp_path, CPU)
    sounds = SOUNDS.batch(0, 4, 21)
    vae.decoder.requires_grad_(False)
    for parameter in vae.decoder.conv_out.parameters():
        parameter.zero_()
    # Everything is decoded to 0: the error is how loud the later frames are.
    found = reconstruction_losses(vae, sounds, torch.zeros(4, LATENT_CHANNELS, 6, LATENT_BINS), begin=3)["mel_l1"]
    assert float(found) == pytest.approx(float(sounds.mel[:, :, 12:].clamp(min=-6).abs().mean()), rel=1e-4)
