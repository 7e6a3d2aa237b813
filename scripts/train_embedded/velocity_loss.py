"""What the transformer is trained to make small: errors of velocities, on noisy data or along its own steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import ModalityInput
from scripts.train_embedded.latents import SIZE_PX
from scripts.train_embedded.sample_store import Batch
from scripts.train_embedded.sizes import SIGMAS

_SPATIAL_SCALE = 32
# Pure noise is where a segment's content is decided.
_PURE_NOISE_SHARE = 0.5
AUDIO_WEIGHT = 0.6
# Noise on what a segment continues, in deviations of the latents: at run time that is generated, and not perfect.
_GIVEN_NOISE = 0.1


def noise_levels(count: int, generator: torch.Generator) -> Tensor:
    """Sigmas [count]: often 1, else evenly from the lowest above 0 that sampling visits."""
    pure = torch.rand(count, generator=generator) < _PURE_NOISE_SHARE
    other = SIGMAS[-1] + (1 - SIGMAS[-1]) * torch.rand(count, generator=generator)
    return torch.where(pure, torch.ones(count), other)


@dataclass(frozen=True)
class _Part:
    """One stream of a batch: clean tokens, their noise, [B, N, C], which are not given [N], what stands in those that
    are, how much each token counts [B, N], and what the model takes beside them."""

    clean: Tensor
    noise: Tensor
    mask: Tensor
    kept: Tensor
    weight: Tensor
    positions: Tensor
    context: Tensor

    def input(self, latents: Tensor, sigma: Tensor) -> ModalityInput:
        shown = torch.where(self.mask[:, None] > 0, latents, self.kept)
        return ModalityInput(shown, sigma[:, None] * self.mask, sigma, self.positions, self.context)

    def loss(self, latents: Tensor, sigma: Tensor, velocity: Tensor) -> Tensor:
        """Squared error of velocities, of which (x - x0) / sigma leads back to the clean tokens, per sample [B]."""
        target = (latents - self.clean) / sigma[:, None, None]
        return (self.weight * (velocity.float() - target).square().mean(dim=-1)).mean(dim=-1)


def velocity_losses(
    model: Callable[[ModalityInput, ModalityInput], tuple[Tensor, Tensor]],
    batch: Batch,
    contexts: tuple[Tensor, Tensor],
    generator: torch.Generator,
    *,
    audio_weight: float = AUDIO_WEIGHT,
    sigmas: Sequence[float] | None = None,
) -> dict[str, Tensor]:
    """Squared errors of the velocities at noisy tokens x, with one sigma a sample for picture and sound, of all that is
    not given: x = (1 - sigma) x0 + sigma eps.

    With ``sigmas``, the levels of a sampling schedule from 1 down, x is instead what sampling has at one of them: the
    model's own steps lead there from noise, and it learns to put right what it got wrong before. Errors count as those
    of x0 over sigma then. A caption of the world says all that there is to see, so there is one right answer.
    """
    video, audio = _parts(batch, contexts, generator)
    size, device = batch.video.shape[0], contexts[0].device
    if sigmas is None:
        sigma = noise_levels(size, generator).to(device)
        reached = [torch.lerp(part.clean, part.noise, sigma[:, None, None]) for part in (video, audio)]
        scale = torch.ones_like(sigma)
    else:
        step = int(torch.randint(len(sigmas), (), generator=generator))
        reached = [video.noise, audio.noise]
        with torch.no_grad():
            for level, following in pairwise(sigmas[: step + 1]):
                sigma = torch.full((size,), level, device=device)
                velocities = model(video.input(reached[0], sigma), audio.input(reached[1], sigma))
                reached = [x + (following - level) * v.float() for x, v in zip(reached, velocities, strict=True)]
        sigma = scale = torch.full((size,), sigmas[step], device=device)
    velocities = model(video.input(reached[0], sigma), audio.input(reached[1], sigma))
    losses = [
        (scale * part.loss(latents, sigma, velocity)).mean()
        for part, latents, velocity in zip((video, audio), reached, velocities, strict=True)
    ]
    return {"loss": losses[0] + audio_weight * losses[1], "video": losses[0], "audio": losses[1]}


def _parts(batch: Batch, contexts: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[_Part, _Part]:
    """Tokens that differ from their clip's mean count more: those are the shapes."""
    plan, device = batch.plan, contexts[0].device
    side = SIZE_PX // _SPATIAL_SCALE
    frames, offset_s = plan.latent_frames, float(plan.position_offset)
    streams = (
        (batch.video, (plan.overlap_frames + 7) // 8 * side * side),
        (batch.audio, plan.audio_context_latents),
    )
    positions = (
        video_positions(frames, side, side, fps=plan.fps, offset_s=offset_s, device=device),
        audio_positions(plan.audio_latents, device=device),
    )
    parts = []
    for (tokens, given), places, context in zip(streams, positions, contexts, strict=True):
        clean = tokens.to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        mask = torch.ones(clean.shape[1], device=device)
        mask[:given] = 0
        kept = clean + _GIVEN_NOISE * torch.rand((len(clean), 1, 1), generator=generator).to(device) * noise
        apart = (clean - clean.mean(dim=1, keepdim=True)).abs().mean(dim=-1)
        apart = 0.5 + apart / apart.mean(dim=1, keepdim=True).clamp(min=1e-6)
        weight = apart * mask / (apart * mask).mean(dim=1, keepdim=True)
        parts.append(_Part(clean, noise, mask, kept, weight, places, context))
    return parts[0], parts[1]
