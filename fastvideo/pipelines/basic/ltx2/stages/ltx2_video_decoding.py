"""From video latents to frames, in chunks as they become ready."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fastvideo.models.ltx2.video_tiling import decode_chunks
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.pipelines.basic.ltx2.batch import Frames, LTX2Batch
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_video


class LTX2VideoDecodingStage(Stage):
    """Decodes in overlapped temporal tiles, or whole where the configuration says so."""

    def __init__(self, video_vae: VideoVAE) -> None:
        self._video_vae = video_vae

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        for _ in self.chunks(batch, config):
            pass
        return batch

    @torch.inference_mode()
    def chunks(self, batch: LTX2Batch, config: LTX2T2VConfig) -> Iterator[Frames]:
        """All frames of the segment in order, uint8 [n, H, W, 3], overlap and tail included. Checks for cancellation
        before each tile."""
        assert batch.video is not None
        scale = self._video_vae.spatial_scale
        grid = (batch.plan.latent_frames, batch.height // scale, batch.width // scale)
        yield from self._decoded(tokens_to_video(batch.video.latents, *grid), batch, config)

    @torch.inference_mode()
    def frames_of(self, latents: Tensor, batch: LTX2Batch, config: LTX2T2VConfig) -> Frames:
        """All frames of other latents [1, C, F, H, W] than the batch's own, uint8 [n, H, W, 3]."""
        return np.concatenate(list(self._decoded(latents, batch, config)))

    def _decoded(self, latents: Tensor, batch: LTX2Batch, config: LTX2T2VConfig) -> Iterator[Frames]:
        vae = self._video_vae
        weights = next(vae.parameters())
        latents = latents.to(device=weights.device, dtype=weights.dtype)
        causal = True if config.is_causal else None
        if config.vae_tiling:
            for pixels in decode_chunks(vae, latents, causal=causal, cancel=batch.cancel):
                yield pixels_to_frames(pixels)
        else:
            batch.cancel.raise_if_cancelled()
            yield pixels_to_frames(vae.decode(latents, causal=causal))

    def verify_input(self, batch: LTX2Batch) -> None:
        self.check(batch.video is not None, "latents have not been prepared")


def pixels_to_frames(pixels: Tensor) -> Frames:
    """Pixels [1, 3, F, H, W] about -1..1, which are written over, to frames uint8 [F, H, W, 3]."""
    scaled = pixels[0].float().mul_(127.5).add_(127.5).clamp_(0.0, 255.0).round_().to(torch.uint8)
    frames: Frames = scaled.permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return frames
