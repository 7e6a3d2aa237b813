"""What a segment keeps: the frames and the sound of the one before it, or a first frame."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fastvideo.api.errors import StateInvalid
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.pipelines.basic.ltx2.batch import Frames, LTX2Batch
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.first_frame import fit
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.stages.tokens import audio_to_tokens, video_to_tokens


class LTX2ConditioningStage(Stage):
    """Encodes the frames to clean latents at the segment's head, and puts the carried audio latents at the sound's.

    Frames are encoded at the size of the denoising stage. A picture of strength s gets the mask 1 - s. The sound's
    strength *is* its mask: 0 keeps it.
    """

    def __init__(self, video_vae: VideoVAE, audio_channels: int, audio_bins: int) -> None:
        self._video_vae = video_vae
        self._audio_shape = (audio_channels, audio_bins)

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        if batch.images:
            self._keep_frames(batch, [batch.images[batch.stage_index]], strength=1.0)
        if batch.state is not None:
            if batch.state.video_frames:
                frames = [fit(f, height=batch.stage.height, width=batch.stage.width) for f in batch.state.video_frames]
                self._keep_frames(batch, frames, batch.state.video_conditioning_strength)
            self._keep_sound(batch, batch.state)
        return batch

    def verify_input(self, batch: LTX2Batch) -> None:
        self.check(batch.video is not None and batch.audio is not None, "latents have not been prepared")

    def _keep_frames(self, batch: LTX2Batch, frames: list[Frames], strength: float) -> None:
        assert batch.video is not None
        weights = next(self._video_vae.parameters())
        with torch.inference_mode():
            pixels = frames_to_pixels(frames).to(device=weights.device, dtype=weights.dtype)
            clean = video_to_tokens(self._video_vae.encode(pixels)).to(batch.video.latents)
        # Encoding is all that makes these tokens; they stay ordinary tensors for the steps to come.
        batch.video.keep(slice(0, clean.shape[1]), clean.clone(), 1.0 - strength)

    def _keep_sound(self, batch: LTX2Batch, state: LTX2ContinuationState) -> None:
        count = batch.plan.audio_context_latents
        if count == 0 or state.audio_latents is None:
            return
        assert batch.audio is not None
        channels, bins = self._audio_shape
        shape = tuple(state.audio_latents.shape)
        if shape[0] != 1 or shape[1] != channels or shape[3] != bins:
            raise StateInvalid(f"audio latents: this model's are [1, {channels}, T, {bins}], got {list(shape)}")
        clean = audio_to_tokens(state.audio_latents[:, :, -count:]).to(batch.audio.latents)
        batch.audio.keep(slice(0, count), clean, state.audio_conditioning_strength)


def frames_to_pixels(frames: list[Frames]) -> Tensor:
    """Frames uint8 [H, W, 3] to float32 [1, 3, F, H, W] in -1..1."""
    stacked = torch.from_numpy(np.stack(frames))
    return stacked.permute(3, 0, 1, 2).unsqueeze(0).to(torch.float32) / 127.5 - 1.0
