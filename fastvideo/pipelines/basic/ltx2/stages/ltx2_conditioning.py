"""What a segment keeps: the frames and the sound of the one before it, and images and clips at given frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fastvideo.models.ltx2.rope import keyframe_positions
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.pipelines.basic.ltx2.batch import Frames, LTX2Batch
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.first_frame import fit
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.references import Reference
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage
from fastvideo.pipelines.basic.ltx2.stages.tokens import audio_to_tokens, check_audio_latents, video_to_tokens


class LTX2ConditioningStage(Stage):
    """Encodes frames to clean latents, at the size of the denoising stage, and puts the carried audio latents at the
    sound's head.

    What stands at the segment's head takes the place of its first latents; what stands later is appended as tokens of
    its own that the others look at. A picture of strength s gets the mask 1 - s. The sound's strength *is* its mask:
    0 keeps it.
    """

    def __init__(self, video_vae: VideoVAE, audio_channels: int, audio_bins: int) -> None:
        self._video_vae = video_vae
        self._audio_shape = (audio_channels, audio_bins)

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        stage = batch.stage
        for reference in batch.references:
            self._keep_reference(batch, reference)
        if batch.sound_alone and batch.references:
            assert batch.video is not None
            batch.video.frozen = True
        if batch.state is not None:
            if batch.state.video_frames:
                frames = [fit(frame, height=stage.height, width=stage.width) for frame in batch.state.video_frames]
                self._keep_head(batch, self._encoded(frames), batch.state.video_conditioning_strength)
            self._keep_sound(batch, batch.state)
        return batch

    def verify_input(self, batch: LTX2Batch) -> None:
        self.check(batch.video is not None and batch.audio is not None, "latents have not been prepared")

    def _keep_reference(self, batch: LTX2Batch, reference: Reference) -> None:
        assert batch.video is not None
        stage, vae, strength = batch.stage, self._video_vae, reference.strength
        latents = self._encoded(reference.frames_at(stage.height, stage.width, crf=stage.image_crf))
        if reference.first_frame == 0:
            self._keep_head(batch, latents, strength)
            return
        positions = keyframe_positions(
            *latents.shape[2:],
            first_frame=reference.first_frame,
            pixel_frames=len(reference.frames),
            fps=batch.plan.fps,
            temporal_scale=vae.temporal_scale,
            spatial_scale=vae.spatial_scale,
            offset_s=batch.position_offset_s,
            device=batch.video.latents.device,
        )
        clean = video_to_tokens(latents).to(batch.video.latents)
        batch.video.append(clean, 1.0 - strength, positions, batch.noise(tuple(clean.shape)).to(clean))

    def _keep_head(self, batch: LTX2Batch, latents: Tensor, strength: float) -> None:
        assert batch.video is not None
        clean = video_to_tokens(latents).to(batch.video.latents)
        batch.video.keep(slice(0, clean.shape[1]), clean, 1.0 - strength)

    def _encoded(self, frames: list[Frames]) -> Tensor:
        """Normalised latents of frames at the stage's size."""
        weights = next(self._video_vae.parameters())
        with torch.inference_mode():
            pixels = frames_to_pixels(frames).to(device=weights.device, dtype=weights.dtype)
            latents = self._video_vae.encode(pixels)
        # Encoding is all that makes these; they stay ordinary tensors for the steps to come.
        return latents.clone()

    def _keep_sound(self, batch: LTX2Batch, state: LTX2ContinuationState) -> None:
        count = batch.plan.audio_context_latents
        if count == 0 or state.audio_latents is None:
            return
        assert batch.audio is not None
        check_audio_latents(state.audio_latents, *self._audio_shape)
        clean = audio_to_tokens(state.audio_latents[:, :, -count:]).to(batch.audio.latents)
        batch.audio.keep(slice(0, count), clean, state.audio_conditioning_strength)


def frames_to_pixels(frames: list[Frames]) -> Tensor:
    """Frames uint8 [H, W, 3] to float32 [1, 3, F, H, W] in -1..1."""
    stacked = torch.from_numpy(np.stack(frames))
    return stacked.permute(3, 0, 1, 2).unsqueeze(0).to(torch.float32) / 127.5 - 1.0
