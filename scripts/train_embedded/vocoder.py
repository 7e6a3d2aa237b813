"""Stage 3: trains the vocoder on the world's sound, with mel spectrograms as they are and as the audio VAE gives them.

python -m scripts.train_embedded.vocoder --folder outputs/embedded

Needs the audio VAE. The world's phases follow from the mel frame's grid, so the wave itself can be compared.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.vocoder import Vocoder, VocoderConfig
from scripts.train_embedded.audio_sizes import vocoder_section
from scripts.train_embedded.audio_vae import load_audio_vae
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.sounds import QUIET, Sounds, Stretches
from scripts.train_embedded.training import Plan, train
from scripts.train_embedded.world.held_out import Split

FILE_NAME = "vocoder.safetensors"

_WAVE_WEIGHT = 20.0
# Sizes of the windows in samples; a hop is a quarter of one.
_WINDOWS = (240, 720, 1920)
# Magnitudes are compared as logarithms above this share of a full tone's.
_MAGNITUDE_FLOOR = 2e-3
# Noise on the latents, in shares of their deviation, of the half of a batch that has been through the audio VAE, and
# on the mels of all: what a generator makes is never exact.
_LATENT_NOISE = 0.2
_MEL_NOISE = 0.05
_VALIDATION_BATCH = 32


def synthesis_losses(heard: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Losses of waves [B, 2, N]: distance of the samples, and of the magnitudes of spectrograms of several sizes."""
    apart = (heard - wanted).abs().mean()
    spectra = torch.stack([_spectral_distance(heard, wanted, window) for window in _WINDOWS]).mean()
    return {"loss": _WAVE_WEIGHT * apart + spectra, "wave_l1": apart.detach(), "log_spectrum": spectra.detach()}


def train_vocoder(
    section: dict[str, Any],
    audio_vae: AudioVAE | None,
    stories: int,
    batch: int,
    mel_frames: int,
    plan: Plan,
    folder: Path,
    device: torch.device,
    stop_at: int | None = None,
) -> Vocoder:
    """Trains from the last snapshot in ``folder`` and writes the checkpoint's part; without a VAE, on clean mels."""
    vocoder = _fresh(section, plan.seed).to(device)
    training_sounds = Sounds(plan.seed, stories)

    def losses_at(step: int) -> dict[str, Tensor]:
        sounds = training_sounds.batch(step, batch, mel_frames)
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        mel = worn_mel(sounds, audio_vae, generator, device)
        return synthesis_losses(vocoder(mel), sounds.wave.to(device))

    average = train(vocoder, losses_at, plan, folder, stop_at=stop_at)
    vocoder.load_state_dict(average)
    vocoder.eval()
    error_db = validate(vocoder, plan.seed, mel_frames)
    print(f"{plan.name}: on sound it has not heard {error_db:.1f} dB of error below the sound", flush=True)
    tensors = {f"vocoder.{name}": tensor for name, tensor in vocoder.state_dict().items()}
    write_tensors(folder / FILE_NAME, tensors, {"vocoder": json.dumps(section)})
    return vocoder


@torch.no_grad()
def worn_mel(sounds: Stretches, audio_vae: AudioVAE | None, generator: torch.Generator, device: torch.device) -> Tensor:
    """Log-mel [B, 2, T, 64] of the stretches with a little noise, of which every second went through the VAE."""
    mel = sounds.mel.clamp(min=QUIET).to(device)
    if audio_vae is not None:
        latents = audio_vae.encode(sounds.cut_mel[::2].to(device))
        noise = torch.randn(latents.shape, generator=generator).to(device)
        mel[::2] = audio_vae.decode(latents + _LATENT_NOISE * noise)[:, :, : mel.shape[2]]
    return mel + _MEL_NOISE * torch.randn(mel.shape, generator=generator).to(device)


def load_vocoder(folder: Path) -> Vocoder:
    """The vocoder that :func:`train_vocoder` wrote."""
    with safe_open(folder / FILE_NAME, framework="pt") as file:
        vocoder = Vocoder(VocoderConfig.from_metadata(json.loads(file.metadata()["vocoder"])))
        names = list(file.keys())
        vocoder.load_state_dict({name.removeprefix("vocoder."): file.get_tensor(name) for name in names})
    vocoder.eval()
    return vocoder


@torch.no_grad()
def validate(vocoder: Vocoder, seed: int, mel_frames: int) -> float:
    """How many dB the error lies below the sound, from clean mels of sound that training does not use."""
    sounds = Sounds(seed, _VALIDATION_BATCH, Split.HELD_OUT).batch(0, _VALIDATION_BATCH, mel_frames)
    wave = vocoder(sounds.mel.clamp(min=QUIET).to(next(vocoder.parameters()).device)).cpu()
    ratio = sounds.wave.square().mean() / (wave - sounds.wave).square().mean()
    return float(10 * torch.log10(ratio))


@torch.no_grad()
def _fresh(section: dict[str, Any], seed: int) -> Vocoder:
    """Random weights whose first layer counts from silence: a quiet band says nothing until it is learned to."""
    torch.manual_seed(seed)
    vocoder = Vocoder(VocoderConfig.from_metadata(section))
    weights = vocoder.state_dict()
    weights["conv_pre.bias"].copy_(-QUIET * weights["conv_pre.weight"].sum(dim=(1, 2)))
    return vocoder


def _spectral_distance(heard: Tensor, wanted: Tensor, window: int) -> Tensor:
    """Mean distance of log magnitudes."""
    hann = torch.hann_window(window, device=heard.device)
    heard_log, wanted_log = (
        torch.log(
            torch.stft(wave.flatten(0, 1), window, window // 4, window=hann, return_complex=True).abs()
            / (0.25 * window)
            + _MAGNITUDE_FLOOR
        )
        for wave in (heard, wanted)
    )
    return (heard_log - wanted_log).abs().mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with the audio VAE; for the snapshot and the part")
    parser.add_argument("--steps", type=int, default=4000, help="length of the run (default 4000)")
    parser.add_argument("--stories", type=int, default=800, help="how many to take stretches from (default 800)")
    parser.add_argument("--batch", type=int, default=16, help="stretches a step (default 16)")
    parser.add_argument("--mel-frames", type=int, default=25, help="length of the stretches, 1 + n * 4 (default 25)")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate (default 0.003)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, sound and noise (default 0)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    train_vocoder(
        vocoder_section(),
        load_audio_vae(arguments.folder).to(device),
        arguments.stories,
        arguments.batch,
        arguments.mel_frames,
        Plan("vocoder", arguments.steps, arguments.rate, arguments.seed),
        arguments.folder,
        device,
    )


if __name__ == "__main__":
    main()
