"""Stage 2: trains the audio VAE on mel spectrograms of the world.

python -m scripts.train_embedded.audio_vae --folder outputs/embedded

Half of the steps train both parts; then the encoder stays as it is, and a first file is written, so that sound can be
encoded. The other half trains the decoder alone, with more noise on the latents.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from fastvideo.models.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from scripts.train_embedded.audio_sizes import audio_vae_section
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.sounds import QUIET, Sounds, Stretches
from scripts.train_embedded.training import Plan, train
from scripts.train_embedded.world.held_out import Split

FILE_NAME = "audio_vae.safetensors"

# Noise on the latents, in shares of their deviation: a decoder that stands it forgives a generator's errors, and the
# encoder can hide nothing in small differences.
_LATENT_NOISE = 0.15
_DECODER_LATENT_NOISE = 0.25
_LATENT_SIZE_WEIGHT = 1e-4
# What is loud counts more: most bands are quiet at most times.
_LOUD_WEIGHT = 4.0
# A stretch that begins in the midst of a story is decoded without its first latents up to this one.
_LATEST_BEGIN = 3
_STATISTICS_BATCH = 128
_VALIDATION_BATCH = 32


def reconstruction_losses(vae: AudioVAE, sounds: Stretches, noise: Tensor, begin: int = 0) -> dict[str, Tensor]:
    """Losses for ``sounds`` decoded from their latent ``begin`` on, as the sound of a continued segment is; ``noise``
    has the shape of all their latents, and is in shares of their deviation.

    What is encoded has mirrored edges, what it is compared with has not, so the encoder learns to see past them.
    """
    latents = vae.encoder(sounds.cut_mel)[:, : vae.config.latent_channels]
    deviation = latents.detach().std(dim=(0, 2), keepdim=True)
    restored = vae.decoder((latents + deviation * noise)[:, :, begin:])
    wanted = sounds.mel[:, :, vae.config.time_scale * begin :].clamp(min=QUIET)
    apart = (restored[:, :, : wanted.shape[2]] - wanted).abs()
    loud = (wanted - QUIET) / -QUIET
    return {
        "loss": ((1 + _LOUD_WEIGHT * loud) * (apart + apart.square())).mean()
        + _LATENT_SIZE_WEIGHT * latents.square().mean(),
        "mel_l1": apart.detach().mean(),
        "loud_l1": (loud * apart).detach().sum() / loud.sum(),
    }


def train_audio_vae(
    section: dict[str, Any],
    stories: int,
    batch: int,
    mel_frames: int,
    plan: Plan,
    folder: Path,
    device: torch.device,
) -> AudioVAE:
    """Trains from the last snapshots in ``folder``, sets the latent statistics, and writes the checkpoint's part."""
    vae = _fresh(section, plan.seed).to(device)
    training_sounds = Sounds(plan.seed, stories)

    def losses_at(step: int, noise_share: float) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        noise = torch.randn(_latent_shape(vae, batch, mel_frames), generator=generator).to(device)
        begin = int(torch.randint(_LATEST_BEGIN + 1, (), generator=generator))
        sounds = _on(training_sounds.batch(step, batch, mel_frames), device)
        return reconstruction_losses(vae, sounds, noise_share * noise, begin)

    half = plan.steps // 2
    average = train(vae, lambda step: losses_at(step, _LATENT_NOISE), plan, folder, stop_at=half)
    vae.load_state_dict(average)
    vae.requires_grad_(False)
    _set_statistics(vae, training_sounds, mel_frames, device)
    _write(vae, section, folder)
    print(f"{plan.name}: sound can be encoded", flush=True)

    vae.decoder.requires_grad_(True)
    decoder_plan = replace(plan, name=f"{plan.name}_decoder", steps=plan.steps - half)
    average = train(vae.decoder, lambda step: losses_at(half + step, _DECODER_LATENT_NOISE), decoder_plan, folder)
    vae.decoder.load_state_dict(average)
    vae.requires_grad_(False)
    vae.eval()
    print(f"{plan.name}: on sound it has not heard {validate(vae, plan.seed, mel_frames):.4f} mel L1", flush=True)
    _write(vae, section, folder)
    return vae


