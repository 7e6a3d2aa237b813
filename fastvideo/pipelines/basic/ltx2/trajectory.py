"""The picture's latents after each denoising step, for those who look at how a clip comes about."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_video

_TIMESTEPS = 1000


@dataclass
class Trajectory:
    """``latents``: normalised, float32 [1, C, F, H, W] on the CPU, one for each step of all stages; those of a first
    stage at half size are half as high and wide. ``timesteps``: the noise level that each step began with, times 1000.
    """

    latents: list[Tensor] = field(default_factory=list)
    timesteps: list[float] = field(default_factory=list)

    def keep(self, batch: LTX2Batch, step: int, spatial_scale: int) -> None:
        """Keep what ``step``, counted from 1, of the batch's stage has made."""
        assert batch.video is not None
        stage = batch.stage
        grid = (batch.plan.latent_frames, stage.height // spatial_scale, stage.width // spatial_scale)
        # Tokens that were appended for images at later frames are no part of the picture.
        tokens = batch.video.latents[:, : grid[0] * grid[1] * grid[2]]
        self.latents.append(tokens_to_video(tokens, *grid).cpu().clone())
        self.timesteps.append(stage.sigmas[step - 1] * _TIMESTEPS)
