"""From noise to latents, picture and sound together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import LTX2Transformer, ModalityInput
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, Stream
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage


class LTX2DenoisingStage(Stage):
    """Euler steps of flow matching over the batch's noise levels, one forward pass each."""

    def __init__(self, transformer: LTX2Transformer, *, spatial_scale: int, temporal_scale: int) -> None:
        self._transformer = transformer
        self._spatial_scale = spatial_scale
        self._temporal_scale = temporal_scale

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        for _ in self.steps(batch):
            pass
        return batch

    @torch.inference_mode()
    def steps(self, batch: LTX2Batch) -> Iterator[int]:
        """Denoise ``batch`` in place; yields the number of steps done after each. Checks for cancellation before each.

        Per step: x0 = x - t v with each token's own t = sigma * mask; x0 gives way to what is kept, as far as the mask
        says; then one Euler step with sigma, in float32.
        """
        video, audio = batch.video, batch.audio
        assert video is not None
        assert audio is not None
        assert batch.video_context is not None
        assert batch.audio_context is not None
        device = video.latents.device
        video_at = video_positions(
            batch.plan.latent_frames,
            batch.height // self._spatial_scale,
            batch.width // self._spatial_scale,
            fps=batch.plan.fps,
            temporal_scale=self._temporal_scale,
            spatial_scale=self._spatial_scale,
            offset_s=float(batch.plan.position_offset),
            device=device,
        )
        audio_at = audio_positions(batch.plan.audio_latents, device=device)
        rope = self._transformer.rope_tables(video_at, audio_at)
        for step in range(batch.steps):
            batch.cancel.raise_if_cancelled()
            sigma, following = batch.sigmas[step], batch.sigmas[step + 1]
            velocities = self._transformer(
                _modality(video, sigma, video_at, batch.video_context),
                _modality(audio, sigma, audio_at, batch.audio_context),
                rope=rope,
            )
            for stream, velocity in zip((video, audio), velocities, strict=True):
                timesteps = (sigma * stream.mask).unsqueeze(-1)
                clean = stream.latents - timesteps * velocity.float()
                clean = torch.lerp(stream.clean, clean, stream.mask.unsqueeze(-1))
                stream.latents = euler_step(stream.latents, clean, sigma, following)
            yield step + 1

    def verify_input(self, batch: LTX2Batch) -> None:
        ready = None not in (batch.video, batch.audio, batch.video_context, batch.audio_context)
        self.check(ready, "the text has not been encoded, or latents have not been prepared")

    def verify_output(self, batch: LTX2Batch) -> None:
        for stream in (batch.video, batch.audio):
            self.check(stream is not None and bool(torch.isfinite(stream.latents).all()), "latents are not finite")


def euler_step(latents: Tensor, clean: Tensor, sigma: float, following: float) -> Tensor:
    """One step from noise level ``sigma`` to ``following``: x + (sigma' - sigma) (x - x0) / sigma."""
    return latents + (following - sigma) * ((latents - clean) / sigma)


def _modality(stream: Stream, sigma: float, positions: Tensor, context: Tensor) -> ModalityInput:
    return ModalityInput(
        latents=stream.latents,
        timesteps=sigma * stream.mask,
        sigma=torch.full((stream.latents.shape[0],), sigma, device=stream.latents.device),
        positions=positions,
        context=context,
    )