def load_audio_vae(folder: Path) -> AudioVAE:
    """The VAE that :func:`train_audio_vae` wrote."""
    with safe_open(folder / FILE_NAME, framework="pt") as file:
        vae = AudioVAE(AudioVAEConfig.from_metadata(json.loads(file.metadata()["audio_vae"])))
        names = list(file.keys())
        vae.load_state_dict({name.removeprefix("audio_vae."): file.get_tensor(name) for name in names})
    vae.eval()
    return vae


@torch.no_grad()
def validate(vae: AudioVAE, seed: int, mel_frames: int) -> float:
    """Mean error of the log-mel, weighted by loudness, on sound that training does not use."""
    stretches = Sounds(seed, _VALIDATION_BATCH, Split.HELD_OUT).batch(0, _VALIDATION_BATCH, mel_frames)
    sounds = _on(stretches, next(vae.parameters()).device)
    noise = torch.zeros(_latent_shape(vae, _VALIDATION_BATCH, mel_frames), device=sounds.mel.device)
    return float(reconstruction_losses(vae, sounds, noise)["loud_l1"])


@torch.no_grad()
def _fresh(section: dict[str, Any], seed: int) -> AudioVAE:
    """Random weights that begin with near silence, and with residual blocks that add nothing."""
    torch.manual_seed(seed)
    vae = AudioVAE(AudioVAEConfig.from_metadata(section))
    for name, parameter in vae.named_parameters():
        if ".conv2." in name:
            parameter.zero_()
        elif name == "decoder.conv_out.conv.bias":
            parameter.fill_(QUIET)
    return vae


def _write(vae: AudioVAE, section: dict[str, Any], folder: Path) -> None:
    tensors = {f"audio_vae.{name}": tensor for name, tensor in vae.state_dict().items()}
    write_tensors(folder / FILE_NAME, tensors, {"audio_vae": json.dumps(section)})


def _latent_shape(vae: AudioVAE, batch: int, mel_frames: int) -> tuple[int, ...]:
    config = vae.config
    return (batch, config.latent_channels, -(-mel_frames // config.time_scale), config.latent_bins)


@torch.no_grad()
def _set_statistics(vae: AudioVAE, sounds: Sounds, mel_frames: int, device: torch.device) -> None:
    """Mean and deviation of each component of a latent over some of the training's sound."""
    latents = vae.encoder(sounds.batch(0, _STATISTICS_BATCH, mel_frames).cut_mel.to(device))
    latents = latents[:, : vae.config.latent_channels]
    statistics = vae.per_channel_statistics
    statistics.get_buffer("mean-of-means").copy_(latents.mean(dim=(0, 2)).flatten())
    statistics.get_buffer("std-of-means").copy_(latents.std(dim=(0, 2)).flatten().clamp(min=1e-4))


def _on(sounds: Stretches, device: torch.device) -> Stretches:
    return Stretches(sounds.mel.to(device), sounds.cut_mel.to(device), sounds.wave.to(device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the snapshot and the trained part")
    parser.add_argument("--steps", type=int, default=4000, help="length of the run (default 4000)")
    parser.add_argument("--stories", type=int, default=800, help="how many to take stretches from (default 800)")
    parser.add_argument("--batch", type=int, default=8, help="stretches a step (default 8)")
    parser.add_argument("--mel-frames", type=int, default=61, help="length of the stretches, 1 + n * 4 (default 61)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default 0.002)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, sound and noise (default 0)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    train_audio_vae(
        audio_vae_section(),
        arguments.stories,
        arguments.batch,
        arguments.mel_frames,
        Plan("audio_vae", arguments.steps, arguments.rate, arguments.seed),
        arguments.folder,
        torch.device(arguments.device),
    )


if __name__ == "__main__":
    main()
