"""Stage 1: trains the video VAE on clips of the world; later its decoder alone, while the transformer trains.

python -m scripts.train_embedded.video_vae --folder outputs/embedded
python -m scripts.train_embedded.video_vae --folder outputs/embedded --decoder-only
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastvideo.models.ltx2.video_vae import VideoVAE, VideoVAEConfig
from scripts.train_embedded.clips import ClipShape, clip_batch, validation_batch
from scripts.train_embedded.initial_weights import initialise
from scripts.train_embedded.sizes import vae_section
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.training import Plan, Team, train

FILE_NAME = "video_vae.safetensors"

# Noise on the latents, in shares of their deviation: a decoder that stands it forgives a generator's errors, and the
# encoder can hide nothing in small differences.
_LATENT_NOISE = 0.1
# What the transformer makes is further off than that, and by then the encoder cannot spread its latents further apart.
_DECODER_LATENT_NOISE = 0.15
_LATENT_SIZE_WEIGHT = 1e-4
# Pixels at edges count more: they are few, and they are the shapes.
_EDGE_WEIGHT = 4.0
_STATISTICS_BATCHES = 8


def reconstruction_losses(
    vae: VideoVAE, pixels: Tensor, noise: Tensor, *, latent_noise: float = _LATENT_NOISE
) -> dict[str, Tensor]:
    """Losses for ``pixels`` [B, 3, F, H, W]; ``noise`` has the shape of their latents."""
    latents = vae.encoder(pixels)
    deviation = latents.detach().std(dim=(0, 2, 3, 4), keepdim=True)
    restored = vae.decoder(latents + latent_noise * deviation * noise, causal=vae.config.causal_decoder)
    apart = restored - pixels
    weight = 1 + _EDGE_WEIGHT * _edges(pixels)
    loss = (weight * (apart.abs() + apart.square())).mean()
    return {
        "loss": loss + _LATENT_SIZE_WEIGHT * latents.square().mean(),
        "psnr_db": -10 * torch.log10(apart.detach().square().mean() / 4),
    }


def latent_shape(vae: VideoVAE, shape: ClipShape) -> tuple[int, ...]:
    """[B, C, F', H', W'] of a batch."""
    side = shape.crop_px // vae.spatial_scale
    return (shape.batch, vae.latent_channels, 1 + (shape.num_frames - 1) // vae.temporal_scale, side, side)


def train_video_vae(
    section: dict[str, Any],
    shape: ClipShape,
    plan: Plan,
    folder: Path,
    device: torch.device,
    stop_at: int | None = None,
    start_from: Path | None = None,
) -> VideoVAE:
    """Trains from the last snapshot in ``folder``, sets the latent statistics, and writes the checkpoint's part.

    A run begins with the VAE in the folder ``start_from``, or with fresh weights.
    """
    vae = VideoVAE(VideoVAEConfig.from_metadata(section))
    if start_from is None:
        initialise(vae, plan.seed)
    else:
        vae.load_state_dict(load_video_vae(start_from).state_dict())
    vae.to(device)
    team = Team.join()
    share = replace(shape, batch=shape.batch // team.size)

    def losses_at(step: int) -> dict[str, Tensor]:
        number = step * team.size + team.rank
        pixels = clip_batch(plan.seed, number, share).to(device)
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + number)
        noise = torch.randn(latent_shape(vae, share), generator=generator).to(device)
        return reconstruction_losses(vae, pixels, noise)

    average = train(vae, losses_at, plan, folder, stop_at=stop_at, team=team)
    vae.load_state_dict(average)
    vae.eval()
    if team.rank:
        return vae
    with torch.no_grad():
        _set_statistics(vae, plan, shape, device)
        print(f"{plan.name}: on clips it has not seen {validate(vae, plan.seed, shape):.2f} dB", flush=True)
    _write(vae, section, folder)
    return vae


def train_decoder(
    shape: ClipShape, plan: Plan, folder: Path, device: torch.device, stop_at: int | None = None
) -> VideoVAE:
    """Goes on with the decoder of the VAE in ``folder`` while the encoder, and thereby every latent, stays."""
    vae = load_video_vae(folder).to(device)
    vae.encoder.requires_grad_(False)
    section = _section(folder)

    def losses_at(step: int) -> dict[str, Tensor]:
        pixels = clip_batch(plan.seed, step, shape).to(device)
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        noise = torch.randn(latent_shape(vae, shape), generator=generator).to(device)
        return reconstruction_losses(vae, pixels, noise, latent_noise=_DECODER_LATENT_NOISE)

    vae.decoder.load_state_dict(train(vae.decoder, losses_at, plan, folder, stop_at=stop_at))
    print(f"{plan.name}: on clips it has not seen {validate(vae, plan.seed, shape):.2f} dB", flush=True)
    _write(vae, section, folder)
    return vae


def load_video_vae(folder: Path) -> VideoVAE:
    """The VAE that :func:`train_video_vae` wrote."""
    from safetensors import safe_open

    with safe_open(folder / FILE_NAME, framework="pt") as file:
        vae = VideoVAE(VideoVAEConfig.from_metadata(json.loads(file.metadata()["vae"])))
        vae.load_state_dict({name.removeprefix("vae."): file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    vae.eval()
    return vae


def _section(folder: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(folder / FILE_NAME, framework="pt") as file:
        section: dict[str, Any] = json.loads(file.metadata()["vae"])
    return section


def _write(vae: VideoVAE, section: dict[str, Any], folder: Path) -> None:
    tensors = {f"vae.{name}": tensor for name, tensor in vae.state_dict().items()}
    write_tensors(folder / FILE_NAME, tensors, {"vae": json.dumps(section)})


@torch.no_grad()
def validate(vae: VideoVAE, seed: int, shape: ClipShape) -> float:
    """Peak signal-to-noise ratio in dB on clips that training does not show."""
    pixels = validation_batch(seed, shape).to(next(vae.parameters()).device)
    apart = vae.decode(vae.encode(pixels)).clamp(-1, 1) - pixels
    return float(-10 * torch.log10(apart.square().mean() / 4))


def _edges(pixels: Tensor) -> Tensor:
    """How much neighbouring pixels of a frame differ, 0..1, spread by a pixel: [B, 1, F, H, W]."""
    down = F.pad((pixels[..., 1:, :] - pixels[..., :-1, :]).abs(), (0, 0, 0, 1))
    across = F.pad((pixels[..., :, 1:] - pixels[..., :, :-1]).abs(), (0, 1))
    steep = (down + across).amax(dim=1, keepdim=True).clamp(max=1)
    return F.max_pool3d(steep, (1, 3, 3), stride=1, padding=(0, 1, 1))


def _set_statistics(vae: VideoVAE, plan: Plan, shape: ClipShape, device: torch.device) -> None:
    """Mean and deviation of each latent channel over clips of whole, uncropped pictures."""
    whole = ClipShape(2, shape.num_frames, shape.picture_px, shape.picture_px)
    latents = torch.cat(
        [vae.encoder(clip_batch(plan.seed, step, whole).to(device)) for step in range(_STATISTICS_BATCHES)]
    )
    statistics = vae.per_channel_statistics
    statistics.get_buffer("mean-of-means").copy_(latents.mean(dim=(0, 2, 3, 4)))
    statistics.get_buffer("std-of-means").copy_(latents.std(dim=(0, 2, 3, 4)).clamp(min=1e-4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the snapshot and the trained part")
    parser.add_argument("--steps", type=int, default=20000, help="length of the run (default 20000)")
    parser.add_argument("--batch", type=int, default=4, help="clips a step (default 4)")
    parser.add_argument("--frames", type=int, default=17, help="frames a clip, 1 + n * 8 (default 17)")
    parser.add_argument("--picture", type=int, default=256, help="size of the world's pictures in px (default 256)")
    parser.add_argument("--crop", type=int, default=128, help="size of the crops in px (default 128)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default 0.001)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, clips and noise (default 0)")
    parser.add_argument("--from", dest="start_from", type=Path, help="a folder with a trained VAE to begin with")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder of the VAE that is there")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    shape = ClipShape(arguments.batch, arguments.frames, arguments.picture, arguments.crop)
    device = torch.device(arguments.device)
    if arguments.decoder_only:
        plan = Plan("video_decoder", arguments.steps, arguments.rate, arguments.seed + 1)
        train_decoder(shape, plan, arguments.folder, device)
        return
    plan = Plan("video_vae", arguments.steps, arguments.rate, arguments.seed)
    train_video_vae(vae_section(), shape, plan, arguments.folder, device, start_from=arguments.start_from)


if __name__ == "__main__":
    main()
