"""The vocoder learns waves within a few steps, and the package's class loads it."""

from pathlib import Path

import torch

from fastvideo.models.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from fastvideo.models.ltx2.vocoder import VocoderConfig
from scripts.train_embedded.audio_sizes import audio_vae_section, vocoder_section
from scripts.train_embedded.sounds import QUIET, Sounds
from scripts.train_embedded.training import Plan
from scripts.train_embedded.vocoder import load_vocoder, synthesis_losses, train_vocoder, worn_mel

SECTION = vocoder_section(channels=32, dilations=(1,))
SOUNDS = Sounds(0, 8)
CPU = torch.device("cpu")


def test_the_embedded_vocoder_makes_240_samples_of_a_mel_frame_at_24_khz() -> None:
    config = VocoderConfig.from_metadata(vocoder_section())
    assert (config.generator.samples_per_frame, config.sample_rate_hz) == (240, 24000)


def test_a_few_steps_improve_the_wave_and_the_part_that_is_written_is_the_one_that_was_trained(tmp_path: Path) -> None:
    sounds = SOUNDS.batch(0, 8, 17)

    def loss_after(steps: int, folder: Path) -> float:
        plan = Plan("vocoder", steps, 3e-3, warmup_steps=5)
        vocoder = train_vocoder(SECTION, None, 8, 4, 13, plan, folder, CPU)
        with torch.no_grad():
            assert torch.equal(load_vocoder(folder)(sounds.mel), vocoder(sounds.mel))
            return float(synthesis_losses(vocoder(sounds.mel), sounds.wave)["loss"])

    assert loss_after(24, tmp_path / "longer") < 0.9 * loss_after(1, tmp_path / "hardly")


def test_the_right_wave_costs_nothing_and_a_shifted_or_softer_one_does() -> None:
    wave = SOUNDS.batch(0, 4, 17).wave
    assert float(synthesis_losses(wave, wave)["loss"]) == 0
    shifted, softer = synthesis_losses(wave.roll(12, dims=2), wave), synthesis_losses(0.5 * wave, wave)
    assert float(shifted["wave_l1"]) > 0.01
    assert float(softer["log_spectrum"]) > 0.02


def test_every_second_mel_comes_through_the_vae_and_all_have_a_little_noise() -> None:
    torch.manual_seed(0)
    vae = AudioVAE(AudioVAEConfig.from_metadata(audio_vae_section(channels=8, multipliers=(1, 1, 1))))
    sounds = SOUNDS.batch(0, 4, 17)
    clean = sounds.mel.clamp(min=QUIET)
    apart = (worn_mel(sounds, vae, torch.Generator().manual_seed(0), CPU) - clean).abs().mean(dim=(1, 2, 3))
    # An untrained VAE gives back nothing of the sound.
    assert apart[::2].min() > 1
    assert 0.01 < float(apart[1::2].min()) <= float(apart[1::2].max()) < 0.1
